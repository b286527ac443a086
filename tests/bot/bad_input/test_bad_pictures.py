"""Files that are not the pictures that they pretend to be: each is refused in words, and nothing stays behind."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from plain_words import check_nothing_left, check_words
from strange_pictures import (
    SIGNATURE,
    chunk,
    encoded,
    good,
    header,
    jpeg_with,
    noise,
    png_with,
    segment,
    tiff,
    webp_chunk,
    webp_with,
    zeros,
)

from tilestep.bot.images import ReadLimits, inspect
from tilestep.upscaler.errors import InputError

LIMITS = ReadLimits(1_000_000)
NO_PIXELS = chunk(b"IDAT", zeros(1)) + chunk(b"IEND", b"")
STRIP = struct.pack("<HHII", 273, 4, 1, 8)
Case = tuple[str, bytes]


async def refused(data: bytes, folder: Path) -> str:
    """The words that a file is refused with."""
    with pytest.raises(InputError) as caught:
        await inspect(data, LIMITS, folder=folder)
    check_words(str(caught.value))
    await check_nothing_left(folder)
    return str(caught.value)


def cases(make: Callable[[], Iterator[Case]]) -> Any:
    """Parametrises with what `make` yields; a family has 20 cases at least."""
    family = list(make())
    assert len(family) >= 20, f"{make.__name__} has {len(family)} cases"
    return pytest.mark.parametrize("data", [data for _, data in family], ids=[name for name, _ in family])


def truncated() -> Iterator[Case]:
    for kind, data in good().items():
        for part in (0.02, 0.3, 0.6, 0.9):
            yield f"{kind} cut at {part}", data[: max(int(len(data) * part), 20)]


@cases(truncated)
async def test_a_truncated_picture_is_refused(data: bytes, tmp_path: Path) -> None:
    words = await refused(data, tmp_path)
    assert any(word in words for word in ("truncated", "damaged", "header"))


def bombs() -> Iterator[Case]:
    sides = ((1001, 1000), (1000, 1001), (30_000, 30_000), (2**31 - 1, 2**31 - 1), (99, 2**31 - 1), (2**20, 2**20))
    for width, height in sides:
        yield f"png {width}x{height}", SIGNATURE + header(width, height) + NO_PIXELS
        small = min(width, 65_535), min(height, 65_535)
        frame = encoded("JPEG", noise(8, 8)).replace(b"\x08\x00\x08\x00\x08", b"\x08" + struct.pack(">HH", *small), 1)
        yield f"jpeg {small}", frame
        yield f"tiff {width}x{height}", tiff(width, height)
        large = struct.pack("<I", min(width, 2**24) - 1)[:3] + struct.pack("<I", min(height, 2**24) - 1)[:3]
        yield f"webp {width}x{height}", riff(webp_chunk(b"VP8X", bytes(4) + large), webp_chunk(b"VP8 ", bytes(10)))
    yield "a real bomb", SIGNATURE + header(9000, 9000, 1, 0) + chunk(b"IDAT", zeros(9)) + chunk(b"IEND", b"")


def riff(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@cases(bombs)
async def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(data: bytes, tmp_path: Path) -> None:
    words = await refused(data, tmp_path)
    assert "megapixels" in words
    assert "1 are taken" in words


def lying_headers() -> Iterator[Case]:
    picture = encoded("PNG")
    for size in ((64, 49), (65, 48), (640, 48), (64, 480), (128, 96), (48, 65)):
        yield f"png says {size}", picture.replace(picture[8:33], header(*size))
    for bits, colour in ((16, 2), (8, 6), (8, 3), (3, 2), (8, 1), (32, 2), (1, 2)):
        yield f"png of {bits} bits, colour {colour}", picture.replace(picture[8:33], header(64, 48, bits, colour))
    yield "png, wrong checksum of the header", picture[:30] + b"\0\0\0" + picture[33:]
    yield "png, wrong checksum of the pixels", picture[:-20] + b"\0\0\0\0" + picture[-16:]
    yield "png, interlaced it says", picture.replace(picture[8:33], header(64, 48, interlace=1))
    yield "png, unknown interlacing", picture.replace(picture[8:33], header(64, 48, interlace=9))
    photo = encoded("JPEG", quality=90)
    frame = photo.index(b"\xff\xc0")
    for height, width in ((480, 64), (48, 640), (96, 128)):
        yield f"jpeg says {width}x{height}", photo[: frame + 5] + struct.pack(">HH", height, width) + photo[frame + 9 :]
    yield "jpeg of 2 components", photo[: frame + 9] + b"\2" + photo[frame + 10 :]
    yield "jpeg of 12 bits", photo[: frame + 4] + b"\x0c" + photo[frame + 5 :]
    web = encoded("WEBP", quality=90)
    yield "webp, longer than it is", web[:4] + struct.pack("<I", len(web) * 2) + web[8:]
    yield "webp of other sides", web[:26] + struct.pack("<HH", 640, 480) + web[30:]
    yield "webp, canvas of another size", riff(webp_chunk(b"VP8X", bytes(4) + b"\x09\0\0\x09\0\0"), web[12:])
    yield "tiff, larger than its strip", tiff(64, 64)
    yield "tiff, pixels behind the end", tiff().replace(STRIP, STRIP[:8] + struct.pack("<I", 9**9))
    yield "jpeg behind a png's first bytes", SIGNATURE + photo


@cases(lying_headers)
async def test_a_header_that_lies_is_found_out(data: bytes, tmp_path: Path) -> None:
    await refused(data, tmp_path)


def wrong_types() -> Iterator[Case]:
    starts = {
        "text": b"hello, this is no picture at all",
        "html": b"<!DOCTYPE html><html><body>404</body></html>",
        "json": b'{"message": "401: Unauthorized", "code": 0}',
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "xml": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><svg>&a;</svg>',
        "pdf": b"%PDF-1.7 and so on",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0",
        "zip": b"PK\3\4" + bytes(40),
        "gzip": b"\x1f\x8b\x08" + bytes(40),
        "program": b"MZ" + bytes(60),
        "elf": b"\x7fELF" + bytes(60),
        "script": b"#!/bin/sh\nrm -rf /\n",
        "mp4": b"\0\0\0\x20ftypisom" + bytes(40),
        "webm": b"\x1a\x45\xdf\xa3" + bytes(40),
        "heic": b"\0\0\0\x20ftypheic" + bytes(40),
        "avif": b"\0\0\0\x20ftypavif" + bytes(40),
        "jpeg xl": b"\xff\x0a" + bytes(40),
        "photoshop": b"8BPS" + bytes(40),
        "mp3": b"ID3\4" + bytes(40),
        "wav": b"RIFF\x24\0\0\0WAVEfmt " + bytes(40),
        "exr": b"\x76\x2f\x31\x01" + bytes(40),
        "imagemagick's script": b"push graphic-context\nviewbox 0 0 640 480\n",
        "vips' own format": b"\xb6\xa6\xf2\x08" + bytes(80),
        "matlab": b"MATLAB 5.0 MAT-file" + bytes(100),
        "nifti": bytes(344) + b"n+1\0",
        "pickle": b"\x80\4\x95" + bytes(40),
        "zeros": bytes(100),
    }
    yield from starts.items()
    for file_format in ("BMP", "ICO", "PPM", "TGA", "GIF", "JPEG2000"):
        yield file_format.lower(), encoded(file_format)


@cases(wrong_types)
async def test_what_is_no_picture_is_refused_whatever_it_is_called(data: bytes, tmp_path: Path) -> None:
    assert "PNG, JPEG, WebP or TIFF" in await refused(data, tmp_path)


def zero_sized() -> Iterator[Case]:
    for width, height in ((0, 0), (0, 48), (64, 0), (0, 2**31)):
        for bits, colour in ((8, 2), (16, 6), (8, 0)):
            data = SIGNATURE + header(width, height, bits, colour) + NO_PIXELS
            yield f"png {width}x{height}, {bits} bits, {colour}", data
    photo = encoded("JPEG")
    frame = photo.index(b"\xff\xc0")
    for height, width in ((0, 0), (0, 64), (48, 0)):
        yield f"jpeg {width}x{height}", photo[: frame + 5] + struct.pack(">HH", height, width) + photo[frame + 9 :]
    for width, height in ((0, 0), (0, 4), (4, 0)):
        yield f"tiff {width}x{height}", tiff(width, height)
    web = encoded("WEBP", quality=90)
    for width, height in ((0, 0), (64, 0), (0, 48)):
        yield f"webp {width}x{height}", web[:26] + struct.pack("<HH", width, height) + web[30:]
    yield "nothing", b""
    yield "png without pixels", SIGNATURE + header(8, 8) + chunk(b"IEND", b"")


@cases(zero_sized)
async def test_a_picture_without_pixels_is_refused(data: bytes, tmp_path: Path) -> None:
    await refused(data, tmp_path)


def animated() -> Iterator[Case]:
    for frames in (2, 3, 10):
        pictures = [Image.fromarray(noise(8 + n, 9)).resize((9, 8)) for n in range(frames)]
        for file_format in ("PNG", "GIF", "WEBP", "TIFF"):
            for loop in (0, 1):
                options: dict[str, Any] = {} if file_format == "TIFF" else {"loop": loop, "duration": 50}
                buffer = io.BytesIO()
                pictures[0].save(buffer, file_format, save_all=True, append_images=pictures[1:], **options)
                yield f"{frames} frames of {file_format}, loop {loop}", buffer.getvalue()


@cases(animated)
async def test_an_animation_is_refused_by_that_name(data: bytes, tmp_path: Path) -> None:
    words = await refused(data, tmp_path)
    assert any(word in words for word in ("animation", "several pages"))


def metadata_bombs() -> Iterator[Case]:
    for kind, head in ((b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"iCCP", b"a\0\0")):
        yield f"one {kind!r} of 70 MiB", png_with(chunk(kind, head + zeros(70)))
        yield f"many {kind!r}, 70 MiB together", png_with(*[chunk(kind, head + zeros(7))] * 10)
    for kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"gAMA", b"acTL", b"prVt", b"IDAT"):
        yield f"20,000 empty {kind!r}", png_with(chunk(kind, b"") * 20_000)
    text = chunk(b"tEXt", b"a\0" + b"b" * (33 << 20))
    yield "33 MiB of text", png_with(text)
    yield "33 MiB of text and a bomb", png_with(text, chunk(b"zTXt", b"a\0\0" + zeros(9)))
    for marker in (0xE1, 0xE2, 0xED, 0xFE):
        yield f"20,000 segments {marker:x}", jpeg_with(segment(marker, b"") * 20_000)
    yield "junk between segments", jpeg_with(segment(0xFE, b"x") + bytes(1 << 20))
    yield "fill bytes", jpeg_with(b"\xff" * (1 << 20))
    yield "entries that share a value", tiff(more=[(tag, 1, 100, 8) for tag in range(40_000, 44_000)])
    yield "a directory of 5,000 entries", tiff(more=[(tag, 1, 1, 8) for tag in range(40_000, 45_000)])


@cases(metadata_bombs)
async def test_a_file_that_is_nothing_but_metadata_is_refused(data: bytes, tmp_path: Path) -> None:
    await refused(data, tmp_path)


async def test_many_unknown_chunks_in_a_webp_do_no_harm(tmp_path: Path) -> None:
    chunks = [webp_chunk(struct.pack("<I", 0x20202020 + number), b"") for number in range(50_000)]
    facts = await inspect(webp_with(*chunks), LIMITS, folder=tmp_path)
    assert (facts.width_px, facts.height_px) == (8, 8)
    await check_nothing_left(tmp_path)


@pytest.mark.parametrize("kind", ["png", "png, 16 bit", "jpeg", "jpeg, progressive"])
@pytest.mark.parametrize("seed", range(10))
async def test_bytes_changed_at_random_end_in_a_picture_or_in_words(seed: int, kind: str, tmp_path: Path) -> None:
    await look_at_changed(kind, seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", good())
@pytest.mark.parametrize("seed", range(100, 150))
async def test_many_more_bytes_changed_at_random(seed: int, kind: str, tmp_path: Path) -> None:
    await look_at_changed(kind, seed, tmp_path)


async def look_at_changed(kind: str, seed: int, folder: Path) -> None:
    """Some bytes changed: in the first 200 by every even seed, anywhere by the odd ones."""
    choice, data = random.Random(seed), bytearray(good()[kind])
    for _ in range(1 + seed % 7):
        data[choice.randrange(len(data) if seed % 2 else 200)] = choice.randrange(256)
    try:
        await inspect(bytes(data), LIMITS, folder=folder)
    except InputError as error:
        check_words(str(error))
    await check_nothing_left(folder)
