"""What is told of a good picture, and the limits of looking at one."""

from __future__ import annotations

import asyncio
import io
import threading
from pathlib import Path

import pytest
from PIL import Image
from plain_words import check_nothing_left, check_words
from strange_pictures import encoded, good, noise, png

from tilestep.bot import images, threads
from tilestep.bot.images import PictureFacts, ReadLimits, inspect
from tilestep.upscaler.errors import InputError

LIMITS = ReadLimits(1_000_000)


async def test_facts_of_a_picture(tmp_path: Path) -> None:
    facts = await inspect(good()["png, alpha"], LIMITS, folder=tmp_path)
    assert facts == PictureFacts("png", 64, 48, has_alpha=True, dejpeg=0.0, deblur=0.0)
    await check_nothing_left(tmp_path)


async def test_a_jpegs_quality_is_seen_in_its_tables(tmp_path: Path) -> None:
    rough, fine = (encoded("JPEG", quality=quality) for quality in (20, 95))
    found = [(await inspect(data, LIMITS, folder=tmp_path)).dejpeg for data in (rough, fine)]
    assert found[0] > 0.5 > found[1]


async def test_a_file_is_left_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "whatever.txt"
    path.write_bytes(good()["jpeg"])
    assert (await inspect(path, LIMITS)).format == "jpeg"
    assert [entry.name for entry in tmp_path.iterdir()] == ["whatever.txt"]


async def test_sides_are_those_of_the_upright_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    facts = await inspect(encoded("JPEG", exif=exif), LIMITS, folder=tmp_path)
    assert (facts.width_px, facts.height_px) == (48, 64)


async def test_the_limit_is_that_of_the_caller_and_not_of_pillow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert (await inspect(good()["jpeg"], ReadLimits(64 * 48), folder=tmp_path)).width_px == 64
    with pytest.raises(InputError, match="megapixels"):
        await inspect(good()["jpeg"], ReadLimits(64 * 48 - 1), folder=tmp_path)


async def test_a_picture_that_is_read_for_too_long_is_given_up_in_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="longer than") as caught:
        await inspect(png(noise(2000, 2000)), ReadLimits(10**7), timeout_s=0.001, folder=tmp_path)
    check_words(str(caught.value))
    await check_nothing_left(tmp_path)


async def test_when_all_places_are_taken_for_long_the_member_hears_to_come_again(tmp_path: Path) -> None:
    go_on, started = threading.Event(), threading.Barrier(threads.PLACES + 1)

    def wait(patience: threads.Patience) -> None:
        started.wait(60)
        go_on.wait(60)

    stuck = [asyncio.create_task(threads.run_bounded(wait, 60.0)) for _ in range(threads.PLACES)]
    await asyncio.to_thread(started.wait, 60)
    with pytest.raises(InputError, match="Too many pictures") as caught:
        await inspect(good()["jpeg"], LIMITS, timeout_s=0.05, folder=tmp_path)
    check_words(str(caught.value))
    go_on.set()
    await asyncio.gather(*stuck)
    await check_nothing_left(tmp_path)


async def test_a_full_or_missing_temporary_folder_is_told_without_its_name(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        await inspect(good()["jpeg"], LIMITS, folder=tmp_path / "gone")
    check_words(str(caught.value))


async def test_many_at_once_are_all_looked_at(tmp_path: Path) -> None:
    facts = await asyncio.gather(*(inspect(good()["jpeg"], LIMITS, folder=tmp_path) for _ in range(20)))
    assert len(set(facts)) == 1
    await check_nothing_left(tmp_path)


class TestGridAndPreview:
    async def test_a_preview_is_a_small_jpeg(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(png(noise(300, 200, 4, 16)))
        with Image.open(io.BytesIO(await images.preview(path, 100))) as picture:
            assert (picture.format, picture.size, picture.mode) == ("JPEG", (67, 100), "RGB")

    async def test_a_picture_is_not_enlarged_for_its_preview(self) -> None:
        with Image.open(io.BytesIO(await images.preview(noise(10, 20)))) as picture:
            assert picture.size == (20, 10)

    @pytest.mark.parametrize(("count", "size"), [(1, (8, 6)), (2, (16, 6)), (3, (16, 12)), (9, (24, 18))])
    async def test_a_grid_is_nearly_square(self, count: int, size: tuple[int, int], tmp_path: Path) -> None:
        paths = [tmp_path / f"{number}.png" for number in range(count)]
        for number, path in enumerate(paths):
            Image.new("RGB", (8, 6), (number, 0, 0)).save(path)
        target = await images.grid(paths, tmp_path / "grid.png")
        with Image.open(target) as picture:
            assert picture.size == size
            across = size[0] // 8
            for number in range(count):
                assert picture.getpixel((number % across * 8 + 4, number // across * 6 + 3)) == (number, 0, 0)
        assert len(list(tmp_path.iterdir())) == count + 1

    async def test_a_grid_of_a_missing_picture_fails_in_words_and_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(images.OutputError):
            await images.grid([tmp_path / "gone.png"], tmp_path / "grid.png")
        await check_nothing_left(tmp_path)
