"""EXIF blocks: what a larger, upright picture must say otherwise, and moving tags from and to TIFF files."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from tilestep.upscaler.images.ifd import (
    LONG,
    SHORT,
    Directory,
    DirectoryError,
    DirectoryReader,
    Entry,
    directory_bytes,
    integers,
    read_block,
)

UPRIGHT = 1
LAST_CLASSIC_TYPE = 12
_ORIENTATION, _EXIF, _GPS, _INTEROPERABILITY = 0x0112, 0x8769, 0x8825, 0xA005
_WIDTH, _HEIGHT = 0xA002, 0xA003
DESCRIPTIVE = frozenset(
    {0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F}
    | {0x011A, 0x011B, 0x0128}
)
"""Tags of a TIFF file's own directory that speak of the picture and not of how the file is laid out."""


@dataclass(frozen=True)
class ExifTags:
    """The directories of an EXIF block, values as they were, in `order`."""

    order: str
    main: dict[int, Entry] = field(default_factory=dict)
    exif: dict[int, Entry] = field(default_factory=dict)
    gps: dict[int, Entry] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.main or self.exif or self.gps)


def orientation(block: bytes) -> int:
    """1 to 8 as EXIF counts; 1 when the block does not say."""
    try:
        reader = read_block(block)
        value = reader.read(reader.first).number(_ORIENTATION, UPRIGHT)
    except DirectoryError:
        return UPRIGHT
    return value if 1 <= value <= 8 else UPRIGHT


def for_result(block: bytes, width: int, height: int) -> bytes | None:
    """The block of an upright picture of a new size: no thumbnail, everything else where it was.

    Nothing is moved, so offsets within maker notes stay right. None when the block is damaged.
    """
    try:
        reader = read_block(block)
        main = reader.read(reader.first)
        exif = _child(reader, main, _EXIF)
    except DirectoryError:
        return None
    changed = bytearray(block)
    _put(changed, main, _ORIENTATION, UPRIGHT)
    _put(changed, exif, _WIDTH, width)
    _put(changed, exif, _HEIGHT, height)
    if main.following:
        struct.pack_into(f"{main.order}I", changed, main.following_at, 0)
    return bytes(changed)


def tags_of_block(block: bytes) -> ExifTags | None:
    """The directories of a block; None when it is damaged."""
    try:
        reader = read_block(block)
        return _tags(reader, reader.read(reader.first), keep=None)
    except DirectoryError:
        return None


def tags_of_tiff(reader: DirectoryReader, page: Directory) -> ExifTags:
    """What a TIFF page says of its picture, without how it is stored."""
    return _tags(reader, page, keep=DESCRIPTIVE)


def block_of_tags(tags: ExifTags) -> bytes:
    """A block with the directories laid out anew; offsets within maker notes may no longer fit."""
    order, children, at = tags.order, {_EXIF: tags.exif, _GPS: tags.gps}, 8
    main = {tag: entry for tag, entry in tags.main.items() if tag not in children}
    main |= {tag: integers(tag, LONG, [0], order) for tag, child in children.items() if child}
    behind = at + len(directory_bytes(main.values(), order, at))
    parts: list[bytes] = []
    for tag, child in children.items():
        if child:
            main[tag] = integers(tag, LONG, [behind], order)
            parts.append(directory_bytes(child.values(), order, behind))
            behind += len(parts[-1])
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return b"".join([mark, struct.pack(f"{order}I", at), directory_bytes(main.values(), order, at), *parts])


def _tags(reader: DirectoryReader, main: Directory, keep: frozenset[int] | None) -> ExifTags:
    exif, gps = (_plain(_child(reader, main, tag), None) for tag in (_EXIF, _GPS))
    exif.pop(_INTEROPERABILITY, None)
    return ExifTags(reader.order, _plain(main, keep), exif, gps)


def _plain(directory: Directory, keep: frozenset[int] | None) -> dict[int, Entry]:
    return {
        tag: entry
        for tag, entry in directory.entries.items()
        if entry.kind <= LAST_CLASSIC_TYPE and tag not in (_EXIF, _GPS) and (keep is None or tag in keep)
    }


def _child(reader: DirectoryReader, parent: Directory, tag: int) -> Directory:
    offset = parent.number(tag, 0)
    if not offset:
        return Directory(reader.order, {})
    try:
        return reader.read(offset)
    except DirectoryError:
        return Directory(reader.order, {})


def _put(block: bytearray, directory: Directory, tag: int, value: int) -> None:
    entry = directory.entries.get(tag)
    if entry is None or entry.count != 1 or entry.kind not in (SHORT, LONG):
        return
    if entry.kind == LONG or value < 1 << 16:
        struct.pack_into(directory.order + ("H" if entry.kind == SHORT else "I"), block, entry.at, value)
