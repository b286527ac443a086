"""TIFF directories (TIFF 6.0; BigTIFF by Aware Systems), which EXIF uses too (CIPA DC-008).

Values stay the bytes that they were, in the byte order that they had; nothing is interpreted that is not asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

UNIT_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 1, 2, 3, 4, 5, 7, 16
_INTEGERS = {1: "B", 3: "H", 4: "I", 8: "h", 9: "i", 13: "I", 16: "Q", 18: "Q"}
MAX_ENTRIES = 4096
MAX_VALUE_BYTES = 64 << 20
MAX_DIRECTORIES = 1000


class DirectoryError(Exception):
    """The bytes are not the TIFF structure that they claim to be."""


@dataclass(frozen=True)
class Entry:
    """One tag: its type number, how many values, and the values' bytes; `at` is where they lie in the file."""

    tag: int
    kind: int
    count: int
    data: bytes
    at: int = 0


@dataclass(frozen=True)
class Directory:
    """One image file directory; `order` is `<` or `>`."""

    order: str
    entries: dict[int, Entry]
    following: int = 0
    following_at: int = 0

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Integers of a tag; empty when it is not there or not of integers."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _INTEGERS:
            return ()
        return struct.unpack(f"{self.order}{entry.count}{_INTEGERS[entry.kind]}", entry.data)

    def number(self, tag: int, default: int) -> int:
        """First integer of a tag."""
        return next(iter(self.numbers(tag)), default)


class DirectoryReader:
    """Reads directories of a TIFF file or an EXIF block; raises DirectoryError.

    Values of the tags in `skipped`, and values larger than `MAX_VALUE_BYTES`, are left out. Values that lie in the
    same place would take far more memory than the file is large: all together may be twice as large at most.
    """

    def __init__(self, file: BinaryIO, skipped: Iterable[int] = ()) -> None:
        self._file, self._skipped = file, frozenset(skipped)
        self._size = file.seek(0, 2)
        self._left = 2 * self._size
        mark = self._bytes(0, 8)
        if mark[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            raise DirectoryError("no TIFF header")
        self.order = "<" if mark[:2] == b"II" else ">"
        self.big = b"+" in mark[2:4]
        self.first = self._unpack("Q", 8) if self.big else self._unpack("I", 4)

    def read(self, offset: int) -> Directory:
        """The directory at an offset."""
        head, size, link = (8, 20, 8) if self.big else (2, 12, 4)
        count = self._unpack("Q" if self.big else "H", offset)
        if count > MAX_ENTRIES:
            raise DirectoryError(f"a directory of {count} entries")
        raw = self._bytes(offset + head, count * size)
        entries = [self._entry(raw[i : i + size], offset + head + i) for i in range(0, len(raw), size)]
        end = offset + head + count * size
        following = self._unpack("Q" if self.big else "I", end) if end + link <= self._size else 0
        return Directory(self.order, {entry.tag: entry for entry in entries if entry}, following, end)

    def chain(self) -> Iterator[Directory]:
        """The first directory and those linked to it; a link back ends the chain, and so do `MAX_DIRECTORIES`."""
        offset, seen = self.first, set[int]()
        while offset and offset not in seen and len(seen) < MAX_DIRECTORIES:
            seen.add(offset)
            directory = self.read(offset)
            yield directory
            offset = directory.following

    def _entry(self, raw: bytes, at: int) -> Entry | None:
        tag, kind = struct.unpack(f"{self.order}HH", raw[:4])
        count = struct.unpack(f"{self.order}{'Q' if self.big else 'I'}", raw[4:-8] if self.big else raw[4:8])[0]
        size, room = count * UNIT_BYTES.get(kind, 0), 8 if self.big else 4
        if not size or size > min(MAX_VALUE_BYTES, self._size) or tag in self._skipped:
            return None
        if size <= room:
            return Entry(tag, kind, count, raw[-room:][:size], at + len(raw) - room)
        where = struct.unpack(f"{self.order}{'Q' if self.big else 'I'}", raw[-room:])[0]
        if where + size > self._size:
            return None
        self._left -= size
        if self._left < 0:
            raise DirectoryError("its entries share their values")
        return Entry(tag, kind, count, self._bytes(where, size), where)

    def _unpack(self, code: str, offset: int) -> int:
        (value,) = struct.unpack(self.order + code, self._bytes(offset, struct.calcsize(self.order + code)))
        return int(value)

    def _bytes(self, offset: int, count: int) -> bytes:
        if offset + count > self._size:
            raise DirectoryError("it points beyond its end")
        self._file.seek(offset)
        data = self._file.read(count)
        if len(data) < count:
            raise DirectoryError("it ends within a directory")
        return data


def read_block(block: bytes) -> DirectoryReader:
    """Reader of a TIFF structure in memory, such as an EXIF block."""
    return DirectoryReader(BytesIO(block))


def directory_bytes(entries: Iterable[Entry], order: str, offset: int, big: bool = False) -> bytes:
    """A directory that is to lie at `offset`, its long values behind it; no directory follows it."""
    ordered = sorted(entries, key=lambda entry: entry.tag)
    word, room, head = ("Q", 8, 8) if big else ("I", 4, 2)
    end = offset + head + len(ordered) * (4 + 2 * room) + room
    table = [struct.pack(f"{order}{'Q' if big else 'H'}", len(ordered))]
    values: list[bytes] = []
    for entry in ordered:
        value = entry.data.ljust(room, b"\0")
        if len(entry.data) > room:
            value = struct.pack(order + word, end)
            values.append(entry.data + b"\0" * (len(entry.data) % 2))
            end += len(values[-1])
        table.append(struct.pack(f"{order}HH{word}", entry.tag, entry.kind, entry.count) + value)
    return b"".join([*table, bytes(room), *values])


def integers(tag: int, kind: int, values: Iterable[int], order: str) -> Entry:
    """An entry of SHORT, LONG or LONG8 values."""
    values = tuple(values)
    return Entry(tag, kind, len(values), struct.pack(f"{order}{len(values)}{_INTEGERS[kind]}", *values))
