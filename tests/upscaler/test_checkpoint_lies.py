"""Checkpoints of our own kind that say of themselves what is not so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import Captured, draw, lines, names, upscale
from safetensors.torch import save_file

from tilestep.upscaler.errors import CheckpointError
from tilestep.upscaler.model.checkpoint import load_model, read_checkpoint

Description = dict[str, Any]


@pytest.fixture
def tampered(checkpoint: Path, tmp_path: Path) -> Callable[[Callable[[Description], object]], Path]:
    """Writes the checkpoint with another description."""

    def write(change: Callable[[Description], object]) -> Path:
        weights, descriptor = read_checkpoint(checkpoint)
        metadata = descriptor.to_metadata()
        description = json.loads(metadata["descriptor"])
        change(description)
        path = tmp_path / "lying.safetensors"
        save_file(weights, path, metadata=metadata | {"descriptor": json.dumps(description)})
        return path

    return write


Tampered = Callable[[Callable[[Description], object]], Path]


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("lying.safetensors ")
    assert "train or download it again" in str(caught.value)
    return str(caught.value)


def test_what_was_not_touched_is_loaded(tampered: Tampered) -> None:
    assert load_model(tampered(lambda description: None)).descriptor.network.width == 8


@pytest.mark.parametrize("width", ["8", -8, 0, 10**12, 8.0, True, None, [8]])
def test_a_width_that_is_no_sensible_number_is_named(tampered: Tampered, width: object) -> None:
    assert "width is" in refusal(tampered(lambda description: description["network"].update(width=width)))


@pytest.mark.parametrize("width", [16, 4096])
def test_a_network_larger_than_its_weights_is_never_made(tampered: Tampered, width: int) -> None:
    path = tampered(lambda description: description["network"].update(width=width, shallow_blocks=200))
    assert "does not fit its own description" in refusal(path)


def test_weights_of_whole_numbers_do_not_fit(checkpoint: Path, tmp_path: Path) -> None:
    weights, descriptor = read_checkpoint(checkpoint)
    path = tmp_path / "lying.safetensors"
    save_file({name: tensor.to(torch.int8) for name, tensor in weights.items()}, path, descriptor.to_metadata())
    assert "does not fit its own description" in refusal(path)


@pytest.mark.parametrize(
    "thresholds",
    [[1.0, 2.0], {"best": 1.0}, {"best": ["1"]}, {"best": [2.0, 1.0]}, {"best": [float("nan")]}, {"best": [1.0] * 51}],
)
def test_step_budgets_are_ascending_numbers(tampered: Tampered, thresholds: object) -> None:
    refusal(tampered(lambda description: description["calibration"].update(thresholds=thresholds)))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"read_px": 10}, "too few for an overlap"),
        ({"shallow_read_px": 10}, "too few for an overlap"),
        ({"halo_px": -1}, "halo_px is -1"),
        ({"halo_px": 300}, "tile of 208 px"),
        ({"overlap_px": 40}, "too few for an overlap of 40"),
        ({"read_px": 49}, "multiples of 2"),
        ({"read_px": "48"}, "read_px is '48'"),
        ({"shallow_read_px": 10**9}, "shallow_read_px is 1000000000"),
        ({"tile_multiple": 0}, "tile_multiple is 0"),
        ({"tile_multiple": 3}, "odd"),
        ({"scale": 4}, "scale is 4"),
        ({"scale": 2.0}, "scale is 2.0"),
        ({"precision": "int4"}, "precision is 'int4'"),
        ({"precision": ["float16"]}, "precision is"),
        ({"trained": [1]}, "trained is no table"),
        ({"network": [64]}, "damaged description"),
        ({"process": None}, "damaged description"),
        ({"colour": "blue"}, "unknown fields"),
    ],
)
def test_tiles_and_kinds_that_cannot_be_run_are_named(tampered: Tampered, facts: Description, words: str) -> None:
    assert words in refusal(tampered(lambda description: description.update(facts)))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"prediction_type": "v"}, "prediction_type is 'v', and this program knows x0"),
        ({"sigma_r": 0}, "sigma_r is 0"),
        ({"kappa": float("inf")}, "kappa is inf"),
        ({"w_floor": "low"}, "w_floor is 'low'"),
    ],
)
def test_another_diffusion_is_named(tampered: Tampered, facts: Description, words: str) -> None:
    assert words in refusal(tampered(lambda description: description["process"].update(facts)))


def test_the_command_says_it_in_one_line(folder: Path, tampered: Tampered, capsys: Captured) -> None:
    draw("a.png")
    path = tampered(lambda description: description.update(scale=4))
    assert upscale(path, "a.png") == 2
    (line,) = lines(capsys)
    assert line.startswith("tilestep upscale: lying.safetensors has a damaged description (scale is 4")
    assert names(folder) == ["a.png", "lying.safetensors"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA card here")
def test_weights_that_cannot_be_put_on_a_device_say_so_in_one_line() -> None:
    with pytest.raises(CheckpointError, match=r"cannot be put on cuda \(.+\): close other .* device cpu"):
        load_model(device="cuda")
