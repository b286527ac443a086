"""How well JPEG quality and blur are estimated from pixels: `python benchmarks/corruption.py DIR [--every N] [--full]`.

Every picture of DIR is halved by antialiased bicubic, corrupted by a known amount, and estimated. JPEG by Pillow, 4:2:0
and 4:4:4 in turn, then cropped by 0 to 7 pixels so that the grid has any phase. Blur is Gaussian, JPEG on top of it.
With `--full` clean pictures are also tried as they are, and in small crops.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tilestep.upscaler.corruption.estimate import Sample, estimate_deblur, estimate_dejpeg
from tilestep.upscaler.corruption.jpeg_pixels import pixel_quality
from tilestep.upscaler.corruption.scale import sigma_from_deblur
from tilestep.upscaler.evaluation.resize import halve

Picture = NDArray[np.uint8]
QUALITIES = (10, 15, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92, 95)
SIGMAS_PX = (0.0, 0.3, 0.5, 0.75, 1.0, 1.25, 1.5)
BLUR_QUALITIES = (None, 90, 75, 50, 30)
CROP_SIDES_PX = (16, 24, 32, 48, 64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take each Nth picture")
    parser.add_argument("--full", action="store_true", help="try clean pictures at full size and in small crops too")
    options = parser.parse_args()
    paths = sorted(path for path in options.directory.iterdir() if path.is_file())[:: options.every]
    pictures = [load(path) for path in paths]
    halved = [halve(picture) for picture in pictures]
    report_clean("halved", paths, halved)
    if options.full:
        report_clean("as they are", paths, pictures)
        for side in CROP_SIDES_PX:
            crops = [(path, crop) for path, picture in zip(paths, pictures, strict=True) for crop in cut(picture, side)]
            report_clean(f"crops of {side} px", [path for path, _ in crops], [crop for _, crop in crops])
    report_jpeg(halved)
    report_blur(halved)


def report_clean(name: str, paths: list[Path], pictures: list[Picture]) -> None:
    """Lists every clean picture that was taken for corrupted."""
    jpeg = [(path.name, value) for path, p in zip(paths, pictures, strict=True) if (value := estimate_dejpeg(whole(p)))]
    blur = [(path.name, value) for path, p in zip(paths, pictures, strict=True) if (value := estimate_deblur(whole(p)))]
    print(f"clean pictures, {name}: {len(pictures)}; taken for JPEG: {len(jpeg)}, for blurred: {len(blur)}")
    for kind, found in (("JPEG", jpeg), ("blur", blur)):
        for file, value in found:
            print(f"    {kind} {value:.3f} {file}")


def report_jpeg(pictures: list[Picture]) -> None:
    print(
        "\nJPEG: error of the estimated quality\n| quality | not seen | median | 95 % | largest |\n"
        + "| --- " * 5
        + "|"
    )
    for quality in QUALITIES:
        estimates = [
            pixel_quality(whole(shifted(compress(p, quality, i % 2), i)).strips) for i, p in enumerate(pictures)
        ]
        errors = [abs(found - quality) for found in estimates if found is not None] or [float("nan")]
        median, most = np.percentile(errors, [50, 95])
        missed = sum(found is None for found in estimates)
        print(
            f"| {quality} | {missed} of {len(pictures)} | {median:.2f} | {most:.2f} | {max(errors):.2f} |", flush=True
        )


def report_blur(pictures: list[Picture]) -> None:
    print("\nBlur: share taken for blurred, and 5 %, 50 % and 95 % of the sigma estimated for those")
    print("| sigma, px | " + " | ".join("no JPEG" if q is None else f"JPEG {q}" for q in BLUR_QUALITIES) + " |")
    print("| --- " * (len(BLUR_QUALITIES) + 1) + "|")
    for sigma in SIGMAS_PX:
        blurred = [gaussian(picture, sigma) for picture in pictures]
        cells = [blur_cell(blurred, quality) for quality in BLUR_QUALITIES]
        print(f"| {sigma} | " + " | ".join(cells) + " |", flush=True)


def blur_cell(pictures: list[Picture], quality: int | None) -> str:
    estimates = []
    for picture in pictures:
        sample = whole(picture if quality is None else compress(picture, quality, 0))
        estimates.append(sigma_from_deblur(estimate_deblur(sample, estimate_dejpeg(sample) if quality else 0.0)))
    found = [sigma for sigma in estimates if sigma > 0]
    spread = " ".join(f"{value:.2f}" for value in np.percentile(found, [5, 50, 95])) if found else "-"
    return f"{len(found) / len(estimates):.1%}: {spread}"


def load(path: Path) -> Picture:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def compress(picture: Picture, quality: int, full_colour: int) -> Picture:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=0 if full_colour else 2)
    return load_bytes(file)


def load_bytes(file: io.BytesIO) -> Picture:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def gaussian(picture: Picture, sigma: float) -> Picture:
    """Blurred by a Gaussian of `sigma` pixels, rounded to 8 bits; edges repeated."""
    if sigma == 0:
        return picture
    reach = int(np.ceil(4 * sigma))
    weights = np.exp(-((np.arange(-reach, reach + 1) / sigma) ** 2) / 2)
    values = picture.astype(np.float64)
    for axis in (0, 1):
        padded = np.pad(values, [(reach, reach) if axis == i else (0, 0) for i in range(3)], mode="edge")
        taps = [np.take(padded, range(k, k + values.shape[axis]), axis=axis) * w for k, w in enumerate(weights)]
        values = np.sum(taps, axis=0) / weights.sum()
    return np.rint(values).astype(np.uint8)


def shifted(picture: Picture, index: int) -> Picture:
    return picture[index * 5 % 8 :, index * 3 % 8 :]


def cut(picture: Picture, side: int) -> Iterator[Picture]:
    """Up to four squares of `side` pixels from different places."""
    height, width = picture.shape[:2]
    for index in range(4 if min(height, width) > side else 0):
        top, left = (height - side) * index // 4, (width - side) * (index * 3 % 4) // 4
        yield picture[top : top + side, left : left + side]


def whole(picture: Picture) -> Sample:
    return Sample(((0, picture),))


if __name__ == "__main__":
    main()
