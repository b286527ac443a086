"""One GPU for everything: what sharing it step by step costs and gives. Every row is measured with the real scheduler.

    python benchmarks/interleave.py [--size tiny] [--device auto] [--soak-seconds 300] [--rows total shares ...]
                                    [--ours] [--out out/interleave]

Images are diffusers pipelines with random weights, upscales run on the tile engine; docs/gpu.md says what each row
means. Compared with three simple ways to share a device, over the same step bodies:

    first come    a job keeps the device until it is done
    by count      every job a step in turn
    two threads   one for images, one for upscales, and a lock around each step

`--size tiny` takes minutes on a CPU; `sd15` is a U-Net of Stable Diffusion 1.5's size, in 9 GiB of a card where there
is one. The table and plots are written to --out too. Exit code 1 if a row misses what is to be reached.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import sys
import warnings
from pathlib import Path

import torch
from interleaving import plots, rows, soak, totals
from interleaving.contenders import CONTENDERS, leave_out_baselines
from interleaving.models import SIZES, Bench
from interleaving.table import Table

ROWS = ("total", "shares", "guilds", "click", "slowdown", "batching", "cancel", "forecast", "soak")


async def measure(bench: Bench, table: Table, wanted: list[str], out: Path, soak_seconds: float) -> None:
    """All rows in order; plots as they come."""
    lists = {
        "total": totals.total_rows,
        "guilds": rows.guilds_rows,
        "forecast": totals.forecast_rows,
    }
    singles = {"slowdown": rows.slow_down_row, "batching": totals.batching_row, "cancel": rows.cancel_row}
    plotted = {"shares": (rows.weights_row, plots.plot_shares), "click": (rows.click_row, plots.plot_waits)}
    for name in (name for name in ROWS if name in wanted):
        if name in lists:
            found = await lists[name](bench)
        elif name in singles:
            found = [await singles[name](bench)]
        elif name in plotted:
            row, data = await plotted[name][0](bench)
            plotted[name][1](out / f"{name}.png", data)
            found = [row]
        else:
            found, result = await soak.soak_rows(bench, soak_seconds)
            plots.plot_memory(out / "soak.png", result)
        for row in found:
            table.add(row)


class Tee(io.TextIOBase):
    """Writes to several at once."""

    def __init__(self, *targets: io.TextIOBase) -> None:
        self._targets = targets

    def write(self, text: str) -> int:
        for target in self._targets:
            target.write(text)
            target.flush()
        return len(text)


def one_core() -> None:
    """Threads that take turns would go from core to core otherwise, and a core that was idle is slower at first."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="tiny")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--soak-seconds", type=float, default=300)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--ours", action="store_true", help="Tilestep alone, without what it is compared with")
    parser.add_argument("--out", type=Path, default=Path("out/interleave"))
    options = parser.parse_args()
    if options.ours:
        leave_out_baselines()
    device = options.device
    if device == "auto":
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        one_core()
    warnings.filterwarnings("ignore", module="diffusers")
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / f"{options.size}.txt").open("w") as file, contextlib.redirect_stdout(Tee(sys.stdout, file)):
        print(f"size {options.size} on {device}")
        table = Table(list(CONTENDERS))
        table.head()
        asyncio.run(measure(SIZES[options.size](device), table, options.rows, options.out, options.soak_seconds))
        print(f"missed: {', '.join(table.missed) or 'nothing'}")
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
