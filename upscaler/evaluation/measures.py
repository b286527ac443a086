"""What is measured, by name: our own measures, and any other that a command line names.

`NAME=MODULE:ATTRIBUTE[:lower|:higher]` brings in a measure from an importable module. The attribute is a function, or a
class whose instances are called, of two float tensors (N, 3, H, W) in [-1, 1], output and reference, giving (N,).
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tilestep.upscaler.errors import OptionError
from tilestep.upscaler.evaluation import metrics, perceptual

Picture = NDArray[np.uint8]
Better = Literal["higher", "lower", "one"]
PictureMeasure = Callable[[Picture, Picture], float]
TensorMeasure = Callable[[Tensor, Tensor], Tensor]
FORM = "NAME=MODULE:ATTRIBUTE, with :higher at the end if higher is better"


@dataclass(frozen=True)
class Measure:
    """A function (output, reference) -> number over (H, W, 3) uint8 pictures, and how to read the number.

    `better` "one" says that 1 is the ideal, with errors on both sides. `leaves_border` says that it is given the
    pictures without their border.
    """

    name: str
    function: PictureMeasure
    better: Better = "lower"
    decimals: int = 4
    leaves_border: bool = True

    def __call__(self, output: Picture, reference: Picture, border_px: int) -> float:
        """The measure of two pictures of one size; raises whatever `function` raises."""
        if self.leaves_border:
            output, reference = (metrics.without_border(picture, border_px) for picture in (output, reference))
        return self.function(output, reference)


def standard_measures() -> list[Measure]:
    """PSNR, SSIM, HaarPSI, GMSD and the high-frequency energy in parts of the original's."""
    return [
        Measure("PSNR", metrics.psnr, "higher", 2),
        Measure("SSIM", metrics.ssim, "higher"),
        Measure("HaarPSI", perceptual.haarpsi, "higher"),
        Measure("GMSD", perceptual.gmsd),
        Measure("HF energy", metrics.high_frequency_ratio, "one", 3),
    ]


def with_plugged_in(texts: Sequence[str]) -> list[Measure]:
    """The standard measures and those that `texts` name (see `parse_measure`); OptionError if a name comes twice."""
    measures = standard_measures()
    for text in texts:
        measure = parse_measure(text)
        if any(measure.name == other.name for other in measures):
            raise OptionError(f"There are two measures called {measure.name!r}: give each --measure its own name.")
        measures.append(measure)
    return measures


def parse_measure(text: str) -> Measure:
    """A measure from `NAME=MODULE:ATTRIBUTE[:lower|:higher]`, lower being better if nothing is said.

    Raises OptionError for another form, a module that cannot be imported and an attribute that cannot be called. The
    measure sees whole pictures, border included, as learned measures do in the literature.
    """
    name, _, target = text.partition("=")
    parts = target.split(":")
    if len(parts) not in (2, 3) or not name.strip() or not all(parts):
        raise OptionError(f"--measure {text!r} is not of the form {FORM}.")
    better = parts[2] if len(parts) == 3 else "lower"
    if better not in ("higher", "lower"):
        raise OptionError(f"--measure {text!r} ends in {better!r}: say :higher or :lower.")
    function = _on_pictures(_load(parts[0], parts[1]))
    return Measure(name.strip(), function, "higher" if better == "higher" else "lower", leaves_border=False)


def _load(module_name: str, attribute: str) -> TensorMeasure:
    try:
        found = getattr(importlib.import_module(module_name), attribute)
        measure = found() if inspect.isclass(found) else found
    except Exception as error:  # a module of somebody else's may fail in any way
        hint = "set PYTHONPATH to its folder" if isinstance(error, ModuleNotFoundError) else "see what it needs"
        raise OptionError(f"The measure {module_name}:{attribute} cannot be loaded ({error}): {hint}.") from error
    if not callable(measure):
        raise OptionError(f"The measure {module_name}:{attribute} is not a function and not a class of callables.")
    return cast(TensorMeasure, measure)


def _on_pictures(measure: TensorMeasure) -> PictureMeasure:
    def measured(output: Picture, reference: Picture) -> float:
        with torch.inference_mode():
            return float(measure(_tensor(output), _tensor(reference)).reshape(-1)[0])

    return measured


def _tensor(picture: Picture) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
