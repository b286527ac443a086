"""Pictures of the table: shares over time, waits of clicks, memory of the soak."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Any

import matplotlib
from interleaving.rows import Shares
from interleaving.soak import SoakResult

matplotlib.use("Agg")


def plot_shares(path: Path, found: dict[str, Shares]) -> None:
    """Each flow's part of the device so far; dashed, what it should have."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(found), figsize=(4 * len(found), 3.6), sharey=True, squeeze=False)
    for axis, (name, shares) in zip(axes[0], found.items(), strict=True):
        total = list(accumulate(step.gpu_ms for step in shares.steps))
        for number, (flow, part) in enumerate(shares.expected.items()):
            mine = accumulate(_part_ms(step, flow, shares) for step in shares.steps)
            axis.plot([ms / 1000 for ms in total], [ms / all_ms for ms, all_ms in zip(mine, total, strict=True)],
                      f"C{number}", label=flow)  # fmt: skip
            axis.axhline(part, color=f"C{number}", linestyle="--", linewidth=0.8)
        axis.set(title=name, xlabel="seconds of the device", ylim=(0, 0.8))
    axes[0][0].set_ylabel("part of the device so far")
    axes[0][0].legend(fontsize=8)
    _save(figure, path)


def _part_ms(step: Any, flow: str, shares: Shares) -> float:
    mine = sum(part for job, part in step.parts.items() if shares.owners[job].member == flow)
    return step.gpu_ms * mine / max(sum(step.parts.values()), 1)


def plot_waits(path: Path, found: dict[str, list[float]]) -> None:
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(6, 3.6))
    for number, waits in enumerate(found.values()):
        axis.plot([number] * len(waits), waits, "o", alpha=0.6)
    axis.axhline(1, color="grey", linestyle="--")
    axis.set(yscale="log", title="A click under full load of new images", ylabel="wait, (step + quantum)")
    axis.set_xticks(range(len(found)), list(found))
    _save(figure, path)


def plot_memory(path: Path, result: SoakResult) -> None:
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(6, 3.6))
    axis.plot(*zip(*result.memory_mib, strict=True), "o-")
    axis.set(title="Soak: memory when nothing runs", xlabel="seconds", ylabel="MiB", ylim=(0, None))
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    print(f"plot: {path}", flush=True)
