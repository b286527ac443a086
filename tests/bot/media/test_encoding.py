"""The ladder from PNG down to what fits."""

from __future__ import annotations

import asyncio
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from plain_words import check_nothing_left, check_words, join_threads
from strange_pictures import chunk, noise, png

from tilestep.bot import encoding
from tilestep.bot.encoding import LADDER, SMALLER, Encoded, encode_under
from tilestep.upscaler.errors import OutputError

HUGE = 1 << 40


def photo(height: int, width: int, bands: int = 3, bits: int = 8) -> np.ndarray[Any, Any]:
    """Smooth, with a little noise: each rung is smaller than the one before."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / (9 + band)) * np.cos(y / (13 - band)) for band in range(bands)]
    values = 0.5 + 0.4 * np.stack(waves, 2) + 0.02 * noise(height, width, bands) / 255
    return (np.clip(values, 0, 1) * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    return saved(tmp_path, photo(96, 128))


def saved(folder: Path, pixels: np.ndarray[Any, Any], *extra: bytes) -> Path:
    path = folder / "result.png"
    path.write_bytes(png(pixels, *extra))
    return path


async def sizes(path: Path, folder: Path) -> list[int]:
    """Bytes at each rung."""
    return [(await encode_under(path, "png", HUGE, folder, rung)).bytes for rung in range(SMALLER)]


def check(encoded: Encoded, limit_bytes: int) -> None:
    assert encoded.path.stat().st_size == encoded.bytes <= limit_bytes
    with Image.open(encoded.path) as picture:
        assert (picture.format or "").lower() == encoded.format
        assert picture.size == (encoded.width_px, encoded.height_px)
        picture.load()


async def test_a_png_that_fits_is_handed_back_as_it_is(finished: Path, tmp_path: Path) -> None:
    encoded = await encode_under(finished, "png", finished.stat().st_size, tmp_path)
    assert (encoded.path, encoded.rung, encoded.note) == (finished, 0, "")
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("rung", range(SMALLER))
async def test_every_rung_makes_the_file_that_it_says(rung: int, finished: Path, tmp_path: Path) -> None:
    encoded = await encode_under(finished, "png", HUGE, tmp_path, rung)
    check(encoded, HUGE)
    assert (encoded.rung, encoded.format) == (rung, LADDER[rung].format)
    assert (encoded.width_px, encoded.height_px) == (128, 96)
    if rung:
        assert str(LADDER[rung].quality or "lossless") in encoded.note


async def test_lossless_webp_has_the_same_pixels(tmp_path: Path) -> None:
    pixels = noise(40, 50, 4)
    encoded = await encode_under(saved(tmp_path, pixels), "webp", HUGE, tmp_path)
    with Image.open(encoded.path) as picture:
        assert np.array_equal(np.asarray(picture), pixels)
    assert encoded.note == ""


async def test_the_best_rung_that_fits_is_taken(finished: Path, tmp_path: Path) -> None:
    found = await sizes(finished, tmp_path)
    for limit_bytes in {*found, *(count - 1 for count in found if count > min(found))}:
        encoded = await encode_under(finished, "png", limit_bytes, tmp_path)
        check(encoded, limit_bytes)
        assert encoded.rung == next(rung for rung, count in enumerate(found) if count <= limit_bytes)


@pytest.mark.parametrize("wanted", ["png", "webp", "jpeg"])
@pytest.mark.parametrize("kind", [(3, 8), (4, 8), (3, 16), (4, 16)])
@pytest.mark.parametrize("limit_bytes", [30_000, 9_000, 3_000, 900])
async def test_noise_of_any_kind_fits_into_any_limit(
    wanted: Any, kind: tuple[int, int], limit_bytes: int, tmp_path: Path
) -> None:
    encoded = await encode_under(saved(tmp_path, noise(60, 90, *kind)), wanted, limit_bytes, tmp_path)
    check(encoded, limit_bytes)
    if encoded.path.name != "result.png":
        assert ("smaller, " in encoded.note) == (encoded.width_px < 90)
        assert ("16 bits" in encoded.note) == (kind[1] == 16)
        assert ("laid on white" in encoded.note) == (kind[0] == 4 and encoded.format == "jpeg")
    assert not list(tmp_path.glob(".*"))


async def test_transparency_becomes_white_in_a_jpeg(tmp_path: Path) -> None:
    pixels = np.zeros((32, 32, 4), np.uint16)
    encoded = await encode_under(saved(tmp_path, pixels), "jpeg", HUGE, tmp_path)
    with Image.open(encoded.path) as picture:
        assert np.asarray(picture).min() > 250


async def test_16_bits_keep_their_brightness(tmp_path: Path) -> None:
    pixels = np.full((32, 32, 3), 200 * 257, np.uint16)
    for rung in (1, 4):
        encoded = await encode_under(saved(tmp_path, pixels), "png", HUGE, tmp_path, rung)
        with Image.open(encoded.path) as picture:
            assert abs(int(np.asarray(picture)[16, 16, 0]) - 200) <= 1


async def test_after_a_refusal_each_next_file_is_smaller_until_words_say_that_it_is_impossible(
    finished: Path, tmp_path: Path
) -> None:
    seen = list[int]()

    async def refuse_all(encoded: Encoded) -> None:
        seen.append(encoded.bytes)
        await refuse_all(await encode_under(finished, "png", encoded.bytes - 1, tmp_path, encoded.rung + 1))

    first = await encode_under(finished, "png", HUGE, tmp_path)
    with pytest.raises(OutputError) as caught:
        await refuse_all(first)
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < seen[0] / 50
    check_words(str(caught.value))


async def test_a_limit_that_nothing_fits_ends_in_words_and_leaves_nothing(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        await encode_under(finished, "png", 50, tmp_path)
    check_words(str(caught.value))
    finished.unlink()
    await check_nothing_left(tmp_path)


async def test_a_profile_that_is_nonsense_or_large_does_not_stop_it(tmp_path: Path) -> None:
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(np.random.default_rng(1).bytes(200_000)))
    text = chunk(b"tEXt", b"a\0" + b"b" * 100_000)
    encoded = await encode_under(saved(tmp_path, noise(40, 40), profile, text), "png", 3000, tmp_path)
    check(encoded, 3000)


async def test_a_picture_that_is_too_wide_for_webp_becomes_jpeg(tmp_path: Path) -> None:
    path = saved(tmp_path, noise(2, 16_400))
    encoded = await encode_under(path, "webp", HUGE, tmp_path)
    assert (encoded.format, encoded.width_px) == ("jpeg", 16_400)
    check_words(encoded.note.partition(".")[0] + ". Use it.")


async def test_a_rung_that_takes_too_long_is_left_for_the_next(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "RUNG_LIMIT_S", 0.0)
    with pytest.raises(OutputError):
        await encode_under(finished, "png", 100, tmp_path)
    await asyncio.to_thread(join_threads)
    finished.unlink()
    await check_nothing_left(tmp_path)


async def test_a_finished_picture_that_is_gone_ends_in_words(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        await encode_under(tmp_path / "gone.png", "png", 1000, tmp_path)
    check_words(str(caught.value))
