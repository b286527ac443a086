"""The number format of the network: chosen by the kind of machine, and not to be seen in the result."""

import numpy as np
import pytest
import torch
from PIL import Image

from tilestep.upscaler import load_model, upscale_array
from tilestep.upscaler.cli.main import main
from tilestep.upscaler.errors import OptionError
from tilestep.upscaler.model.precision import choose_dtype
from tilestep.upscaler.quality import FULL, with_steps


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": False}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_auto_takes_bfloat16_on_cpus_with_instructions_for_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_dtype("auto", "cpu") is expected


def test_auto_takes_float16_on_cuda():
    assert choose_dtype("auto", "cuda:1") is torch.float16


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_named_precision_is_taken(device):
    assert choose_dtype("float32", device) is torch.float32
    assert choose_dtype("bfloat16", device) is torch.bfloat16


@pytest.mark.parametrize(("name", "words"), [("float16", "for CUDA devices"), ("int8", "no precision 'int8'")])
def test_what_cannot_be_is_refused_in_words(name, words):
    with pytest.raises(OptionError, match=words):
        choose_dtype(name, "cpu")


@pytest.fixture(scope="module")
def models():
    return {dtype: load_model(dtype=dtype) for dtype in (torch.float32, torch.bfloat16)}


def textured(side_px):
    """Stripes, an edge and noise."""
    y, x = np.mgrid[:side_px, :side_px]
    picture = 120 + 60 * np.sin(x / 2.0 + y / 5.0) + 50 * (x > y)
    noise = np.random.default_rng(3).normal(0, 4, (side_px, side_px, 3))
    return np.clip(picture[..., None] + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "quality", [FULL["fast"], FULL["faithful"], with_steps(FULL["balanced"], 2)], ids=lambda q: q.name
)
def test_bfloat16_on_a_cpu_is_within_a_level_of_float32(models, quality):
    exact, half = (upscale_array(model, textured(56), quality) * 255 for model in models.values())
    off = np.abs(exact - half)
    assert 0 < off.max() < 4
    assert (off <= 1).mean() >= 0.999


def test_the_command_line_takes_a_precision_and_refuses_what_cannot_be(tmp_path, capsys):
    Image.fromarray(textured(24)).save(tmp_path / "a.png")
    words = ["upscale", str(tmp_path / "a.png"), "--quality", "fast", "--device", "cpu", "--force"]
    assert main([*words, "--precision", "float16"]) == 2
    assert "float16 is for CUDA devices" in capsys.readouterr().err
    found = {}
    for precision in ("float32", "bfloat16"):
        assert main([*words, "--precision", precision]) == 0
        found[precision] = np.asarray(Image.open(tmp_path / "a_2x.png")).astype(int)
    assert np.abs(found["float32"] - found["bfloat16"]).max() == 1
