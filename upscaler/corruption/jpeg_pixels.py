"""JPEG quality from pixels: how well DCT coefficients lie on the lattice of a quantisation table.

A decoded JPEG's coefficient is a multiple of its step plus rounding noise. The likelihood of that is compared,
coefficient by coefficient, with the likelihood of a smooth distribution; the logarithms are summed over blocks and
frequencies, for each of the 64 phases of the block grid. Related: Z. Fan and R. de Queiroz, "Identification of Bitmap
Compression History: JPEG Detection and Quantizer Estimation", IEEE Transactions on Image Processing 12(2), 2003.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tilestep.upscaler.corruption.jpeg_blocks import BLOCK_PX, PHASES, Windows, coefficients, cut_windows
from tilestep.upscaler.corruption.jpeg_tables import QUALITIES, ijg_luminance_tables, quality_of_steps

MAX_WINDOWS = 4096
SOME_WINDOWS = 1024
SEARCH_WINDOWS = 384
SEARCH_FREQUENCIES = 20
LEAST_EVIDENCE = 40.0
LEAST_MEAN_EVIDENCE = 0.1
LEAST_FREE_EVIDENCE = 100.0
LEAST_MEAN_FREE_EVIDENCE = 0.8
FREE_STEP_COST = 3.0
LEAST_STEP_EVIDENCE = 20.0
LEAST_KNOWN_STEPS = 6
LEAST_PHASE_CONTRAST = 4.0
_MAX_STEP = 255
_LARGEST = 256
_BINS_PER_UNIT = 8
_BINS = _LARGEST * _BINS_PER_UNIT
_FINENESS = 256
_OUTLIERS = 0.02


@dataclass(frozen=True)
class Pool:
    """Blocks that are judged together: how many of their pixels may be clipped, and the noise to reckon with.

    Noises are standard deviations of a coefficient, in luma units: 0.3 comes from rounding, more from clipping and from
    slight changes after the JPEG was decoded.
    """

    most_clipped: int
    search_noises: tuple[float, ...]
    noises: tuple[float, ...]


POOLS = (Pool(0, (0.32, 0.8), (0.32, 0.8, 1.6)), Pool(24, (0.8, 3.2), (0.32, 0.8, 1.6, 3.2)))


@dataclass(frozen=True)
class Evidence:
    """Natural logarithms of likelihood ratios, "quantised with this step" against "never quantised".

    `by_step` (..., frequencies, 255): for steps 1, 2, ...; `frequencies`: their indices in a table in row order;
    `active` (...): how many coefficients are large enough to speak. Leading axes are phases that are judged apart.
    """

    frequencies: NDArray[np.intp]
    by_step: NDArray[np.float32]
    active: NDArray[np.int64]

    def by_quality(self) -> NDArray[np.float32]:
        """(..., 100): the sum over frequencies for the IJG table of each quality, upright or turned by 90 degrees."""
        upright = ijg_luminance_tables()
        turned = upright.reshape(-1, BLOCK_PX, BLOCK_PX).swapaxes(1, 2).reshape(upright.shape)
        rows = np.arange(len(self.frequencies))
        sums = [self.by_step[..., rows, tables[:, self.frequencies] - 1].sum(axis=-1) for tables in (upright, turned)]
        best: NDArray[np.float32] = np.max(sums, axis=0)
        return best

    def free_total(self) -> NDArray[np.float32]:
        """(...): the sum over frequencies for the likeliest table of any steps, less the cost of choosing each freely.

        0 where it is weak for the number of coefficients: off its grid, a coarse JPEG's smooth blocks suit some table.
        """
        total = (self.by_step.max(axis=-1) - FREE_STEP_COST).sum(axis=-1)
        strong: NDArray[np.float32] = np.where(total > LEAST_MEAN_FREE_EVIDENCE * self.active, total, 0)
        return strong


def pixel_quality(strips: Sequence[tuple[int, NDArray[np.uint8]]]) -> float | None:
    """IJG quality, 1..100, of the JPEG that a picture was before; None without clear evidence that it was one.

    `strips` are whole rows: (first row, uint8 RGB (rows, width, 3)). A cropped or turned JPEG is recognised too.
    """
    searched = cut_windows(strips, SOME_WINDOWS).thinned(SEARCH_WINDOWS)
    if len(searched.luma) < SEARCH_WINDOWS:
        searched = cut_windows(strips, MAX_WINDOWS).thinned(SEARCH_WINDOWS)
    if not len(searched.luma):
        return None
    found = searched.coefficients()[:, _frequencies()[:SEARCH_FREQUENCIES]]
    for pool in POOLS:
        phase = _distinct_phase(found, searched.usable(pool.most_clipped), pool)
        if phase is None:
            continue
        windows = cut_windows(strips, MAX_WINDOWS)
        quality = _judge(weigh(windows, phase, pool.most_clipped, pool.noises, _frequencies()))
        if quality is not None:
            return quality
    return None


def weigh(
    windows: Windows, phase: int, most_clipped: int, noises: Sequence[float], frequencies: NDArray[np.intp]
) -> list[Evidence]:
    """The evidence at one phase, for each noise."""
    values = coefficients(windows.blocks(phase, most_clipped))[:, frequencies]
    return _evidence(_sizes(values.T), noises, frequencies)


def _evidence(sizes: NDArray[np.int32], noises: Sequence[float], frequencies: NDArray[np.intp]) -> list[Evidence]:
    """Of coefficients (..., frequencies, blocks), for each noise."""
    counts = _histograms(sizes)
    active = counts[..., _BINS_PER_UNIT:].sum(axis=(-2, -1)).astype(np.int64)
    filled = int(np.flatnonzero(counts.any(axis=tuple(range(counts.ndim - 1)))).max(initial=0)) + 1
    rows = np.ascontiguousarray(counts[..., :filled]).reshape(-1, filled)
    weighed = ((rows @ _log_ratios(noise)[:filled]).reshape(*counts.shape[:-1], _MAX_STEP) for noise in noises)
    return [Evidence(frequencies, by_step, active) for by_step in weighed]


def _distinct_phase(values: NDArray[np.float32], usable: NDArray[np.bool_], pool: Pool) -> int | None:
    """The phase with by far the most evidence; None if others have nearly as much, as in linear gradients.

    `values` (64 phases, frequencies, blocks) are coefficients, `usable` (64 phases, blocks) says which count.
    """
    sizes = np.where(usable[:, None], _sizes(values), np.int32(_LARGEST * _FINENESS))
    found = _evidence(sizes, pool.search_noises, _frequencies()[:SEARCH_FREQUENCIES])
    totals = np.max([np.maximum(e.by_quality().max(axis=-1), e.free_total()) for e in found], axis=0)
    best = int(totals.argmax())
    return best if totals[best] > LEAST_PHASE_CONTRAST * max(float(np.median(totals)), 1.0) else None


def _judge(found: Sequence[Evidence]) -> float | None:
    """The quality of the likeliest noise and table: IJG's, or of any steps, reduced to the IJG scale."""
    ijg = max(found, key=lambda evidence: float(evidence.by_quality().max()))
    free = max(found, key=lambda evidence: float(evidence.free_total()))
    total, free_total = float(ijg.by_quality().max()), float(free.free_total())
    if free_total > max(total, LEAST_FREE_EVIDENCE):
        quality = _free_quality(free)
        if quality is not None:
            return quality
    if total > max(LEAST_EVIDENCE, LEAST_MEAN_EVIDENCE * float(ijg.active)):
        return _mean_quality(ijg.by_quality())
    return None


def _mean_quality(by_quality: NDArray[np.float32]) -> float:
    weights = np.exp(by_quality.astype(np.float64) - float(by_quality.max()))
    return float((weights * QUALITIES).sum() / weights.sum())


def _free_quality(evidence: Evidence) -> float | None:
    steps = evidence.by_step.argmax(axis=1) + 1
    known = (evidence.by_step.max(axis=1) >= LEAST_STEP_EVIDENCE) & (steps > 1)
    if known.sum() < LEAST_KNOWN_STEPS:
        return None
    return quality_of_steps(steps[known].astype(np.float64), evidence.frequencies[known])


@cache
def _frequencies() -> NDArray[np.intp]:
    """AC frequencies, lowest first, less those of rows and columns 0 and 4 alone.

    These lie on a lattice in any picture of few levels.
    """
    row, column = np.divmod(np.arange(PHASES), BLOCK_PX)
    order = np.argsort(row + column, kind="stable")
    return order[np.flatnonzero((row[order] % 4 != 0) | (column[order] % 4 != 0))]


@cache
def _log_ratios(noise: float) -> NDArray[np.float32]:
    """(bins, 255): what one coefficient of this size says for each step.

    A multiple other than zero gains by being near it. Zero only loses by being off it, since coefficients near zero
    are common in any picture.
    """
    return np.stack([_log_ratio(step, noise) for step in range(1, _MAX_STEP + 1)], axis=1)


def _log_ratio(step: int, noise: float) -> NDArray[np.float32]:
    """(bins,): worked out from one multiple to halfway to the next, and repeated from there."""
    half = _BINS_PER_UNIT * step // 2
    offset = (np.arange(half, dtype=np.float32) + 0.5) / _BINS_PER_UNIT
    reach = int(np.ceil(4 * noise / step))
    offsets = offset + step * np.arange(-reach, reach + 1, dtype=np.float32)[:, None]
    density = np.exp(-((offsets / np.float32(noise)) ** 2) / 2).sum(axis=0) * (step / (noise * np.sqrt(2 * np.pi)))
    near = np.log(_OUTLIERS + (1 - _OUTLIERS) * density).astype(np.float32)
    ratio: NDArray[np.float32] = np.tile(np.concatenate([near, near[::-1]]), -(-_BINS // (2 * half)))[:_BINS]
    ratio[:half] = np.minimum(ratio[:half], 0)
    return ratio


def _sizes(values: NDArray[np.float32]) -> NDArray[np.int32]:
    sizes: NDArray[np.int32] = np.rint(np.abs(values) * _FINENESS).astype(np.int32)
    return sizes


def _histograms(sizes: NDArray[np.int32]) -> NDArray[np.float32]:
    """Counts of |coefficient|, (..., bins) of (..., blocks); equal values of a frequency count once.

    Repeated patterns, such as letters, would else be taken for a lattice.
    """
    ordered = np.sort(sizes.reshape(-1, sizes.shape[-1]), axis=1)
    used = ordered < _LARGEST * _FINENESS
    used[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    bins = ordered // (_FINENESS // _BINS_PER_UNIT) + np.arange(len(ordered), dtype=np.int32)[:, None] * _BINS
    counts = np.bincount(bins[used], minlength=len(ordered) * _BINS)
    return counts.astype(np.float32).reshape(*sizes.shape[:-1], _BINS)
