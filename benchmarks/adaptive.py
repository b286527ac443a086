"""Steps where they are needed: what the step budgets of a preset save, and what they cost.

    python benchmarks/adaptive.py DIR [--preset balanced] [--tiles 96] [--limit N]
                                  [--measure LPIPS=lpips_squeeze:LpipsSqueeze]

Tiles are cut from the pictures of DIR by the protocol of `tilestep evaluate` (halved with MATLAB's bicubic; clean, and
JPEG 75), each with its own surroundings as halo. A tile of `balanced` takes about 4 seconds of one core, one of `best`
10; --tiles and --limit (the first N pictures) make a subset. Compared on the same tiles and the same noise:

    full        all steps of the preset everywhere
    ours        the preset's budgets and early exit
    fixed       the same number of steps in every tile, at the mean of ours (two whole numbers mixed evenly)
    Immerkaer   Diff2X's rule in the schedule of `full`: stop once the noisy picture is as smooth as bicubic
    none        no step at all: the regressor alone
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tilestep.upscaler.corruption.scale import dejpeg_from_quality
from tilestep.upscaler.diffusion.immerkaer import noise_estimate
from tilestep.upscaler.diffusion.sampling import estimates, prepare
from tilestep.upscaler.diffusion.uncertainty import core
from tilestep.upscaler.evaluation.measures import Measure, with_plugged_in
from tilestep.upscaler.evaluation.metrics import high_frequency_energy
from tilestep.upscaler.evaluation.protocol import find_pictures, read_picture
from tilestep.upscaler.evaluation.resize import halve
from tilestep.upscaler.model.checkpoint import LoadedModel, load_model
from tilestep.upscaler.quality import FULL, Quality, preset
from tilestep.upscaler.training.calibration import CHUNK, TileStudy, study_tiles
from tilestep.upscaler.training.degradation import jpeg
from tilestep.upscaler.training.stages import Batch

JPEG_QUALITY = 75
Result = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Row:
    """One line of the table: steps (N,), and means over the tiles."""

    name: str
    steps: Tensor
    figures: dict[str, float]
    energy: float


def cut_tiles(pictures: list[Path], model: LoadedModel, count: int, quality: int | None) -> Batch:
    """`count` tiles spread evenly over all tiles of the pictures: whole patches inside the picture."""
    read, stride = model.descriptor.read_px, model.descriptor.read_px - 2 * model.descriptor.halo_px
    pairs = []
    for path in pictures:
        picture = read_picture(path)
        picture = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
        small = halve(picture)
        small = small if quality is None else jpeg(small, quality)
        for y in range(0, small.shape[0] - read + 1, stride):
            for x in range(0, small.shape[1] - read + 1, stride):
                high = picture[2 * y : 2 * (y + read), 2 * x : 2 * (x + read)]
                pairs.append((_tensor(high), _tensor(small[y : y + read, x : x + read])))
    chosen = [pairs[i] for i in np.linspace(0, len(pairs) - 1, min(count, len(pairs))).astype(int)]
    high, low = (torch.stack(column) for column in zip(*chosen, strict=True))
    dejpeg = 0.0 if quality is None else dejpeg_from_quality(quality)
    return Batch(high, low, torch.tensor([[dejpeg, 0.0]]).expand(len(low), 2))


def fixed_at_mean(study: TileStudy, mean: float) -> Result:
    """The same steps everywhere; the fraction of `mean` decides how many tiles get one more."""
    whole, part = int(mean), mean - int(mean)
    steps = [whole + int((i + 1) * part) - int(i * part) for i in range(len(study.uncertainty))]
    return torch.tensor(steps), torch.stack([study.paths[n][-1][i].float() for i, n in enumerate(steps)])


@torch.inference_mode()
def immerkaer(model: LoadedModel, tiles: Batch, full: Quality) -> Result:
    """Diff2X's exit rule; the clean estimate is returned where Diff2X returns the noisy one."""
    halo, steps, cores = 2 * model.descriptor.halo_px, [], []
    for start in range(0, len(tiles.low), CHUNK):
        rows = slice(start, start + CHUNK)
        prepared = prepare(model.network, model.diffusion, tiles.low[rows], tiles.corruption[rows])
        wanted = noise_estimate(core(prepared.enlarged, halo))
        eps = torch.randn(prepared.g.shape, generator=torch.Generator().manual_seed(start))
        taken, picked = torch.zeros(len(wanted), dtype=torch.long), core(prepared.g, halo).clone()
        running = torch.ones(len(wanted), dtype=torch.bool)
        for clean, noisy in estimates(model.network.denoiser, model.diffusion, prepared, eps, full.max_steps):
            taken += running
            picked[running] = core(clean, halo)[running]
            running &= noise_estimate(core(noisy, halo)) > wanted
        steps.append(taken)
        cores.append(picked.clamp(0, 1))
    return torch.cat(steps), torch.cat(cores)


def measure_row(name: str, result: Result, truth: Tensor, measures: list[Measure]) -> Row:
    """Every measure on every tile, then the mean."""
    steps, cores = result
    outputs, references = [_bytes(x) for x in cores], [_bytes(x) for x in truth]
    figures = {m.name: float(np.mean([m(o, r, 0) for o, r in zip(outputs, references, strict=True)])) for m in measures}
    return Row(name, steps, figures, float(np.mean([high_frequency_energy(o) for o in outputs])))


def print_table(title: str, rows: list[Row], full_steps: int) -> None:
    """Absolute figures, and the differences from the first row."""
    names, first = list(rows[0].figures), rows[0]
    print(f"\n{title}: {len(first.steps)} tiles, {full_steps} steps at full")
    heads = [f"{n:>9} {'diff':>8}" for n in names]
    print(
        f"{'method':<10} {'mean':>5} {'2 or more':>9} {'HF diff':>8} {' '.join(heads)}   tiles by steps 0..{full_steps}"
    )
    for row in rows:
        cells = [f"{row.figures[n]:9.4f} {row.figures[n] - first.figures[n]:+8.4f}" for n in names]
        histogram = torch.bincount(row.steps, minlength=full_steps + 1).tolist()
        energy = 100 * (row.energy / first.energy - 1)
        steps = f"{float(row.steps.float().mean()):5.2f} {float((row.steps > 1).float().mean()):9.0%}"
        print(f"{row.name:<10} {steps} {energy:+7.2f}% {' '.join(cells)}   {histogram}")


def compare(model: LoadedModel, tiles: Batch, name: str, measures: list[Measure]) -> list[Row]:
    """All methods on one set of tiles."""
    full, ours = FULL[name], preset(name, model.descriptor.calibration)
    study = study_tiles(model, tiles, full.max_steps)
    results = {"full": study.taken(full), "ours": study.taken(ours)}
    results["fixed"] = fixed_at_mean(study, float(results["ours"][0].float().mean()))
    results["Immerkaer"] = immerkaer(model, tiles, full)
    results["none"] = study.taken(Quality("none"))
    return [measure_row(method, result, study.truth, measures) for method, result in results.items()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--preset", default="balanced", choices=[n for n, q in FULL.items() if q.max_steps])
    parser.add_argument("--tiles", type=int, default=96)
    parser.add_argument("--limit", type=int, metavar="N", help="the first N pictures (default: all)")
    parser.add_argument("--measure", action="append", default=[], metavar="NAME=MODULE:ATTRIBUTE")
    parser.add_argument("--checkpoint", type=Path)
    args = parser.parse_args()
    model = load_model(args.checkpoint)
    plugged = with_plugged_in(args.measure)
    measures = [m for m in plugged if m.name in ("PSNR", "HaarPSI") or not m.leaves_border]
    for title, quality in (("clean", None), (f"JPEG {JPEG_QUALITY}", JPEG_QUALITY)):
        tiles = cut_tiles(find_pictures(args.directory, args.limit), model, args.tiles, quality)
        print_table(
            f"{args.preset}, {title}", compare(model, tiles, args.preset, measures), FULL[args.preset].max_steps
        )
    return 0


def _tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).float() / 255


def _bytes(picture: Tensor) -> np.ndarray:
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


if __name__ == "__main__":
    sys.exit(main())
