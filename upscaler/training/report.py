"""What a person looks at while a model trains: curves.csv, curves.png and samples.png in the run's folder."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

FIELDS = ("minutes", "stage", "step", "kind", "name", "value")
SHEET_ROWS = 8
LOGARITHMS = ("early", "deep")


class CurveLog:
    """Appends figures to curves.csv, a row each; resumed runs append to what is there, a `fresh` one begins anew."""

    def __init__(self, folder: Path, fresh: bool = False) -> None:
        self.path = folder / "curves.csv"
        if fresh:
            self.path.unlink(missing_ok=True)
        if not self.path.exists():
            self._append([FIELDS])

    def add(self, minutes: float, stage: str, step: int, kind: str, figures: dict[str, float]) -> None:
        """`kind` is "loss" or "validation"; `minutes` are of training in all runs."""
        self._append([(f"{minutes:.3f}", stage, step, kind, name, f"{v:.6g}") for name, v in figures.items()])

    def _append(self, rows: list[tuple[object, ...]]) -> None:
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerows(rows)


def plot_curves(log: Path, target: Path) -> None:
    """Draws every curve of a curves.csv: one panel each for PSNR, the losses of both networks and extra losses."""
    series = _read_series(log)
    losses = {k: v for k, v in series.items() if k[0] == "loss"}
    panels = {
        "validation PSNR, dB": {k[1]: v for k, v in series.items() if k[0] == "validation" and k[1].endswith("PSNR")},
        "regressor, log of squared error": {k[1]: v for k, v in losses.items() if k[1] in LOGARITHMS},
        "denoiser, training loss": {k[1]: v for k, v in losses.items() if k[1] not in LOGARITHMS},
        "validation, extra loss": {
            k[1]: v for k, v in series.items() if k[0] == "validation" and k[1].endswith("extra")
        },
    }
    shown = {title: curves for title, curves in panels.items() if curves}
    if not shown:
        return
    matplotlib.use("Agg")
    figure = Figure(figsize=(6 * len(shown), 4), layout="constrained")
    for axes, (title, curves) in zip(np.atleast_1d(figure.subplots(1, len(shown))), shown.items(), strict=True):
        for name, points in sorted(curves.items()):
            axes.plot(*zip(*points, strict=True), label=name, linewidth=1)
        positive = all(value > 0 for points in curves.values() for _, value in points)
        scale = "log" if "loss" in title and positive else "linear"
        axes.set(title=title, xlabel="minutes of training", yscale=scale)
        axes.legend(fontsize=7)
    figure.savefig(target, dpi=110)


def _read_series(log: Path) -> dict[tuple[str, str], list[tuple[float, float]]]:
    series: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with log.open(newline="") as file:
        for row in csv.DictReader(file):
            points = series.setdefault((row["kind"], row["name"]), [])
            points.append((float(row["minutes"]), float(row["value"])))
    return series


def save_sheet(pictures: dict[str, Tensor], truth: Tensor, target: Path) -> None:
    """A sheet of samples: a crop a row; columns are the estimates in order, the truth last."""
    columns = [*pictures.values(), truth]
    count = min(SHEET_ROWS, len(truth))
    sheet = torch.cat([torch.cat(list(column[:count].float().clamp(0, 1)), dim=1) for column in columns], dim=2)
    pixels = (sheet.permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()
    image = Image.fromarray(pixels)
    image.resize((image.width * 2, image.height * 2), Image.Resampling.NEAREST).save(target)
