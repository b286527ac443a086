"""Picture files that were made to mislead: each is read as far as it makes sense, or refused in words."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from tilestep.upscaler.errors import InputError
from tilestep.upscaler.images.encoder import Layout
from tilestep.upscaler.images.exif import for_result
from tilestep.upscaler.images.info import Metadata
from tilestep.upscaler.images.metadata import ICC_PIECE_BYTES, MOST_ICC_PIECES
from tilestep.upscaler.images.probe import probe
from tilestep.upscaler.images.result import Result, plan_result
from tilestep.upscaler.images.sink import PictureSink
from tilestep.upscaler.images.source import PictureSource

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LONG_PROFILE = SRGB[:128] + bytes(MOST_ICC_PIECES * ICC_PIECE_BYTES)
FAR = b"II+\0\x08\0\0\0" + b"\xff" * 8
"""A BigTIFF header whose first directory lies 2**64 - 1 bytes away."""


def encoded(file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg_with(*segments: bytes) -> bytes:
    data = encoded("JPEG")
    return data[:2] + b"".join(segments) + data[2:]


def rows(path: Path) -> np.ndarray:
    with PictureSource(probe(path)) as source:
        return source.read(0, source.height)


class TestJpeg:
    def test_a_quantisation_table_with_a_zero_says_nothing_of_the_quality(self, tmp_path: Path) -> None:
        data = bytearray(encoded("JPEG"))
        data[data.index(b"\xff\xdb") + 65] = 0
        (tmp_path / "x.jpg").write_bytes(data)
        assert probe(tmp_path / "x.jpg").tables is None
        assert rows(tmp_path / "x.jpg").shape == (24, 24, 3)

    def test_a_zero_in_the_table_of_the_colours_leaves_that_of_the_luma(self, tmp_path: Path) -> None:
        data = bytearray(encoded("JPEG"))
        data[data.rindex(b"\xff\xdb") + 65] = 0
        (tmp_path / "x.jpg").write_bytes(data)
        tables = probe(tmp_path / "x.jpg").tables
        assert tables is not None
        assert list(tables.steps) == [0]

    def test_an_empty_piece_does_not_spoil_the_colour_profile(self, tmp_path: Path) -> None:
        mark = b"ICC_PROFILE\0"
        (tmp_path / "x.jpg").write_bytes(jpeg_with(segment(0xE2, mark), segment(0xE2, mark + b"\1\1" + SRGB)))
        assert probe(tmp_path / "x.jpg").metadata.icc == SRGB

    def test_exif_that_points_far_away_is_no_exif(self, tmp_path: Path) -> None:
        (tmp_path / "x.jpg").write_bytes(jpeg_with(segment(0xE1, b"Exif\0\0" + FAR)))
        info = probe(tmp_path / "x.jpg")
        assert info.orientation == 1
        assert info.metadata.exif == FAR
        assert for_result(FAR, 2, 2) is None
        assert rows(tmp_path / "x.jpg").shape == (24, 24, 3)


def test_a_tiff_that_points_far_away_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(FAR)
    with pytest.raises(InputError, match="damaged: it points beyond its end"):
        probe(tmp_path / "x.tif")


def test_an_empty_header_in_webp_is_passed_over_or_refused_by_the_decoder(tmp_path: Path) -> None:
    body = b"WEBPVP8X" + bytes(4) + encoded("WEBP")[12:]
    (tmp_path / "x.webp").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert probe(tmp_path / "x.webp").width == 24
    with pytest.raises(InputError, match="damaged"):
        rows(tmp_path / "x.webp")


class TestProfilesTooLongForJpeg:
    def test_one_is_left_out_and_said(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").write_bytes(encoded("PNG", icc_profile=LONG_PROFILE))
        with PictureSource(probe(tmp_path / "x.png")) as source:
            result = plan_result(source, tmp_path / "y.jpg", 2)
        assert result.layout.metadata.icc is None
        assert "colour profile was left out: it is longer than the 16 MiB" in result.notes[0]

    def test_the_longest_that_fits_is_kept(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").write_bytes(encoded("PNG", icc_profile=LONG_PROFILE[:-128]))
        with PictureSource(probe(tmp_path / "x.png")) as source:
            result = plan_result(source, tmp_path / "y.jpg", 2)
        with PictureSink(result) as sink:
            sink.write(np.zeros((48, 48, 3), np.float32))
            sink.finish()
        assert probe(tmp_path / "y.jpg").metadata.icc == LONG_PROFILE[:-128]

    def test_a_result_that_cannot_even_begin_leaves_nothing(self, tmp_path: Path) -> None:
        layout = Layout("jpeg", 8, 8, 3, 8, Metadata(icc=LONG_PROFILE))
        with pytest.raises(ValueError, match="range"):
            PictureSink(Result(tmp_path / "y.jpg", layout, ()))
        assert list(tmp_path.iterdir()) == []
