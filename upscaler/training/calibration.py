"""Step budgets and early exits, calibrated on held-out tiles.

Every tile is sampled with every number of steps. How far n steps are from all steps grows with the tile's
uncertainty u about as a_n u, so a tolerance tau gives the thresholds tau / a_n; the largest tolerance (the fewest
steps) is taken that keeps both losses against full steps within bounds. The exit inside sampling is found likewise.
Neither may save more than half of the steps: the bounds are means, which a few busy tiles rule, and do not see texture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from tilestep.upscaler.diffusion.sampling import estimates, prepare
from tilestep.upscaler.diffusion.uncertainty import core, tile_uncertainty
from tilestep.upscaler.model.checkpoint import LoadedModel
from tilestep.upscaler.model.descriptor import Calibration
from tilestep.upscaler.quality import FULL, Quality
from tilestep.upscaler.training.stages import Batch

MOST_PSNR_LOSS_DB = 0.04
MOST_ENERGY_LOSS = 0.008
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
    """

    uncertainty: Tensor
    truth: Tensor
    paths: dict[int, Tensor]

    @property
    def full_steps(self) -> int:
        """The largest number of steps that was tried."""
        return max(self.paths)

    def taken(self, quality: Quality) -> tuple[Tensor, Tensor]:
        """What a quality makes of the tiles: steps (N,) and cores (N, 3, h, w) float32."""
        steps, cores = [], []
        for i, u in enumerate(self.uncertainty.tolist()):
            path = self.paths[quality.steps_for(u)][:, i].float()
            last = _exit_step(path, quality.exit_change)
            steps.append(last + 1 if quality.steps_for(u) else 0)
            cores.append(path[last])
        return torch.tensor(steps), torch.stack(cores)


@torch.inference_mode()
def study_tiles(model: LoadedModel, tiles: Batch, full_steps: int) -> TileStudy:
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
    return TileStudy(torch.cat(uncertainty), core(tiles.high, halo), paths)


def calibrate(model: LoadedModel, tiles: Batch) -> Calibration:
    """Thresholds and exits of every preset that takes steps."""
    thresholds, exit_change = {}, {}
    for name, full in FULL.items():
        if full.max_steps:
            found = calibrate_preset(full, study_tiles(model, tiles, full.max_steps))
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

    What is compared: PSNR, and high-frequency energy.
    """
    best, (steps, cores) = study.taken(full)[1], study.taken(quality)
    if float(steps.float().mean()) < least_share * full.max_steps:
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
    """a_n for n = 0 .. full - 1, not rising with n: distance to full steps in 1/255 per unit of uncertainty."""
    u, full = study.uncertainty.cpu().double(), study.paths[study.full_steps][-1].float()
    slopes = []
    for n in range(study.full_steps):
        distance = (study.paths[n][-1].float() - full).abs().mean((1, 2, 3)).cpu().double() * 255
        slopes.append(max(float((distance * u).sum() / u.square().sum().clamp(min=1e-12)), 1e-6))
    return [min(slopes[: n + 1]) for n in range(len(slopes))]


def _exit_step(path: Tensor, exit_change: float) -> int:
    """Index of the estimate at which sampling stops."""
    for i in range(1, len(path)):
        if float((path[i] - path[i - 1]).abs().mean()) * 255 < exit_change:
            return i
    return len(path) - 1


def _psnr(pictures: Tensor, truth: Tensor) -> Tensor:
    return -10 * (pictures.clamp(0, 1) - truth).square().mean((1, 2, 3)).clamp(min=1e-10).log10()


def _kept(picture: Tensor, halo: int) -> Tensor:
    return core(picture, halo).clamp(0, 1).half()


def _first(qualities: Iterable[Quality], fits: Callable[[Quality], bool]) -> Quality | None:
    return next((quality for quality in qualities if fits(quality)), None)
