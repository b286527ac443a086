"""Reading pictures by content, in bands, and refusing what is broken."""

from __future__ import annotations

import io
import os
import struct
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tilestep.upscaler.errors import InputError
from tilestep.upscaler.images.info import PngChunk
from tilestep.upscaler.images.probe import ReadLimits, probe
from tilestep.upscaler.images.read_jpeg import zigzag_index
from tilestep.upscaler.images.source import PictureSource, sample_strips, strip_rows


def noise(height: int, width: int, bands: int = 3, dtype: type = np.uint8) -> np.ndarray:
    generator = np.random.default_rng(height * 1000 + width)
    shape = (height, width, bands) if bands > 1 else (height, width)
    return generator.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def saved(folder: Path, name: str, picture: Image.Image | np.ndarray, **options: object) -> Path:
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(folder / name, **options)
    return folder / name


def read_all(path: Path, rows: int = 16) -> np.ndarray:
    with PictureSource(probe(path)) as source:
        bands = [source.read(y, min(y + rows, source.height)) for y in range(0, source.height, rows)]
        return np.concatenate(bands)


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def rgb16_png(path: Path, pixels: np.ndarray) -> Path:
    """16-bit RGB, which Pillow does not write."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + width * 6), np.uint8)
    rows[:, 1:] = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows.tobytes())),
    ]
    path.write_bytes(png_file(*chunks))
    return path


def png_file(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*chunks, (b"IEND", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


class TestWhatIsRead:
    def test_the_content_decides_and_not_the_name(self, tmp_path: Path) -> None:
        path = saved(tmp_path, "looks-like.png", noise(5, 7), format="JPEG")
        assert probe(path).format == "jpeg"

    @pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (33, 17), (3, 700)])
    @pytest.mark.parametrize("name", ["x.png", "x.tif", "x.webp"])
    def test_pixels_are_those_of_the_file_at_every_size(self, tmp_path: Path, name: str, size: tuple[int, int]) -> None:
        pixels = noise(*size)
        path = saved(tmp_path, name, pixels, **({"lossless": True} if name == "x.webp" else {}))
        assert (read_all(path) == pixels).all()

    def test_grey_becomes_three_equal_channels(self, tmp_path: Path) -> None:
        pixels = noise(9, 8, 1)
        assert (read_all(saved(tmp_path, "x.png", pixels)) == pixels[..., None]).all()

    def test_grey_with_alpha_becomes_rgba(self, tmp_path: Path) -> None:
        picture = Image.fromarray(noise(9, 8, 2), "LA")
        assert (read_all(saved(tmp_path, "x.png", picture)) == np.asarray(picture.convert("RGBA"))).all()

    def test_a_palette_with_a_transparent_entry_becomes_rgba(self, tmp_path: Path) -> None:
        picture = Image.fromarray(noise(20, 21)).quantize(16)
        path = saved(tmp_path, "x.png", picture, transparency=3)
        assert probe(path).colour == "palette"
        assert probe(path).has_alpha
        assert (read_all(path) == np.asarray(Image.open(path).convert("RGBA"))).all()

    @pytest.mark.parametrize("bits", [1, 4])
    def test_few_bits_per_sample_are_widened(self, tmp_path: Path, bits: int) -> None:
        picture = (
            Image.fromarray(noise(20, 21, 1)).convert("1") if bits == 1 else Image.fromarray(noise(9, 9)).quantize(9)
        )
        path = saved(tmp_path, "x.png", picture)
        assert probe(path).bits == bits
        assert (read_all(path) == np.asarray(picture.convert("RGB"))).all()

    def test_sixteen_bits_stay_sixteen(self, tmp_path: Path) -> None:
        pixels = noise(19, 23, 3, np.uint16)
        rows = read_all(rgb16_png(tmp_path / "x.png", pixels))
        assert rows.dtype == np.uint16
        assert (rows == pixels).all()

    @pytest.mark.parametrize("name", ["x.jpg", "x.tif"])
    def test_cmyk_becomes_srgb_of_about_the_same_colour(self, tmp_path: Path, name: str) -> None:
        red = Image.new("CMYK", (24, 24), (0, 255, 255, 0))
        with PictureSource(probe(saved(tmp_path, name, red))) as source:
            pixel = source.read(0, 1)[0, 0].astype(int)
            assert source.converted
        assert pixel[0] > 200
        assert pixel[1:].max() < 90

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("name", ["x.png", "x.tif", "x.webp", "x.jpg"])
    def test_exif_orientation_is_applied(self, tmp_path: Path, name: str, orientation: int) -> None:
        options = {"lossless": True} if name == "x.webp" else {}
        path = saved(tmp_path, name, noise(37, 53), exif=turned(orientation), **options)
        expected = ImageOps.exif_transpose(Image.open(path))
        assert (probe(path).width, probe(path).height) == expected.size
        assert (read_all(path) == np.asarray(expected)).all()

    def test_what_comes_in_order_is_streamed_and_the_rest_is_not(self, tmp_path: Path) -> None:
        pixels = noise(30, 40)
        kinds = {
            "a.png": {},
            "b.jpg": {},
            "c.tif": {"compression": "tiff_lzw"},
            "d.jpg": {"progressive": True},
            "e.webp": {},
            "f.jpg": {"exif": turned(6)},
        }
        in_order = [probe(saved(tmp_path, name, pixels, **options)).streams_in_order for name, options in kinds.items()]
        assert in_order == [True, True, True, False, False, False]

    @pytest.mark.parametrize("name", ["a.jpg", "b.jpg"])
    def test_baseline_and_progressive_jpeg_decode_as_elsewhere(self, tmp_path: Path, name: str) -> None:
        path = saved(tmp_path, name, noise(50, 41), progressive=name == "b.jpg", subsampling=0)
        assert (read_all(path) == np.asarray(Image.open(path))).all()

    def test_premultiplied_colours_are_made_straight(self, tmp_path: Path) -> None:
        pixels = np.full((8, 8, 4), (200, 100, 50, 128), np.uint8)
        pyvips.Image.new_from_array(pixels, interpretation="srgb").tiffsave(str(tmp_path / "x.tif"), premultiply=True)
        assert np.abs(read_all(tmp_path / "x.tif").astype(int) - pixels).max() <= 2

    @pytest.mark.parametrize("options", [{"interlace": True}, {}])
    def test_interlaced_and_plain_png_read_the_same(self, tmp_path: Path, options: dict[str, bool]) -> None:
        pixels = noise(21, 34, 4)
        pyvips.Image.new_from_array(pixels, interpretation="srgb").pngsave(str(tmp_path / "x.png"), **options)
        assert probe(tmp_path / "x.png").streams_in_order == (not options)
        assert (read_all(tmp_path / "x.png") == pixels).all()

    @pytest.mark.parametrize("options", [{"tile": True}, {"bigtiff": True}, {"tile": True, "pyramid": True}])
    def test_tiles_large_offsets_and_pyramids_of_tiff(self, tmp_path: Path, options: dict[str, bool]) -> None:
        pixels = noise(300, 280)
        path = str(tmp_path / "x.tif")
        pyvips.Image.new_from_array(pixels, interpretation="srgb").tiffsave(path, **options)
        assert (read_all(tmp_path / "x.tif") == pixels).all()

    def test_a_tiff_thumbnail_page_is_passed_over(self, tmp_path: Path) -> None:
        pixels = noise(20, 20)
        small = Image.fromarray(pixels).resize((5, 5))
        small.encoderinfo = {"tiffinfo": {254: 1}}  # type: ignore[attr-defined]
        path = saved(tmp_path, "x.tif", pixels, save_all=True, append_images=[small])
        assert (read_all(path) == pixels).all()

    def test_quantisation_tables_come_in_row_order(self, tmp_path: Path) -> None:
        path = saved(tmp_path, "x.jpg", noise(16, 16), quality=60)
        tables = probe(path).tables
        assert tables is not None
        with Image.open(path) as picture:
            assert {number: list(steps) for number, steps in tables.steps.items()} == picture.quantization

    def test_the_zigzag_is_a_permutation(self) -> None:
        assert sorted(zigzag_index(r, c) for r in range(8) for c in range(8)) == list(range(64))

    def test_png_text_is_kept_as_it_is(self, tmp_path: Path) -> None:
        head, text = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0), (b"tEXt", b"parameters\0a cat, masterpiece")
        data = (b"IDAT", zlib.compress(b"\0\7"))
        (tmp_path / "x.png").write_bytes(png_file((b"IHDR", head), data, text))
        assert probe(tmp_path / "x.png").metadata.png_text == (PngChunk(*text),)

    @settings(max_examples=25, deadline=None)
    @given(st.sampled_from([1, 2, 4]), st.lists(st.tuples(st.integers(1, 40), st.integers(-9, 20)), min_size=1))
    def test_rows_may_be_read_in_any_steps_downwards(
        self, tmp_path_factory: pytest.TempPathFactory, orientation: int, steps: list[tuple[int, int]]
    ) -> None:
        path = saved(tmp_path_factory.mktemp("rows"), "x.png", noise(90, 6), exif=turned(orientation))
        with Image.open(path) as picture:
            expected = np.asarray(ImageOps.exif_transpose(picture))
        start = 0
        with PictureSource(probe(path)) as source:
            for rows, gap in steps:
                stop = min(start + rows, 90)
                assert (source.read(start, stop) == expected[start:stop]).all()
                start = min(max(start, stop + gap), 89)


class TestSample:
    def test_strips_are_aligned_and_true_to_the_picture(self, tmp_path: Path) -> None:
        pixels = noise(400, 50)
        strips = sample_strips(saved(tmp_path, "x.png", pixels), max_pixels=6000)
        assert sum(rows.size // 3 for _, rows in strips) <= 6000
        assert strips[-1][0] > 300
        for first, rows in strips:
            assert first % 8 == 0
            assert (rows == pixels[first : first + len(rows)]).all()

    def test_sampling_uses_up_no_rows(self, tmp_path: Path) -> None:
        pixels = noise(100, 20)
        with PictureSource(probe(saved(tmp_path, "x.png", pixels))) as source:
            source.sample()
            assert (source.read(0, 100) == pixels).all()

    def test_sixteen_bits_are_sampled_as_eight(self, tmp_path: Path) -> None:
        pixels = noise(10, 12, 3, np.uint16)
        ((_, rows),) = sample_strips(rgb16_png(tmp_path / "x.png", pixels))
        assert (rows == pixels >> 8).all()

    @given(st.integers(1, 200_000), st.integers(1, 200_000), st.integers(1, 10**6))
    def test_strips_lie_within_the_picture_and_do_not_overlap(self, width: int, height: int, most: int) -> None:
        strips = strip_rows(width, height, most)
        assert strips[0][0] >= 0
        assert strips[-1][1] <= height
        assert all(before[1] <= after[0] for before, after in pairwise(strips))


class TestRefusals:
    def refusal(self, path: Path, limits: ReadLimits | None = None) -> str:
        with pytest.raises(InputError) as caught:
            probe(path, limits)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
        return str(caught.value)

    def test_a_missing_file(self, tmp_path: Path) -> None:
        assert "No such file" in self.refusal(tmp_path / "gone.png")

    def test_a_folder(self, tmp_path: Path) -> None:
        assert "folder" in self.refusal(tmp_path)

    def test_an_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").touch()
        assert "empty" in self.refusal(tmp_path / "x.png")

    def test_text_that_is_named_png(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").write_text("Hello, world: not a picture at all")
        assert "not a picture" in self.refusal(tmp_path / "x.png")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
    def test_a_named_pipe(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.png")
        assert "not an ordinary file" in self.refusal(tmp_path / "pipe.png")

    @pytest.mark.parametrize(
        ("name", "word"),
        [("x.gif", "GIF"), ("x.png", "animation"), ("x.webp", "animation"), ("x.tif", "several pages")],
    )
    def test_animations_and_files_of_several_pages(self, tmp_path: Path, name: str, word: str) -> None:
        frames = [Image.fromarray(noise(8, 8 + i)).resize((8, 8)) for i in range(3)]
        path = saved(tmp_path, name, frames[0], save_all=True, append_images=frames[1:])
        assert word in self.refusal(path)

    def test_a_decompression_bomb_by_its_header(self, tmp_path: Path) -> None:
        head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        (tmp_path / "x.png").write_bytes(png_file((b"IHDR", head), (b"IDAT", b"")))
        assert "3600 megapixels" in self.refusal(tmp_path / "x.png")

    def test_more_pixels_than_the_limit(self, tmp_path: Path) -> None:
        path = saved(tmp_path, "x.jpg", noise(20, 20))
        assert probe(path, ReadLimits(400)).width == 20
        assert "limit" in self.refusal(path, ReadLimits(399))

    def test_a_picture_of_no_pixels(self, tmp_path: Path) -> None:
        head = struct.pack(">IIBBBBB", 0, 5, 8, 2, 0, 0, 0)
        (tmp_path / "x.png").write_bytes(png_file((b"IHDR", head), (b"IDAT", b"")))
        assert "0x5" in self.refusal(tmp_path / "x.png")

    def test_text_that_unpacks_out_of_proportion(self, tmp_path: Path) -> None:
        head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
        text = (b"zTXt", b"k\0\0" + zlib.compress(bytes(70 << 20)))
        (tmp_path / "x.png").write_bytes(png_file((b"IHDR", head), text, (b"IDAT", zlib.compress(b"\0\7"))))
        assert "64 MiB" in self.refusal(tmp_path / "x.png")

    def test_floating_point_tiff(self, tmp_path: Path) -> None:
        path = saved(tmp_path, "x.tif", Image.fromarray(np.zeros((4, 4), np.float32)))
        assert "floating-point" in self.refusal(path)

    def test_a_tiff_of_a_width_of_samples_that_is_not_read(self, tmp_path: Path) -> None:
        path = saved(tmp_path, "x.tif", Image.fromarray(np.zeros((4, 4), np.uint8)))
        bits = struct.pack("<HHIHH", 258, 3, 1, 8, 0)
        assert bits in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(bits, struct.pack("<HHIHH", 258, 3, 1, 12, 0)))
        assert "12-bit" in self.refusal(path)

    def test_a_tiff_of_ycbcr_that_would_come_out_in_wrong_colours(self, tmp_path: Path) -> None:
        colours = Image.fromarray(np.zeros((4, 4, 3), np.uint8)).convert("YCbCr")
        assert "YCbCr" in self.refusal(saved(tmp_path, "x.tif", colours))

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("x.png", {}),
            ("x.jpg", {}),
            ("x.jpg", {"progressive": True}),
            ("x.webp", {"lossless": True}),
            ("x.webp", {"quality": 80}),
            ("x.tif", {}),
            ("x.tif", {"compression": "tiff_lzw"}),
            ("x.tif", {"compression": "tiff_adobe_deflate"}),
        ],
    )
    @pytest.mark.parametrize("part", [0.03, 0.3, 0.7, 0.97])
    def test_a_truncated_file_is_an_error_and_never_half_a_picture(
        self, tmp_path: Path, name: str, options: dict[str, object], part: float
    ) -> None:
        path = saved(tmp_path, name, noise(64, 64), **options)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
        with pytest.raises(InputError) as caught:
            read_all(path)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("progressive", [False, True])
    def test_a_jpeg_that_ends_neatly_but_early_is_an_error(self, tmp_path: Path, progressive: bool) -> None:
        path = saved(tmp_path, "x.jpg", noise(64, 64), progressive=progressive)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 2 // 3] + b"\xff\xd9")
        with pytest.raises(InputError, match="truncated"):
            read_all(path)

    @pytest.mark.parametrize("progressive", [False, True])
    def test_a_jpeg_that_lies_about_its_size_is_an_error(self, tmp_path: Path, progressive: bool) -> None:
        path = saved(tmp_path, "x.jpg", noise(64, 64), progressive=progressive)
        data = bytearray(path.read_bytes())
        frame = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
        data[frame + 5 : frame + 9] = struct.pack(">HH", 640, 640)
        path.write_bytes(data)
        with pytest.raises(InputError, match="truncated or damaged"):
            read_all(path)

    def test_a_slip_in_a_jpeg_that_costs_no_pixels_is_forgiven(self, tmp_path: Path) -> None:
        path = saved(tmp_path, "x.jpg", noise(64, 64))
        right, data = read_all(path), bytearray(path.read_bytes())
        scan = data.index(b"\xff\xda")
        data[scan + 11 : scan + 14] = bytes(3)  # the range of coefficients, which means nothing in a baseline JPEG
        path.write_bytes(data)
        assert (read_all(path) == right).all()

    @settings(max_examples=60, deadline=None)
    @given(st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF"]), st.integers(0, 10**6), st.binary(min_size=1, max_size=8))
    def test_a_damaged_file_is_read_or_refused_and_nothing_else(
        self, tmp_path_factory: pytest.TempPathFactory, kind: str, place: int, damage: bytes
    ) -> None:
        buffer = io.BytesIO()
        Image.fromarray(noise(24, 24)).save(buffer, kind, exif=turned(6))
        data = bytearray(buffer.getvalue())
        place %= len(data)
        data[place : place + len(damage)] = damage
        path = tmp_path_factory.mktemp("damaged") / "x"
        path.write_bytes(bytes(data))
        try:
            limits = ReadLimits(max_pixels=10**6)
            with PictureSource(probe(path, limits)) as source:
                source.sample()
                source.read(0, source.height)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017
