"""Contact sheets: the hardest part of a picture, enlarged, from every method side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tilestep.upscaler.evaluation.metrics import luma
from tilestep.upscaler.evaluation.protocol import Sample
from tilestep.upscaler.evaluation.resize import enlarge
from tilestep.upscaler.evaluation.runner import Result

Picture = NDArray[np.uint8]
AREA_PX = 128
ZOOM = 2
LABEL_PX = 22
GAP_PX = 4
FONT_PX = 14


@dataclass(frozen=True)
class Area:
    """A rectangle of a picture, in pixels of the original."""

    top: int
    left: int
    height: int
    width: int

    def of(self, picture: Picture) -> Picture:
        """The part of `picture` (H, W, 3) that lies in the rectangle."""
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]


def hardest_area(sample: Sample, side_px: int = AREA_PX) -> Area:
    """The square on which bicubic enlargement has the most squared error on Y; the whole side where one is shorter."""
    error = (luma(enlarge(sample.small)) - luma(sample.original)) ** 2
    height, width = (min(side, side_px) for side in error.shape)
    sums = np.pad(error, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return Area(int(top), int(left), height, width)


def contact_sheet(sample: Sample, results: Sequence[Result]) -> Image.Image:
    """A row per condition: the original, then each method's picture, cut to the hardest area at twice the size."""
    area = hardest_area(sample)
    conditions = list(dict.fromkeys(result.condition for result in results))
    lines = [[result for result in results if result.condition == condition] for condition in conditions]
    cell_width, cell_height = ZOOM * area.width + GAP_PX, ZOOM * area.height + LABEL_PX + GAP_PX
    sheet = Image.new("RGB", (cell_width * (1 + max(map(len, lines))), cell_height * len(lines)), "white")
    for row, (condition, line) in enumerate(zip(conditions, lines, strict=True)):
        cells: list[tuple[str, Picture | None]] = [(f"original ({condition})", sample.original)]
        cells += [(_label(result), result.output) for result in line]
        for column, (label, picture) in enumerate(cells):
            corner = column * cell_width, row * cell_height
            _draw(sheet, corner, label, None if picture is None else area.of(picture), ZOOM * area.width)
    return sheet


def _label(result: Result) -> str:
    return result.method if result.failed else f"{result.method}  {result.values['PSNR']:.2f} dB"


def _draw(sheet: Image.Image, corner: tuple[int, int], label: str, part: Picture | None, width_px: int) -> None:
    font = ImageFont.load_default(FONT_PX)
    while len(label) > 1 and font.getlength(label) > width_px:
        label = label[:-1]
    left, top = corner
    draw = ImageDraw.Draw(sheet)
    draw.text((left + 1, top + 2), label, fill="black", font=font)
    if part is None:
        draw.text((left + 1, top + LABEL_PX + 2), "failed", fill="red", font=font)
    else:
        large = part.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
        sheet.paste(Image.fromarray(large), (left, top + LABEL_PX))
