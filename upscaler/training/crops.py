"""Training crops: item i is a pure function of (seed, i), so that a resumed run sees what it would have seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from tilestep.upscaler.errors import InputError
from tilestep.upscaler.training.degradation import HARD_SHARE, Picture, as_graphic, corrupt, halve

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}
MARGIN_LR_PX = 8
SHRINK_SHARE = 0.3
GRAPHIC_SHARE = 0.06
PICTURES_DRAWN = 2
PLACES_DRAWN = 2


@dataclass(frozen=True)
class Pictures:
    """Decoded pictures, (H, W, 3) uint8 each, and what could not be used."""

    items: tuple[Picture, ...]
    skipped: tuple[str, ...]


def load_pictures(folder: Path, smallest_px: int) -> Pictures:
    """Reads every picture of a folder and its sub-folders; too small or broken ones are named in `skipped`.

    EXIF orientation is applied. Raises InputError if nothing usable is there.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give a folder of pictures.")
    items, skipped = [], []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        try:
            with Image.open(path) as file:
                picture = np.asarray(ImageOps.exif_transpose(file).convert("RGB"))
        except Exception as error:  # decoders of broken files raise whatever they meet
            skipped.append(f"{path.name}: {error}")
            continue
        if min(picture.shape[:2]) < smallest_px:
            skipped.append(f"{path.name}: smaller than {smallest_px} px")
        else:
            items.append(picture)
    if not items:
        raise InputError(f"{folder} has no usable picture of at least {smallest_px} px a side.")
    return Pictures(tuple(items), tuple(skipped))


class CropDataset(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Pairs (high (3, 2S, 2S) uint8, low (3, S, S) uint8, corruption (2,) float32) from whole pictures.

    Each draws four places, two in each of two pictures, keeps the one with the most gradient energy, shrinks the source
    by 0.5 to 1 three times in ten, and turns it one of 8 dihedral ways. Every picture is drawn as often as any other,
    whatever its size, and busy ones, such as text, are kept more often: they are where most remains to be learned. Six
    in a hundred are redrawn as graphics.
    """

    def __init__(self, pictures: tuple[Picture, ...], low_px: int, seed: int) -> None:
        self.pictures = pictures
        self.low_px = low_px
        self.seed = seed

    @property
    def source_px(self) -> int:
        """Side of what is cut out at high resolution, margin included."""
        return 2 * (self.low_px + 2 * MARGIN_LR_PX)

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng([self.seed, index])
        drawn = [self.pictures[i] for i in rng.integers(len(self.pictures), size=PICTURES_DRAWN)]
        places = (self._cut(picture, rng) for picture in drawn for _ in range(PLACES_DRAWN))
        high = self._flip(max(places, key=_gradient_energy), rng)
        is_graphic = rng.random() < GRAPHIC_SHARE
        high = as_graphic(high, rng) if is_graphic else high
        low, corruption = corrupt(halve(high, rng, HARD_SHARE if is_graphic else 0.0), rng)
        row, column = rng.integers(2, 2 * MARGIN_LR_PX - 1, 2)
        low = low[row : row + self.low_px, column : column + self.low_px]
        high = high[2 * row : 2 * (row + self.low_px), 2 * column : 2 * (column + self.low_px)]
        return _to_tensor(high), _to_tensor(low), torch.tensor(corruption, dtype=torch.float32)

    def _cut(self, picture: Picture, rng: np.random.Generator) -> Picture:
        height, width = picture.shape[:2]
        shrink = rng.uniform(0.5, 1.0) if rng.random() < SHRINK_SHARE else 1.0
        side = min(round(self.source_px / shrink), height, width)
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        patch = picture[top : top + side, left : left + side]
        if side == self.source_px:
            return patch
        size = (self.source_px, self.source_px)
        return np.asarray(Image.fromarray(patch).resize(size, Image.Resampling.LANCZOS))

    @staticmethod
    def _flip(picture: Picture, rng: np.random.Generator) -> Picture:
        turned = np.rot90(picture, int(rng.integers(4)))
        return np.ascontiguousarray(turned[:, ::-1] if rng.random() < 0.5 else turned)


def _gradient_energy(picture: Picture) -> float:
    luma: NDArray[np.int32] = picture[::2, ::2, 1].astype(np.int32)
    return float(np.abs(np.diff(luma, axis=0)).mean() + np.abs(np.diff(luma, axis=1)).mean())


def _to_tensor(picture: Picture) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
