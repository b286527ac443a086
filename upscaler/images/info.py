"""What a picture's header tells before any pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

FileFormat = Literal["png", "jpeg", "webp", "tiff"]
Colour = Literal["grey", "rgb", "palette", "cmyk"]
NAMES: dict[FileFormat, str] = {"png": "PNG", "jpeg": "JPEG", "webp": "WebP", "tiff": "TIFF"}
SWAPS_SIDES = frozenset({5, 6, 7, 8})
"""EXIF orientations under which width and height change places."""


@dataclass(frozen=True)
class PngChunk:
    """A chunk kept as it was: four letters and the data without length and checksum."""

    kind: bytes
    data: bytes


@dataclass(frozen=True)
class Metadata:
    """What travels from the picture to the result beside the pixels.

    `exif` is a TIFF structure without the `Exif` prefix; `png_text` the chunks tEXt, zTXt and iTXt, where text-to-image
    programs keep prompts; `png_colour` the chunks that say how values map to colours; `iptc` a JPEG's Photoshop block.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    png_text: tuple[PngChunk, ...] = ()
    png_colour: tuple[PngChunk, ...] = ()


@dataclass(frozen=True)
class JpegTables:
    """Quantisation tables by number, 64 steps each in row order, and the number of the one that luma uses."""

    steps: dict[int, tuple[int, ...]]
    luma: int

    @property
    def luma_first(self) -> list[tuple[int, ...]]:
        """All tables, that of the luma first."""
        others = [steps for number, steps in sorted(self.steps.items()) if number != self.luma]
        return [self.steps[self.luma], *others]


@dataclass(frozen=True)
class PictureInfo:
    """A picture file as its header describes it.

    `stored_width` and `stored_height` are pixels as the file holds them; `width` and `height` are those of the upright
    picture. `bits` counts per sample. `streams_in_order` says whether rows of the upright picture can be decoded top to
    bottom without holding the whole picture. `page` counts TIFF pages from 0.
    """

    path: Path
    format: FileFormat
    stored_width: int
    stored_height: int
    colour: Colour
    bits: int
    has_alpha: bool = False
    orientation: int = 1
    animated: bool = False
    stored_in_order: bool = True
    page: int = 0
    tables: JpegTables | None = None
    metadata: Metadata = field(default_factory=Metadata)

    @property
    def width(self) -> int:
        """Pixels across, after orientation."""
        return self.stored_height if self.orientation in SWAPS_SIDES else self.stored_width

    @property
    def height(self) -> int:
        """Pixels down, after orientation."""
        return self.stored_width if self.orientation in SWAPS_SIDES else self.stored_height

    @property
    def bands(self) -> int:
        """Samples per pixel once palettes are resolved: 1 to 4, or 5 for CMYK with alpha."""
        return {"grey": 1, "cmyk": 4}.get(self.colour, 3) + self.has_alpha

    @property
    def has_icc_profile(self) -> bool:
        """Whether a colour profile is embedded."""
        return self.metadata.icc is not None

    @property
    def streams_in_order(self) -> bool:
        """Whether upright rows come out of the decoder from the top; orientation 2 only mirrors each row."""
        return self.stored_in_order and self.orientation in (1, 2)
