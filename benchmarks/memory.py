"""Does memory grow with the picture? Peak memory of the command line, by the operating system, a process for each run.

    python benchmarks/memory.py [--sizes 512 2048 8192] [--formats png jpg tiff] [--quality fast] [--device cpu]

Pictures of random texture, square, are upscaled by 2 file to file; the last row is 2048 pixels at --scale 8. The
largest run may take at most 150 MiB more than the smallest. With the default sizes it takes half an hour on two cores.
On CUDA the device's memory is told too: no picture may take a byte more of it than the smallest that fills a batch.

The peak is the kernel's VmHWM, which each process reads of itself in the end, so this runs on Linux only. What the
kernel tells a parent of its child (ru_maxrss) will not do: it counts the parent's own peak too, from before the exec.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pyvips

ALLOWED_GROWTH_MIB = 150
EIGHTFOLD_PX = 2048
FILLS_A_BATCH_PX = 2048
KIB_PER_MIB = 1024
UPSCALE_AND_TELL = """
import re, sys
from pathlib import Path
from tilestep.upscaler.cli.main import main
code = main(sys.argv[1:])
import torch
print(torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else 0)
print(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
sys.exit(code)
"""


@dataclass(frozen=True)
class Run:
    """One upscale: what it was and what it took."""

    label: str
    side_px: int
    scale: int
    peak_mib: float
    device_bytes: int
    seconds: float


def write_texture(path: Path, side_px: int) -> None:
    """A square picture of coarse and fine noise, written in bands."""
    fine = [pyvips.Image.gaussnoise(side_px, side_px, mean=0, sigma=25, seed=i) for i in range(3)]
    coarse = pyvips.Image.gaussnoise(side_px // 8, side_px // 8, mean=128, sigma=60, seed=9).resize(8)
    coarse = coarse.embed(0, 0, side_px, side_px, extend="copy")
    picture = fine[0].bandjoin(fine[1:]) + coarse
    picture.cast("uchar").copy(interpretation="srgb").write_to_file(str(path))


def measure(source: Path, target: Path, scale: int, options: list[str]) -> tuple[float, int, float]:
    """Peak resident MiB, peak bytes on a CUDA device and seconds of one `tilestep upscale` in a process of its own."""
    command = [sys.executable, "-c", UPSCALE_AND_TELL, "upscale", str(source), "-o", str(target)]
    started = time.perf_counter()
    process = subprocess.run([*command, "--scale", str(scale), *options], capture_output=True, text=True, check=False)
    if process.returncode:
        raise SystemExit(f"{source.name} at scale {scale}: {process.stderr.strip()}")
    device_bytes, peak_kib = map(int, process.stdout.split()[-2:])
    return peak_kib / KIB_PER_MIB, device_bytes, time.perf_counter() - started


def run(folder: Path, side_px: int, scale: int, suffix: str, options: list[str]) -> Run:
    """Draws, upscales and prints one row."""
    source, target = folder / f"in.{suffix}", folder / f"out.{suffix}"
    write_texture(source, side_px)
    peak_mib, device_bytes, seconds = measure(source, target, scale, options)
    header = pyvips.Image.new_from_file(str(target), access="sequential")
    assert (header.width, header.height) == (scale * side_px, scale * side_px)
    target.unlink()
    found = Run(suffix, side_px, scale, peak_mib, device_bytes, seconds)
    on_device = f"{device_bytes:>14,}" if device_bytes else f"{'-':>14}"
    print(
        f"{suffix:<6} {side_px:>6} {scale:>6} {scale * side_px:>7} {peak_mib:>10.0f} {on_device} {seconds:>9.0f}",
        flush=True,
    )
    return found


def device_growth(runs: list[Run]) -> int:
    """Bytes of the device that the hungriest run takes beyond the first that fills a batch."""
    full = [r.device_bytes for r in runs if r.side_px >= FILLS_A_BATCH_PX]
    return max(full) - full[0] if full else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 2048, 8192])
    parser.add_argument("--formats", nargs="+", default=["png", "jpg", "tiff"])
    parser.add_argument("--quality", default="fast")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--checkpoint", type=Path)
    args = parser.parse_args()
    options = ["--quality", args.quality, "--device", args.device, "--force"]
    options += ["--checkpoint", str(args.checkpoint)] if args.checkpoint else []
    print(f"{'format':<6} {'side':>6} {'scale':>6} {'output':>7} {'peak MiB':>10} {'device bytes':>14} {'seconds':>9}")
    with tempfile.TemporaryDirectory(prefix="tilestep-memory-") as name:
        runs = []
        for suffix in args.formats:
            sizes = args.sizes if suffix == args.formats[0] else [args.sizes[0], args.sizes[-1]]
            runs += [run(Path(name), side_px, 2, suffix, options) for side_px in sizes]
        runs.append(run(Path(name), EIGHTFOLD_PX, 8, args.formats[0], options))
    growth = max(r.peak_mib for r in runs) - min(r.peak_mib for r in runs)
    fits = growth <= ALLOWED_GROWTH_MIB
    print(f"growth: {growth:.0f} MiB, {'within' if fits else 'above'} the {ALLOWED_GROWTH_MIB} MiB allowed")
    if any(r.device_bytes for r in runs):
        print(f"growth on the device: {device_growth(runs)} bytes, none is allowed")
    return 0 if fits and not device_growth(runs) else 1


if __name__ == "__main__":
    sys.exit(main())
