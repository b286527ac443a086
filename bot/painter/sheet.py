"""A sheet of pictures with their captions below, to look at."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

CAPTION_PX = 46
LINE_CHARACTERS = 40


def sheet(pictures: Sequence[Image.Image], captions: Sequence[str], columns: int = 6) -> Image.Image:
    """In rows of `columns`; pictures of one size."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    whole = Image.new("RGB", (columns * width, rows * (height + CAPTION_PX)), "white")
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(12)
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        row, column = divmod(number, columns)
        left, top = column * width, row * (height + CAPTION_PX)
        whole.paste(picture, (left, top))
        lines = textwrap.wrap(caption, LINE_CHARACTERS)[:3]
        pen.multiline_text((left + 4, top + height + 2), "\n".join(lines), "black", font, spacing=1)
    return whole
