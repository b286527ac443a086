"""Pillow's pictures as rows: read and written in bands as they would be whole."""

import numpy as np
import pytest
from PIL import Image
from tiny_tiles import pixels

from tilestep.bot.tasks.pictures import PictureRows, PictureSink


def in_every_mode():
    picture = Image.fromarray(pixels(20, 33))
    clear = Image.merge("RGBA", [*picture.split(), picture.getchannel(0)])
    palette = picture.quantize(16)
    palette.info["transparency"] = 3
    return {mode: picture.convert(mode) for mode in ("1", "L", "RGB", "CMYK", "P")} | {
        "LA": clear.convert("LA"),
        "RGBA": clear,
        "a palette with one clear colour": palette,
    }


@pytest.mark.parametrize("mode", in_every_mode())
def test_the_bands_of_a_picture_are_the_picture(mode):
    picture = in_every_mode()[mode]
    rows = PictureRows(picture)
    bands = [rows.read(start, min(start + 16, rows.height)) for start in range(0, rows.height, 16)]
    expected = np.asarray(picture.convert("RGBA" if rows.channels == 4 else "RGB"))
    np.testing.assert_array_equal(np.concatenate(bands), expected)
    assert (rows.width, rows.height) == picture.size
    assert (rows.channels == 4) == picture.has_transparency_data


@pytest.mark.parametrize("channels", [3, 4])
def test_bands_that_are_written_become_the_picture(channels):
    values = np.random.default_rng(1).uniform(-0.1, 1.1, (33, 20, channels)).astype(np.float32)
    sink = PictureSink(20, 33, channels)
    for start in range(0, 33, 16):
        sink.write(values[start : start + 16])
    expected = (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(sink.picture), expected)
    assert sink.picture.mode == ("RGBA" if channels == 4 else "RGB")
