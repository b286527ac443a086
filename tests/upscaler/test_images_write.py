"""Writing results band by band: exact pixels, kept metadata, and no half files."""

from __future__ import annotations

import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from tilestep.upscaler.errors import OutputError
from tilestep.upscaler.images.encoder import BAND_BYTES, Layout
from tilestep.upscaler.images.info import FileFormat, Metadata
from tilestep.upscaler.images.probe import probe
from tilestep.upscaler.images.result import Result, plan_result
from tilestep.upscaler.images.sink import PictureSink
from tilestep.upscaler.images.source import PictureSource
from tilestep.upscaler.images.write_png import _joined

SUFFIX = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif"}
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(height: int, width: int, bands: int = 3, dtype: type = np.uint8) -> np.ndarray:
    generator = np.random.default_rng(height * 1000 + width)
    return generator.integers(0, np.iinfo(dtype).max, (height, width, bands), dtype, endpoint=True)


def written(path: Path, pixels: np.ndarray, file_format: FileFormat, metadata: Metadata | None = None) -> Path:
    """Writes samples exactly, through the float rows that an engine would give."""
    height, width, bands = pixels.shape
    bits = 8 * pixels.itemsize
    layout = Layout(file_format, width, height, bands, bits, metadata or Metadata())
    rows = pixels.astype(np.float32) / (2**bits - 1)
    if bands < 3:
        rows = np.concatenate([rows[..., :1]] * 3 + [rows[..., 1:]], axis=2)
    with PictureSink(Result(path, layout, ())) as sink:
        for start in range(0, height, 13):
            sink.write(rows[start : start + 13])
        sink.finish()
    return path


def read(path: Path) -> np.ndarray:
    with PictureSource(probe(path)) as source:
        return source.read(0, source.height)


def enlarge(source_path: Path, target: Path) -> Result:
    """Doubles every pixel: the simplest engine there is."""
    with PictureSource(probe(source_path)) as source:
        result = plan_result(source, target, 2)
        with PictureSink(result) as sink:
            for start in range(0, source.height, 16):
                rows = source.read(start, min(start + 16, source.height)).astype(np.float32) / (2**source.bits - 1)
                sink.write(rows.repeat(2, 0).repeat(2, 1))
            sink.finish()
    return result


class TestPixels:
    @pytest.mark.parametrize("bands", [1, 2, 3, 4])
    @pytest.mark.parametrize(("file_format", "bits"), [("png", 8), ("png", 16), ("tiff", 8), ("tiff", 16)])
    def test_png_and_tiff_hold_every_sample(
        self, tmp_path: Path, file_format: FileFormat, bits: int, bands: int
    ) -> None:
        pixels = noise(29, 31, bands, np.uint8 if bits == 8 else np.uint16)
        back = read(written(tmp_path / "x", pixels, file_format))
        assert back.dtype == pixels.dtype
        assert (back[..., 0] == pixels[..., 0]).all()
        assert (back[..., -1] == pixels[..., -1]).all()
        assert back.shape[2] == (3 if bands in (1, 3) else 4)

    @pytest.mark.parametrize("file_format", ["png", "tiff", "webp"])
    def test_a_picture_of_many_bands_is_joined_without_loss(self, tmp_path: Path, file_format: FileFormat) -> None:
        pixels = noise(600, 701)
        assert pixels.nbytes > BAND_BYTES
        path = written(tmp_path / "x", pixels, file_format)
        with Image.open(path) as picture:
            assert (np.asarray(picture) == pixels).all()
        assert (read(path) == pixels).all()

    @pytest.mark.parametrize("size", [(600, 701), (1, 1), (8, 9), (17, 3), (333, 2000)])
    @pytest.mark.parametrize("bands", [1, 3])
    def test_jpeg_bands_decode_like_a_jpeg_written_at_once(
        self, tmp_path: Path, size: tuple[int, int], bands: int
    ) -> None:
        pixels = noise(*size, bands) // 4 + 64
        whole = BytesIO()
        Image.fromarray(pixels.squeeze(2) if bands == 1 else pixels).save(whole, "JPEG", quality=95, subsampling=0)
        with Image.open(written(tmp_path / "x", pixels, "jpeg")) as ours, Image.open(whole) as theirs:
            assert (np.asarray(ours) == np.asarray(theirs)).all()

    def test_colours_under_full_transparency_are_kept_in_webp(self, tmp_path: Path) -> None:
        pixels = noise(9, 9, 4)
        pixels[..., 3] = 0
        assert (read(written(tmp_path / "x", pixels, "webp")) == pixels).all()

    def test_values_are_rounded_and_clipped(self, tmp_path: Path) -> None:
        rows = np.array([[[-0.5, 0.5 / 255 + 1e-5, 0.5 / 255 - 1e-5], [1.7, 254.51 / 255, 254.49 / 255]]], np.float32)
        result = Result(tmp_path / "x", Layout("png", 2, 1, 3, 8, Metadata()), ())
        assert result.samples(rows).tolist() == [[[0, 1, 0], [255, 255, 254]]]

    def test_transparency_is_laid_on_white_for_jpeg(self, tmp_path: Path) -> None:
        Image.new("RGBA", (8, 8), (255, 0, 0, 51)).save(tmp_path / "x.png")
        result = enlarge(tmp_path / "x.png", tmp_path / "y.jpg")
        assert np.abs(read(tmp_path / "y.jpg")[0, 0].astype(int) - (255, 204, 204)).max() <= 3
        assert any("white" in note for note in result.notes)

    @pytest.mark.parametrize(("name", "mode"), [("y.png", "L"), ("y.jpg", "L"), ("y.tif", "L"), ("y.webp", "RGB")])
    def test_grey_stays_grey_where_the_format_has_it(self, tmp_path: Path, name: str, mode: str) -> None:
        Image.fromarray(noise(5, 5, 1)[..., 0]).save(tmp_path / "x.png")
        enlarge(tmp_path / "x.png", tmp_path / name)
        with Image.open(tmp_path / name) as picture:
            assert picture.mode == mode

    @settings(max_examples=30)
    @given(st.binary(max_size=300), st.binary(max_size=300))
    def test_checksums_of_bands_join_to_that_of_the_whole(self, first: bytes, second: bytes) -> None:
        halves = [(zlib.adler32(data) & 0xFFFF, zlib.adler32(data) >> 16) for data in (first, second, first + second)]
        assert _joined(halves[0], halves[1], len(second)) == halves[2]


class TestMetadata:
    @pytest.fixture
    def exif(self) -> Image.Exif:
        exif = Image.Exif()
        exif[0x0112] = 6
        exif[0x010F] = "A maker"
        comment = b"UNICODE\0" + "prompt: ein Kätzchen".encode("utf-16-be")
        exif[0x8769] = {0x829A: 1 / 125, 0x9286: comment, 0xA002: 30}
        exif[0x8825] = {1: "N"}
        loaded = Image.Exif()
        loaded.load(exif.tobytes())
        return loaded

    @pytest.mark.parametrize("target", SUFFIX)
    @pytest.mark.parametrize("origin", SUFFIX)
    def test_exif_and_profile_survive_and_the_orientation_is_reset(
        self, tmp_path: Path, exif: Image.Exif, origin: FileFormat, target: FileFormat
    ) -> None:
        source, result = tmp_path / f"x{SUFFIX[origin]}", tmp_path / f"y{SUFFIX[target]}"
        Image.fromarray(noise(20, 30)).save(source, exif=exif, icc_profile=SRGB)
        notes = enlarge(source, result).notes
        with Image.open(result) as picture:
            assert picture.size == (40, 60)
            assert picture.info["icc_profile"] == SRGB
            after = picture.getexif()
            assert after[0x010F] == "A maker"
            assert after.get(0x0112, 1) == 1
            assert after.get_ifd(0x8769)[0x9286] == exif.get_ifd(0x8769)[0x9286]
            assert after.get_ifd(0x8769)[0xA002] == 40
            assert after.get_ifd(0x8769)[0x829A] == 1 / 125
            assert after.get_ifd(0x8825)[1] == "N"
        assert notes == ()

    def test_only_what_must_change_in_exif_changes(self, tmp_path: Path, exif: Image.Exif) -> None:
        Image.fromarray(noise(20, 30)).save(tmp_path / "x.jpg", exif=exif)
        enlarge(tmp_path / "x.jpg", tmp_path / "y.jpg")
        before, after = (probe(tmp_path / name).metadata.exif for name in ("x.jpg", "y.jpg"))
        assert before is not None
        assert after is not None
        assert len(before) == len(after)
        assert sum(a != b for a, b in zip(before, after, strict=True)) <= 2

    def test_png_text_of_every_kind_is_kept_word_for_word(self, tmp_path: Path) -> None:
        text = PngImagePlugin.PngInfo()
        text.add_text("parameters", "a cat, masterpiece\nSteps: 20")
        text.add_text("workflow", '{"nodes": []}' * 50, zip=True)
        text.add_itxt("prompt", "ein Kätzchen 猫", lang="de")
        Image.fromarray(noise(4, 4)).save(tmp_path / "x.png", pnginfo=text)
        enlarge(tmp_path / "x.png", tmp_path / "y.png")
        assert probe(tmp_path / "y.png").metadata.png_text == probe(tmp_path / "x.png").metadata.png_text
        with Image.open(tmp_path / "x.png") as before, Image.open(tmp_path / "y.png") as after:
            assert before.text == after.text  # type: ignore[attr-defined]
            assert len(after.text) == 3  # type: ignore[attr-defined]

    @pytest.mark.parametrize("target", ["jpeg", "webp", "tiff"])
    def test_png_text_that_has_no_place_is_named(self, tmp_path: Path, target: str) -> None:
        text = PngImagePlugin.PngInfo()
        text.add_text("parameters", "a cat")
        Image.fromarray(noise(4, 4)).save(tmp_path / "x.png", pnginfo=text)
        (note,) = enlarge(tmp_path / "x.png", tmp_path / f"y{SUFFIX[target]}").notes
        assert "parameters" in note

    @pytest.mark.parametrize("target", SUFFIX)
    def test_xmp_is_kept(self, tmp_path: Path, target: FileFormat) -> None:
        xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
        path = written(tmp_path / "x", noise(4, 4), target, Metadata(xmp=xmp))
        assert probe(path).metadata.xmp == xmp

    @pytest.mark.parametrize("form", [b' tiff:Orientation="6"/>', b"><tiff:Orientation>6</tiff:Orientation></rdf>"])
    @pytest.mark.parametrize("target", SUFFIX)
    def test_xmp_says_that_what_was_turned_is_upright(self, tmp_path: Path, target: str, form: bytes) -> None:
        xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf" + form + b"</x:xmpmeta>"
        for name, orientation, said in (("turned.tif", 6, b"1"), ("upright.tif", 1, b"6")):
            Image.fromarray(noise(8, 4)).save(tmp_path / name, tiffinfo={0x112: orientation, 700: xmp})
            result = tmp_path / f"{name}{SUFFIX[target]}"
            enlarge(tmp_path / name, result)
            assert probe(result).metadata.xmp == xmp.replace(b"6", said)

    def test_a_long_profile_is_cut_into_pieces_for_jpeg(self, tmp_path: Path) -> None:
        profile = SRGB[:128] + bytes(range(256)) * 600
        assert probe(written(tmp_path / "x", noise(4, 4), "jpeg", Metadata(icc=profile))).metadata.icc == profile

    def test_a_grey_profile_is_not_put_into_a_coloured_file(self, tmp_path: Path) -> None:
        profile = SRGB[:16] + b"GRAY" + SRGB[20:]
        written(tmp_path / "x.png", noise(4, 4, 1), "png", Metadata(icc=profile))
        assert enlarge(tmp_path / "x.png", tmp_path / "y.png").layout.metadata.icc == profile
        webp = enlarge(tmp_path / "x.png", tmp_path / "y.webp")
        assert webp.layout.metadata.icc is None
        assert "profile" in webp.notes[0]

    def test_a_jpeg_thumbnail_is_dropped_as_it_shows_the_old_picture(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x010F] = "A maker"
        exif._ifds[1] = {0x0201: 0, 0x0202: 0}  # a second directory
        Image.fromarray(noise(8, 8)).save(tmp_path / "x.jpg", exif=exif)
        enlarge(tmp_path / "x.jpg", tmp_path / "y.jpg")
        with Image.open(tmp_path / "y.jpg") as picture:
            assert picture.getexif()[0x010F] == "A maker"
            assert not picture.getexif().get_ifd(1)

    def test_damaged_exif_is_left_out_and_said(self, tmp_path: Path) -> None:
        written(tmp_path / "x.jpg", noise(4, 4), "jpeg", Metadata(exif=b"II*\0\xff\xff\0\0"))
        assert "damaged" in enlarge(tmp_path / "x.jpg", tmp_path / "y.jpg").notes[0]


class TestRefusals:
    def refusal(self, target: Path, size: tuple[int, int] = (4, 4)) -> str:
        source = target.with_name("source.png") if target.parent.is_dir() else target.parent.with_name("source.png")
        Image.new("L", size).save(source)
        with pytest.raises(OutputError) as caught:
            enlarge(source, target)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    @pytest.mark.parametrize(("name", "side"), [("x.webp", 8192), ("x.jpg", 32751)])
    def test_a_format_that_ends_below_the_size_names_png(self, tmp_path: Path, name: str, side: int) -> None:
        assert "PNG" in self.refusal(tmp_path / name, (side, 1))
        assert [file.name for file in tmp_path.iterdir()] == ["source.png"]

    def test_the_longest_sides_are_written(self, tmp_path: Path) -> None:
        assert probe(written(tmp_path / "x.webp", noise(1, 16383), "webp")).width == 16383
        assert read(written(tmp_path / "x.jpg", noise(9, 65500, 1), "jpeg")).shape == (9, 65500, 3)

    def test_an_unknown_suffix(self, tmp_path: Path) -> None:
        assert ".png" in self.refusal(tmp_path / "x.bmp")

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        assert "no folder" in self.refusal(tmp_path / "gone" / "x.png")

    def test_a_file_that_is_there_already(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").write_text("precious")
        assert "--force" in self.refusal(tmp_path / "x.png")
        assert (tmp_path / "x.png").read_text() == "precious"

    def test_a_folder_in_the_place_of_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").mkdir()
        assert "folder" in self.refusal(tmp_path / "x.png")

    def test_a_device(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").symlink_to("/dev/full")
        assert "not an ordinary file" in self.refusal(tmp_path / "x.png")

    def test_leaving_early_leaves_nothing(self, tmp_path: Path) -> None:
        layout = Layout("png", 900, 900, 3, 8, Metadata())
        with pytest.raises(KeyboardInterrupt), PictureSink(Result(tmp_path / "x.png", layout, ())) as sink:  # noqa: PT012
            sink.write(np.zeros((700, 900, 3), np.float32))
            raise KeyboardInterrupt
        assert list(tmp_path.iterdir()) == []

    def test_a_file_with_missing_rows_is_not_finished(self, tmp_path: Path) -> None:
        layout = Layout("png", 9, 9, 3, 8, Metadata())
        with PictureSink(Result(tmp_path / "x.png", layout, ())) as sink, pytest.raises(ValueError, match="0 of 9"):
            sink.finish()
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.skipif(sys.platform == "win32", reason="no file size limits here")
    def test_a_full_disk_is_one_line_and_leaves_nothing(self, tmp_path: Path) -> None:
        script = (
            "import resource, sys, numpy as np\n"
            "from pathlib import Path\n"
            "from tilestep.upscaler.errors import OutputError\n"
            "from tilestep.upscaler.images.encoder import Layout\n"
            "from tilestep.upscaler.images.info import Metadata\n"
            "from tilestep.upscaler.images.result import Result, format_for\n"
            "from tilestep.upscaler.images.sink import PictureSink\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
            "for path in map(Path, sys.argv[1:]):\n"
            "    layout = Layout(format_for(path), 4000, 160, 3, 8, Metadata())\n"
            "    try:\n"
            "        with PictureSink(Result(path, layout, ())) as sink:\n"
            "            for _ in range(10):\n"
            "                sink.write(np.random.default_rng(0).random((16, 4000, 3), np.float32))\n"
            "            sink.finish()\n"
            "    except OutputError as error:\n"
            "        print(error)\n"
        )
        names = [str(tmp_path / name) for name in ("x.png", "x.jpg", "x.tif", "x.webp")]
        command = [sys.executable, "-c", script, *names]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        lines = run.stdout.splitlines()
        assert [line.split(" cannot be written: File too large")[0] for line in lines] == names
        assert run.stderr == ""
        assert list(tmp_path.iterdir()) == []
