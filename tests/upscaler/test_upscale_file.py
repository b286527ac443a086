"""Whole files through the real engine, with a network that is too small to be good."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from tilestep.upscaler.engine import EngineLimits
from tilestep.upscaler.errors import InputError, OptionError, OutputError, TilestepError
from tilestep.upscaler.handle import Progress
from tilestep.upscaler.images.probe import ReadLimits
from tilestep.upscaler.model.checkpoint import LoadedModel, load_model
from tilestep.upscaler.model.projection import upsample_bicubic
from tilestep.upscaler.upscale import UpscaleOptions, UpscaleResult, upscale_file

QUICK = UpscaleOptions(quality="faithful", dejpeg=0.0, deblur=0.0)


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> LoadedModel:
    return load_model(checkpoint)


def smooth(height: int, width: int, bands: int = 3) -> np.ndarray:
    """Waves, in which interpolation errors stay small."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (7 + band)) * np.cos(y / (5 + band)) for band in range(bands)]
    return (127.5 + 100 * np.stack(waves, 2)).astype(np.uint8)


def saved(folder: Path, name: str, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(folder / name, **options)
    return folder / name


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def bicubic(pixels: np.ndarray) -> np.ndarray:
    tensor = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    return np.clip(upsample_bicubic(tensor)[0].permute(1, 2, 0).numpy(), 0, 255)


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (70, 1), (3, 5), (33, 61), (100, 20)])
def test_any_size_is_doubled(tmp_path: Path, model: LoadedModel, size: tuple[int, int]) -> None:
    result = upscale_file(saved(tmp_path, "x.png", smooth(*size)), tmp_path / "y.png", model, QUICK)
    assert pixels_of(tmp_path / "y.png").shape == (2 * size[0], 2 * size[1], 3)
    assert result.source_size == (size[1], size[0])
    assert result.target_size == (2 * size[1], 2 * size[0])


@pytest.mark.parametrize("bands", [1, 3])
def test_an_untrained_model_enlarges_as_bicubic_does(tmp_path: Path, model: LoadedModel, bands: int) -> None:
    pixels = smooth(70, 90, bands)
    upscale_file(saved(tmp_path, "x.png", pixels), tmp_path / "y.png", model, QUICK)
    large = pixels_of(tmp_path / "y.png").reshape(140, 180, bands).astype(int)
    assert np.abs(large - bicubic(pixels))[4:-4, 4:-4].max() < 1.5


@pytest.mark.parametrize("name", ["y.png", "y.tif", "y.webp", "y.jpg"])
def test_alpha_is_enlarged_where_the_format_has_it(tmp_path: Path, model: LoadedModel, name: str) -> None:
    upscale_file(saved(tmp_path, "x.png", smooth(20, 20, 4)), tmp_path / name, model, QUICK)
    assert pixels_of(tmp_path / name).shape == (40, 40, 3 if name == "y.jpg" else 4)


def test_sixteen_bits_stay_sixteen(tmp_path: Path, model: LoadedModel) -> None:
    grey = smooth(20, 20, 1).astype(np.uint16) * 257
    upscale_file(saved(tmp_path, "x.png", grey), tmp_path / "y.png", model, QUICK)
    large = pixels_of(tmp_path / "y.png")
    assert large.max() > 255
    assert len(np.unique(large % 257)) > 10


def test_a_rotated_progressive_jpeg_comes_out_upright_and_leaves_no_temporary_file(
    tmp_path: Path, model: LoadedModel
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    source = saved(tmp_path, "x.jpg", smooth(40, 60), exif=exif, progressive=True, quality=95)
    upscale_file(source, tmp_path / "y.png", model, QUICK)
    with Image.open(source) as picture:
        expected = bicubic(np.asarray(ImageOps.exif_transpose(picture)))
    assert np.abs(pixels_of(tmp_path / "y.png") - expected)[4:-4, 4:-4].max() < 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.jpg", "y.png"]


@pytest.mark.parametrize("scale", [4, 8])
def test_larger_scales_pass_again(tmp_path: Path, model: LoadedModel, scale: int) -> None:
    upscale_file(saved(tmp_path, "x.png", smooth(9, 13)), tmp_path / "y.png", model, replace(QUICK, scale=scale))
    assert pixels_of(tmp_path / "y.png").shape == (9 * scale, 13 * scale, 3)


def test_steps_are_taken_in_every_tile_when_asked_for(tmp_path: Path, model: LoadedModel) -> None:
    result = upscale_file(saved(tmp_path, "x.png", smooth(50, 50)), tmp_path / "y.png", model, replace(QUICK, steps=3))
    assert result.tiles > 1
    assert result.steps == 3 * result.tiles


def test_corruption_is_estimated_unless_given(tmp_path: Path, model: LoadedModel) -> None:
    source, options = saved(tmp_path, "x.jpg", smooth(40, 40), quality=75), UpscaleOptions(quality="fast")
    found = upscale_file(source, tmp_path / "y.png", model, options)
    told = upscale_file(source, tmp_path / "z.png", model, replace(options, dejpeg=0.5, deblur=0.25))
    assert found.dejpeg == pytest.approx((96 - 75) / 81, abs=0.02)
    assert (told.dejpeg, told.deblur) == (0.5, 0.25)


def test_a_single_pixel_can_be_estimated_too(tmp_path: Path, model: LoadedModel) -> None:
    result = upscale_file(saved(tmp_path, "x.png", smooth(1, 1)), tmp_path / "y.png", model)
    assert (result.dejpeg, result.deblur) == (0, 0)


def test_progress_ends_with_all_tiles(tmp_path: Path, model: LoadedModel) -> None:
    heard: list[Progress] = []
    limits = EngineLimits(max_batch=1)
    options = replace(QUICK, engine_limits=limits)
    result = upscale_file(saved(tmp_path, "x.png", smooth(60, 60)), tmp_path / "y.png", model, options, heard.append)
    assert heard[-1].tiles_done == heard[-1].tiles_total == result.tiles
    assert [p.tiles_done for p in heard] == sorted(p.tiles_done for p in heard)


def test_the_map_shows_each_tiles_steps(tmp_path: Path, model: LoadedModel) -> None:
    options = replace(QUICK, steps=2, map_path=tmp_path / "map.png")
    upscale_file(saved(tmp_path, "x.png", smooth(30, 185)), tmp_path / "y.png", model, options)
    large = pixels_of(tmp_path / "map.png")
    assert large.shape[1] == 370
    assert large.shape[0] > 60
    assert (large[:60, :, 1] > large[:60, :, 2]).all()  # all tiles have the colour of the most steps, a yellow


def test_a_quantisation_table_with_a_zero_is_no_fault(tmp_path: Path, model: LoadedModel) -> None:
    source = saved(tmp_path, "x.jpg", smooth(40, 40), quality=75)
    data = bytearray(source.read_bytes())
    data[data.index(b"\xff\xdb") + 65] = 0
    source.write_bytes(data)
    result = upscale_file(source, tmp_path / "y.png", model, UpscaleOptions(quality="fast"))
    assert result.target_size == (80, 80)


def failure(error: type[TilestepError], *arguments: object) -> str:
    with pytest.raises(error) as caught:
        upscale_file(*arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestRefusals:
    def test_a_truncated_picture_leaves_nothing(self, tmp_path: Path, model: LoadedModel) -> None:
        source = saved(tmp_path, "x.jpg", smooth(200, 200))
        source.write_bytes(source.read_bytes()[:-2000])
        assert "truncated" in failure(InputError, source, tmp_path / "y.png", model, QUICK)
        assert "truncated" in failure(InputError, source, tmp_path / "y.png", model, UpscaleOptions(quality="fast"))
        assert [file.name for file in tmp_path.iterdir()] == ["x.jpg"]

    def test_an_interruption_at_any_step_leaves_nothing(self, tmp_path: Path, model: LoadedModel) -> None:
        def interrupt(progress: Progress) -> None:
            if progress.tiles_done > 2:
                raise KeyboardInterrupt

        source = saved(tmp_path, "x.png", smooth(420, 420))
        with pytest.raises(KeyboardInterrupt):
            upscale_file(source, tmp_path / "y.png", model, QUICK, interrupt)
        assert [file.name for file in tmp_path.iterdir()] == ["x.png"]

    def test_a_map_that_cannot_be_written_leaves_no_picture(self, tmp_path: Path, model: LoadedModel) -> None:
        def remove_folder(progress: Progress) -> None:
            if progress.tiles_done == progress.tiles_total:
                (tmp_path / "maps").rmdir()

        source = saved(tmp_path, "x.png", smooth(8, 8))
        (tmp_path / "maps").mkdir()
        options = replace(QUICK, map_path=tmp_path / "maps" / "map.png")
        assert "map.png" in failure(OutputError, source, tmp_path / "y.png", model, options, remove_folder)
        assert [file.name for file in tmp_path.iterdir()] == ["x.png"]

    def test_the_picture_itself_is_never_overwritten(self, tmp_path: Path, model: LoadedModel) -> None:
        source = saved(tmp_path, "x.png", smooth(8, 8))
        (tmp_path / "link.png").symlink_to(source)
        before = source.read_bytes()
        for target in (source, tmp_path / "link.png"):
            assert "itself" in failure(OutputError, source, target, model, replace(QUICK, overwrite=True))
        assert source.read_bytes() == before

    def test_results_are_overwritten_only_when_asked(self, tmp_path: Path, model: LoadedModel) -> None:
        source = saved(tmp_path, "x.png", smooth(8, 8))
        (tmp_path / "y.png").write_text("old")
        assert "--force" in failure(OutputError, source, tmp_path / "y.png", model, QUICK)
        result = upscale_file(source, tmp_path / "y.png", model, replace(QUICK, overwrite=True))
        assert isinstance(result, UpscaleResult)
        assert pixels_of(tmp_path / "y.png").shape == (16, 16, 3)

    def test_too_large_for_webp_is_said_before_the_work(self, tmp_path: Path, model: LoadedModel) -> None:
        source = saved(tmp_path, "x.png", smooth(1, 8192))
        assert "PNG" in failure(OutputError, source, tmp_path / "y.webp", model, QUICK)

    def test_more_pixels_than_allowed(self, tmp_path: Path, model: LoadedModel) -> None:
        source = saved(tmp_path, "x.png", smooth(8, 8))
        options = replace(QUICK, read_limits=ReadLimits(63))
        assert "limit" in failure(InputError, source, tmp_path / "y.png", model, options)

    @pytest.mark.parametrize(
        "wrong", [{"scale": 3}, {"quality": "superb"}, {"steps": -1}, {"dejpeg": 2.0}, {"map_path": Path("map.jpg")}]
    )
    def test_options_that_make_no_sense(self, tmp_path: Path, model: LoadedModel, wrong: dict[str, object]) -> None:
        source = saved(tmp_path, "x.png", smooth(8, 8))
        failure(OptionError, source, tmp_path / "y.png", model, replace(QUICK, **wrong))  # type: ignore[arg-type]
        assert [file.name for file in tmp_path.iterdir()] == ["x.png"]
