"""A canvas in units of its own side, drawn larger and shrunk: flat shapes with smooth edges."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from tilestep.bot.painter.palette import Colour

OVERSAMPLING = 2
Point = tuple[float, float]


class Brush:
    """Coordinates run from (0, 0), top left, to (1, 1)."""

    def __init__(self, side_px: int) -> None:
        self._side_px = side_px
        self._large_px = side_px * OVERSAMPLING
        self._picture = Image.new("RGB", (self._large_px, self._large_px))
        self._draw = ImageDraw.Draw(self._picture)

    def gradient(self, top: Colour, low: Colour, end: float) -> None:
        """From the top edge down to `end`."""
        rows = round(end * self._large_px)
        strip = Image.new("RGB", (1, 2))
        strip.putpixel((0, 0), top)
        strip.putpixel((0, 1), low)
        self._picture.paste(strip.resize((self._large_px, rows), Image.Resampling.BILINEAR), (0, 0))

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self._draw.polygon([(x * self._large_px, y * self._large_px) for x, y in points], fill=colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def ellipse(self, x: float, y: float, wide: float, tall: float, colour: Colour) -> None:
        """Around (x, y), by its half axes."""
        box = [v * self._large_px for v in (x - wide, y - tall, x + wide, y + tall)]
        self._draw.ellipse(box, fill=colour)

    def half_disc(self, x: float, y: float, wide: float, tall: float, colour: Colour) -> None:
        """The upper half of an ellipse, standing on y."""
        box = [v * self._large_px for v in (x - wide, y - tall, x + wide, y + tall)]
        self._draw.pieslice(box, 180, 360, fill=colour)

    def line(self, start: Point, end: Point, width: float, colour: Colour) -> None:
        points = [(x * self._large_px, y * self._large_px) for x, y in (start, end)]
        self._draw.line(points, fill=colour, width=max(1, round(width * self._large_px)))

    def finished(self) -> Image.Image:
        """The picture at its own size."""
        return self._picture.resize((self._side_px, self._side_px), Image.Resampling.BOX)
