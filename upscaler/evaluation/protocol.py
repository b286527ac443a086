"""The test protocol: from a picture to the file an upscaler is given, and what its answer is compared with.

The picture is cropped to even sides (the original) and halved by MATLAB's antialiased bicubic. The upscaler is given
a file in one of the conditions; its answer is compared with the original.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tilestep.upscaler.errors import InputError, OptionError
from tilestep.upscaler.evaluation.metrics import SSIM_WINDOW_PX
from tilestep.upscaler.evaluation.resize import halve

Picture = NDArray[np.uint8]
SCALE = 2
BORDER_PX = 2
JPEG_QUALITY = 75
SMALLEST_SIDE_PX = SSIM_WINDOW_PX + 2 * BORDER_PX + 1
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


@dataclass(frozen=True)
class Condition:
    """What the upscaler is given: the halved picture as PNG, as JPEG, or as PNG after a passage through JPEG."""

    name: str
    through_jpeg: bool
    suffix: str

    def write(self, small: Picture, folder: Path, stem: str) -> Path:
        """Writes the halved picture, (H, W, 3) uint8, into `folder` in this condition; returns the file."""
        path = folder / f"{stem}{self.suffix}"
        data = _jpeg(small) if self.through_jpeg else b""
        if self.suffix == ".jpg":
            path.write_bytes(data)
        else:
            picture = Image.open(io.BytesIO(data)) if data else Image.fromarray(small)
            picture.save(path, compress_level=1)
        return path


CONDITIONS = (
    Condition("clean", through_jpeg=False, suffix=".png"),
    Condition("jpeg75", through_jpeg=True, suffix=".jpg"),
    Condition("jpeg75-png", through_jpeg=True, suffix=".png"),
)


@dataclass(frozen=True)
class Sample:
    """A test picture: `original` (2H, 2W, 3) and `small` (H, W, 3), both uint8 sRGB."""

    name: str
    original: Picture
    small: Picture


def choose_conditions(names: Sequence[str] | None) -> list[Condition]:
    """Conditions by name, in the order given; all of them for None. Raises OptionError for an unknown name."""
    known = {condition.name: condition for condition in CONDITIONS}
    chosen = list(known) if names is None else list(dict.fromkeys(names))
    for name in chosen:
        if name not in known:
            raise OptionError(f"There is no condition {name!r}: choose from {', '.join(known)}.")
    return [known[name] for name in chosen]


def find_pictures(directory: Path, limit: int | None = None) -> list[Path]:
    """Picture files right in `directory`, by name, at most `limit`. Raises InputError when there is none."""
    if not directory.is_dir():
        what = "is a file, not a directory" if directory.exists() else "does not exist"
        raise InputError(f"{directory} {what}: name a directory of pictures.")
    try:
        found = sorted(path for path in directory.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    except OSError as error:
        raise InputError(f"{directory} cannot be read ({error.strerror}): check its permissions.") from error
    if not found:
        raise InputError(f"{directory} holds no picture: put {', '.join(SUFFIXES)} files right into it.")
    return found[:limit]


def load_sample(path: Path) -> Sample:
    """A file as a test picture; raises InputError if it cannot be read, has 16 bits a channel, or is too small.

    EXIF orientation is applied, an alpha channel dropped.
    """
    picture = read_picture(path)
    height, width = (side - side % SCALE for side in picture.shape[:2])
    if min(height, width) < SMALLEST_SIDE_PX:
        raise InputError(f"{path.name} is too small to measure: each side must have {SMALLEST_SIDE_PX} px or more.")
    original = np.ascontiguousarray(picture[:height, :width])
    return Sample(path.name, original, halve(original))


def read_picture(path: Path) -> Picture:
    """A picture file as (H, W, 3) uint8 sRGB; raises InputError in words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.mode not in EIGHT_BIT_MODES:
                    raise InputError(f"{path.name} has more than 8 bits a channel: save it with 8 to measure on it.")
                return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except InputError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(f"{path.name} has too many pixels to measure on: crop or halve it.") from error
    except Exception as error:  # decoders of broken files raise whatever they meet
        raise InputError(f"{path.name} cannot be read as a picture ({error}): remove or replace it.") from error


def fit_output(output: Picture, due: tuple[int, int]) -> tuple[Picture, str]:
    """An upscaler's answer at the size that is due, (height, width), and a note on what was done for it.

    Answers 2 or 4 times too large, as upscalers with a fixed scale of 4 give, are halved. Raises InputError for others.
    """
    height, width = output.shape[:2]
    for halvings in (0, 1, 2):
        if (height, width) == (due[0] << halvings, due[1] << halvings):
            for _ in range(halvings):
                output = halve(output)
            return output, f"{SCALE << halvings}x, halved" if halvings else ""
    raise InputError(f"gave {width}x{height} px where {due[1]}x{due[0]} are due")


def _jpeg(picture: Picture) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()
