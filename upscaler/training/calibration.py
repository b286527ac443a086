"""Step budgets and early exits, calibrated on held-out tiles.

Every tile is sampled with every number of steps. How far n steps are from all steps grows with the tile's
uncertainty u about as a_n u, so a tolerance tau gives the thresholds tau / a_n; the largest tolerance (the fewest
steps) is taken that keeps the losses against full steps within bounds. The exit inside sampling is found likewise.
Neither may save more than half of the steps: the bounds are means, which a few busy tiles rule. A perceptual measure,
where one is given, says how far n steps are from all steps, and is bounded for clean and for corrupted tiles apart:
differences of pixels hardly see the texture that the first step brings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from tilestep.upscaler.diffusion.sampling import estimates, prepare
from tilestep.upscaler.diffusion.uncertainty import core, tile_uncertainty
from tilestep.upscaler.model.checkpoint import LoadedModel
from tilestep.upscaler.model.descriptor import Calibration
from tilestep.upscaler.quality import FULL, Quality
from tilestep.upscaler.training.stages import Batch, PictureLoss

MOST_PSNR_LOSS_DB = 0.04
MOST_ENERGY_LOSS = 0.008
MOST_MEASURE_LOSS = 0.0015
LEAST_BUDGETED = 0.55
LEAST_TAKEN = 0.5
TOLERANCES = [8.0 * 0.92**i for i in range(160)]
EXIT_CHANGES = [2.0 * 0.85**i for i in range(20)]
CHUNK = 4
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class TileStudy:
    """N held-out tiles and all that any policy could make of them.

    `paths[n]`: the clean core after each of n steps, (n, N, 3, h, w) float16; `paths[0]` is the regressor's, (1, ...).
    `measure`: of pictures in [-1, 1], lower is better, one value a picture or one for all. `corrupted`: (N,) bool.
    """

    uncertainty: Tensor
    truth: Tensor
    paths: dict[int, Tensor]
    measure: PictureLoss | None = None
    corrupted: Tensor | None = None

    @property
    def full_steps(self) -> int:
        """The largest number of steps that was tried."""
        return max(self.paths)

    def taken(self, quality: Quality) -> tuple[Tensor, Tensor]:
        """What a quality makes of the tiles: steps (N,) and cores (N, 3, h, w) float32."""
        chosen = self._chosen(quality)
        steps = [last + 1 if budget else 0 for budget, last in chosen]
        cores = [self.paths[budget][last, i].float() for i, (budget, last) in enumerate(chosen)]
        return torch.tensor(steps), torch.stack(cores)

    def measured(self, quality: Quality) -> Tensor:
        """(N,): what the measure says of the same cores against the truth."""
        return torch.stack([self._measured[budget][last, i] for i, (budget, last) in enumerate(self._chosen(quality))])

    def distance(self, steps: int) -> Tensor:
        """(N,): how far the outcome of so many steps is from that of all, by the measure or by 1/255 of a pixel."""
        found, full = self.paths[steps][-1].float(), self.paths[self.full_steps][-1].float()
        if self.measure is None:
            return (found - full).abs().mean((1, 2, 3)) * 255
        return self._compare(found, full)

    def groups(self) -> list[Tensor]:
        """Clean and corrupted tiles, as far as there are any, each (N,) bool."""
        if self.corrupted is None:
            return [torch.ones(len(self.uncertainty), dtype=torch.bool)]
        return [group for group in (self.corrupted, ~self.corrupted) if group.any()]

    @cached_property
    def _measured(self) -> dict[int, Tensor]:
        """By number of steps: (n, N), each estimate against the truth."""
        return {n: torch.stack([self._compare(e.float(), self.truth) for e in path]) for n, path in self.paths.items()}

    def _compare(self, found: Tensor, truth: Tensor) -> Tensor:
        assert self.measure is not None
        chunks = [slice(start, start + CHUNK) for start in range(0, len(found), CHUNK)]
        return torch.cat([_each(self.measure, found[rows] * 2 - 1, truth[rows] * 2 - 1) for rows in chunks])

    def _chosen(self, quality: Quality) -> list[tuple[int, int]]:
        """Budget, and index of the estimate at which sampling stops, of each tile."""
        budgets = [quality.steps_for(u) for u in self.uncertainty.tolist()]
        return [(n, _exit_step(self.paths[n][:, i].float(), quality.exit_change)) for i, n in enumerate(budgets)]


@torch.inference_mode()
def study_tiles(model: LoadedModel, tiles: Batch, full_steps: int, measure: PictureLoss | None = None) -> TileStudy:
    """Samples every tile with 1 to `full_steps` steps; the noise is the same for all."""
    halo = 2 * model.descriptor.halo_px
    parts: dict[int, list[Tensor]] = {n: [] for n in range(full_steps + 1)}
    uncertainty = []
    for start in range(0, len(tiles.low), CHUNK):
        rows = slice(start, start + CHUNK)
        prepared = prepare(model.network, model.diffusion, tiles.low[rows], tiles.corruption[rows])
        uncertainty.append(tile_uncertainty(prepared.g, prepared.enlarged, halo))
        eps = torch.randn(prepared.g.shape, generator=torch.Generator().manual_seed(start)).to(prepared.g.device)
        parts[0].append(_kept(prepared.g, halo)[None])
        for n in range(1, full_steps + 1):
            path = estimates(model.network.denoiser, model.diffusion, prepared, eps, n)
            parts[n].append(torch.stack([_kept(clean, halo) for clean, _ in path]))
    paths = {n: torch.cat(chunks, 1) for n, chunks in parts.items()}
    corrupted = (tiles.corruption > 0).any(1)
    return TileStudy(torch.cat(uncertainty), core(tiles.high, halo), paths, measure, corrupted)


@torch.inference_mode()
def calibrate(model: LoadedModel, tiles: Batch, measure: PictureLoss | None = None) -> Calibration:
    """Thresholds and exits of every preset that takes steps. `measure`: see `TileStudy`."""
    thresholds, exit_change = {}, {}
    for name, full in FULL.items():
        if full.max_steps:
            found = calibrate_preset(full, study_tiles(model, tiles, full.max_steps, measure))
            thresholds[name], exit_change[name] = found.thresholds, found.exit_change
    return Calibration(thresholds, exit_change)


def calibrate_preset(full: Quality, study: TileStudy) -> Quality:
    """The preset with the fewest steps whose losses stay within bounds; all steps everywhere if there is none."""
    slopes = _slopes(study)

    def budgeted(tolerance: float) -> Quality:
        thresholds = tuple(tolerance / slope for slope in slopes)
        return Quality(full.name, full.depth, full.max_steps, thresholds)

    allowed = _first(map(budgeted, TOLERANCES), lambda q: within_bounds(study, full, q, LEAST_BUDGETED)) or full

    def exiting(change: float) -> Quality:
        return Quality(full.name, full.depth, full.max_steps, allowed.thresholds, change)

    return _first(map(exiting, EXIT_CHANGES), lambda q: within_bounds(study, full, q, LEAST_TAKEN)) or allowed


def within_bounds(study: TileStudy, full: Quality, quality: Quality, least_share: float = 0.0) -> bool:
    """Whether a quality loses little enough against full steps, and takes no less than a share of them.

    What is compared: PSNR, high-frequency energy, and the study's measure.
    """
    best, (steps, cores) = study.taken(full)[1], study.taken(quality)
    if float(steps.float().mean()) < least_share * full.max_steps:
        return False
    if study.measure is not None:
        lost = study.measured(quality) - study.measured(full)
        if any(float(lost[group].mean()) > MOST_MEASURE_LOSS for group in study.groups()):
            return False
    psnr_loss = float((_psnr(best, study.truth) - _psnr(cores, study.truth)).mean())
    before, after = float(fine_energy(best).sum()), float(fine_energy(cores).sum())
    return psnr_loss <= MOST_PSNR_LOSS_DB and abs(before - after) <= MOST_ENERGY_LOSS * before


def fine_energy(pictures: Tensor) -> Tensor:
    """Mean square of the finest undecimated Haar details of luma, (N, 3, H, W) in [0, 1] -> (N,)."""
    y = torch.einsum("nchw,c->nhw", pictures, torch.tensor(LUMA, device=pictures.device))
    a, b, c, d = y[:, :-1, :-1], y[:, :-1, 1:], y[:, 1:, :-1], y[:, 1:, 1:]
    bands = (a - b + c - d, a + b - c - d, a - b - c + d)
    return torch.stack([band.square().mean((1, 2)) for band in bands]).sum(0)


def _slopes(study: TileStudy) -> list[float]:
    """a_n for n = 0 .. full - 1, not rising with n: distance to full steps per unit of uncertainty."""
    u, slopes = study.uncertainty.cpu().double(), []
    for n in range(study.full_steps):
        distance = study.distance(n).cpu().double()
        slopes.append(max(float((distance * u).sum() / u.square().sum().clamp(min=1e-12)), 1e-6))
    return [min(slopes[: n + 1]) for n in range(len(slopes))]


def _exit_step(path: Tensor, exit_change: float) -> int:
    """Index of the estimate at which sampling stops."""
    for i in range(1, len(path)):
        if float((path[i] - path[i - 1]).abs().mean()) * 255 < exit_change:
            return i
    return len(path) - 1


def _each(measure: PictureLoss, found: Tensor, truth: Tensor) -> Tensor:
    """One value a picture, also of a measure that gives one for all."""
    values = measure(found, truth).reshape(-1)
    if len(values) == len(found):
        return values
    return torch.cat([measure(found[i : i + 1], truth[i : i + 1]).reshape(-1) for i in range(len(found))])


def _psnr(pictures: Tensor, truth: Tensor) -> Tensor:
    return -10 * (pictures.clamp(0, 1) - truth).square().mean((1, 2, 3)).clamp(min=1e-10).log10()


def _kept(picture: Tensor, halo: int) -> Tensor:
    return core(picture, halo).clamp(0, 1).half()


def _first(qualities: Iterable[Quality], fits: Callable[[Quality], bool]) -> Quality | None:
    return next((quality for quality in qualities if fits(quality)), None)
