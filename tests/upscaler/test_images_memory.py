"""Reading and writing take the same memory whatever the size of the picture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is measured on Linux")

MOST_MIB = 50
"""The large picture and its result are 24 and 96 MiB."""
SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from tilestep.upscaler.images.probe import probe
from tilestep.upscaler.images.result import plan_result
from tilestep.upscaler.images.sink import PictureSink
from tilestep.upscaler.images.source import PictureSource

with PictureSource(probe(sys.argv[1])) as source:
    source.sample()
    with PictureSink(plan_result(source, Path(sys.argv[2]), 2)) as sink:
        for start in range(0, source.height, 8):
            rows = source.read(start, min(start + 8, source.height)).astype(np.float32) / 255
            sink.write(rows.repeat(2, 0).repeat(2, 1))
        sink.finish()
status = Path("/proc/self/status").read_text()
print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
"""


def peak_mib(source: Path, target: Path) -> int:
    command = [sys.executable, "-c", SCRIPT, str(source), str(target)]
    return int(subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_picture_a_hundred_times_larger_takes_little_more_memory(tmp_path: Path, suffix: str) -> None:
    generator = np.random.default_rng(0)
    texture = generator.integers(0, 256, (256, 256, 3), np.uint8)
    Image.fromarray(texture).save(tmp_path / f"small{suffix}")
    Image.fromarray(np.tile(texture, (4, 32, 1))).save(tmp_path / f"large{suffix}")
    small, large = (
        peak_mib(tmp_path / f"{name}{suffix}", tmp_path / f"{name}_2x{suffix}") for name in ("small", "large")
    )
    assert large - small < MOST_MIB
