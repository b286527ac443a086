"""Headers of JPEG files (ITU-T T.81; JFIF, EXIF, ICC and XMP segments)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tilestep.upscaler.errors import InputError
from tilestep.upscaler.images import exif
from tilestep.upscaler.images.info import Colour, JpegTables, Metadata, PictureInfo

EXIF_PREFIX = b"Exif\0\0"
XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"
ICC_PREFIX = b"ICC_PROFILE\0"
IPTC_PREFIX = b"Photoshop 3.0\0"
APP1, APP2, APP13, DQT, SOS, EOI = 0xE1, 0xE2, 0xED, 0xDB, 0xDA, 0xD9
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = (0xC0, 0xC1, 0xC9)
MAX_SEGMENTS = 10_000
MAX_FILL_BYTES = 1 << 16
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_COLOURS: dict[int, Colour] = {1: "grey", 3: "rgb", 4: "cmyk"}
_DAMAGED = "The JPEG file is damaged: {}. Save it again with another program."


def read_jpeg(path: Path, file: BinaryIO) -> PictureInfo:
    """Reads the segments before the first scan. Raises InputError."""
    frame, scan, marker_of_frame = b"", b"", 0
    kept: dict[bytes, list[bytes]] = {prefix: [] for prefix in (EXIF_PREFIX, XMP_PREFIX, ICC_PREFIX, IPTC_PREFIX)}
    steps: dict[int, tuple[int, ...]] = {}
    for marker, data in _segments(file):
        if marker == DQT:
            steps |= _tables(data)
        elif marker in _FRAMES:
            marker_of_frame, frame = marker, data
        elif marker == SOS:
            scan = data
        for prefix, parts in kept.items():
            if marker in (APP1, APP2, APP13) and data.startswith(prefix):
                parts.append(data[len(prefix) :])
    steps = {number: table for number, table in steps.items() if all(table)}  # 0 says nothing
    components = frame[5] if len(frame) > 5 else 0
    if not scan or components not in _COLOURS or len(frame) < 6 + 3 * components:
        raise InputError(_DAMAGED.format("its header is missing or wrong"))
    block = next(iter(kept[EXIF_PREFIX]), None)
    return PictureInfo(
        path=path,
        format="jpeg",
        stored_width=int.from_bytes(frame[3:5], "big"),
        stored_height=int.from_bytes(frame[1:3], "big"),
        colour=_COLOURS[components],
        bits=frame[0],
        orientation=exif.orientation(block) if block else exif.UPRIGHT,
        stored_in_order=marker_of_frame in _SEQUENTIAL and scan[:1] == frame[5:6],
        tables=JpegTables(steps, frame[8]) if frame[8] in steps else None,
        metadata=Metadata(
            exif=block,
            icc=_profile(kept[ICC_PREFIX]),
            xmp=next(iter(kept[XMP_PREFIX]), None),
            iptc=next(iter(kept[IPTC_PREFIX]), None),
        ),
    )


def _segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(marker, data) up to and with the first start of scan."""
    file.seek(2)
    filled = 0
    for _ in range(MAX_SEGMENTS):
        byte, start = file.read(1), file.tell()
        while byte and byte != b"\xff" and file.tell() - start + filled < MAX_FILL_BYTES:
            byte = file.read(1)
        while byte == b"\xff" and file.tell() - start + filled < MAX_FILL_BYTES:
            byte = file.read(1)
        filled += file.tell() - start
        if filled >= MAX_FILL_BYTES:
            break
        if not byte or byte[0] == EOI:
            raise InputError("The JPEG file is truncated: it ends before the picture. Download or save it again.")
        marker = byte[0]
        if marker in _WITHOUT_LENGTH or marker == 0:
            continue
        size = int.from_bytes(file.read(2), "big") - 2
        data = file.read(max(size, 0))
        if size < 0 or len(data) < size:
            raise InputError("The JPEG file is truncated: it ends before the picture. Download or save it again.")
        yield marker, data
        if marker == SOS:
            return
    raise InputError(_DAMAGED.format("it holds far more than a picture before the picture"))


def _tables(data: bytes) -> dict[int, tuple[int, ...]]:
    tables = {}
    while data:
        wide, number = data[0] >> 4, data[0] & 15
        size = 128 if wide else 64
        raw, data = data[1 : 1 + size], data[1 + size :]
        if len(raw) < size:
            raise InputError(_DAMAGED.format("a quantisation table is cut short"))
        steps = [int.from_bytes(raw[2 * i : 2 * i + 2], "big") for i in range(64)] if wide else list(raw)
        tables[number] = tuple(steps[zigzag_index(row, column)] for row in range(8) for column in range(8))
    return tables


def zigzag_index(row: int, column: int) -> int:
    """Place of a coefficient of an 8x8 block in the order of the file (T.81, figure A.6)."""
    diagonal = row + column
    if diagonal > 7:
        return 63 - zigzag_index(7 - row, 7 - column)
    return diagonal * (diagonal + 1) // 2 + (row if diagonal % 2 else column)


def _profile(parts: list[bytes]) -> bytes | None:
    """Joins the pieces of a colour profile (ICC.1, annex B.4); None when one is missing."""
    whole = [part for part in parts if len(part) > 2]
    pieces = {part[0]: part[2:] for part in whole}
    if not pieces or set(pieces) != set(range(1, whole[0][1] + 1)):
        return None
    return b"".join(pieces[number] for number in sorted(pieces))
