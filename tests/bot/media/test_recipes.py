"""How a picture was made, in its PNG file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from plain_words import check_words
from strange_pictures import chunk, encoded, noise, png

from tilestep.bot.recipes import parameters_text, read_recipe, write_recipe
from tilestep.upscaler.errors import OutputError

RECIPE = {
    "prompt": "a cat, ink",
    "negative_prompt": "dog",
    "model": "tiny",
    "scheduler": "Euler",
    "width_px": 64,
    "height_px": 48,
    "steps": 4,
    "guidance": 7.5,
    "seed": 12345678901234567890,
    "versions": {"diffusers": "1"},
}


async def test_a_recipe_is_read_back_and_the_pixels_stay(tmp_path: Path) -> None:
    pixels, path = noise(48, 64), tmp_path / "a.png"
    path.write_bytes(png(pixels))
    await write_recipe(path, tmp_path / "b.png", RECIPE)
    assert await read_recipe(tmp_path / "b.png") == RECIPE
    with Image.open(tmp_path / "b.png") as picture:
        assert np.array_equal(np.asarray(picture), pixels)
        assert picture.info["parameters"] == parameters_text(RECIPE)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_parameters_are_written_as_web_interfaces_write_them() -> None:
    assert parameters_text(RECIPE).splitlines() == [
        "a cat, ink",
        "Negative prompt: dog",
        "Steps: 4, Sampler: Euler, CFG scale: 7.5, Seed: 12345678901234567890, Size: 64x48, Model: tiny",
    ]


async def test_an_earlier_recipe_is_replaced_and_other_text_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(noise(4, 4), chunk(b"tEXt", b"parameters\0old"), chunk(b"tEXt", b"Author\0me")))
    for seed in (1, 2):
        await write_recipe(path, path, {"prompt": "new", "seed": seed})
    with Image.open(path) as picture:
        assert picture.info["parameters"] == "new\nSeed: 2"
        assert picture.info["Author"] == "me"
    assert path.read_bytes().count(b"tilestep\0") == 1


@pytest.mark.parametrize("prompt", ["日本語 🙂", "line\nline", "a\0b", "\x1b[31m", "", "é", '"quotes" \\ {json}'])
async def test_any_prompt_survives(prompt: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(noise(4, 4)))
    await write_recipe(path, path, {"prompt": prompt})
    assert await read_recipe(path) == {"prompt": prompt}
    with Image.open(path) as picture:
        picture.load()
        assert picture.info["parameters"] == prompt.replace("\0", " ")


async def test_a_picture_without_a_recipe_has_none(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(noise(4, 4)))
    assert await read_recipe(path) is None
    assert await read_recipe(tmp_path / "gone.png") is None


@pytest.mark.parametrize("data", [encoded("JPEG"), png(noise(9, 9))[:100], b""])
async def test_only_whole_png_files_take_a_recipe(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(OutputError) as caught:
        await write_recipe(tmp_path / "a.png", tmp_path / "b.png", RECIPE)
    check_words(str(caught.value))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


async def test_a_recipe_of_megabytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(noise(4, 4)))
    with pytest.raises(OutputError, match="KiB"):
        await write_recipe(tmp_path / "a.png", tmp_path / "b.png", {"prompt": "x" * 70_000})
