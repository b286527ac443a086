"""What a training run was asked to do."""

from __future__ import annotations

import importlib
import inspect
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from tilestep.upscaler.errors import OptionError
from tilestep.upscaler.model.network import NetworkConfig
from tilestep.upscaler.training.stages import STAGES, PictureLoss

STAGE_SHARES = {"shallow": 0.25, "deep": 0.40, "denoiser": 0.35}
PEAK_RATES = {"shallow": 5e-3, "deep": 1e-3, "denoiser": 1.5e-3}
TRAINED_RATE_SHARE = 0.2
WHOLE_NUMBERS = {"steps": (1, 10**9), "batch_size": (1, 2**16), "workers": (0, 1024), "seed": (0, 2**32 - 1)}
ABOVE_ZERO = ("minutes", "validate_minutes", "learning_rate")


@dataclass(frozen=True)
class TrainSettings:
    """Options of `tilestep train`; lengths in low-resolution pixels, times in minutes.

    `steps`, when given, is the length of each stage instead of its share of `minutes`.
    """

    data: Path
    out: Path
    val: Path | None = None
    resume: bool = False
    start_from: Path | None = None
    minutes: float = 60.0
    steps: int | None = None
    stages: tuple[str, ...] = STAGES
    batch_size: int = 16
    low_px: int = 32
    learning_rate: float | None = None
    seed: int = 0
    device: str = "auto"
    workers: int = 1
    extra_loss: str | None = None
    extra_weight: float = 1.0
    validate_minutes: float = 5.0
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        if unknown := set(self.stages) - set(STAGES):
            raise OptionError(f"Unknown training stage {sorted(unknown)[0]}: choose among {', '.join(STAGES)}.")
        if self.low_px < 16 or self.low_px % 2:
            raise OptionError(f"--crop must be an even number of at least 16 pixels, not {self.low_px}.")
        for name, (least, most) in WHOLE_NUMBERS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise OptionError(f"{_option(name)} must be a whole number from {least} to {most}, not {value}.")
        for name in ABOVE_ZERO:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise OptionError(f"{_option(name)} must be a number above 0, not {value:g}.")
        if not 0 <= self.extra_weight < math.inf:
            raise OptionError(f"--extra-weight must be a number of 0 or more, not {self.extra_weight:g}.")

    def peak_rate(self, stage: str, trained: bool = False) -> float:
        """The highest learning rate of a stage; the whole network bears less than its first blocks alone.

        What was trained before bears a fifth: at the rate of a new network it loses more than it wins back in the end.
        """
        if self.learning_rate is not None:
            return self.learning_rate
        return PEAK_RATES[stage] * (TRAINED_RATE_SHARE if trained else 1)

    def done_share(self, stage: str, seconds: float, steps: int) -> float:
        """How much of a stage is over after so many seconds and steps of it, 0 to 1 and beyond."""
        if self.steps is not None:
            return steps / self.steps
        share = STAGE_SHARES[stage] / sum(STAGE_SHARES.get(s, 0) for s in self.stages)
        return seconds / (60 * self.minutes * share)


def load_extra_loss(name: str, device: torch.device | str = "cpu", side_px: int = 64) -> PictureLoss:
    """MODULE:FUNCTION, a function of (prediction, target), (N, 3, H, W) in [-1, 1], or a class whose instances are.

    It is tried on a pair of pictures of `side_px`. Raises OptionError if it is not there or of no use as a loss.
    """
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
        loss = found() if inspect.isclass(found) else found
    except Exception as error:  # a module of somebody else's may fail in any way
        missing = isinstance(error, ModuleNotFoundError)
        hint = "set PYTHONPATH to its folder" if missing else "give MODULE:FUNCTION, and see what it needs"
        raise OptionError(f"The extra loss {name} cannot be loaded ({error}): {hint}.") from error
    if not callable(loss):
        raise OptionError(f"The extra loss {name} is not a function and not a class of callables.")
    if isinstance(loss, nn.Module):
        loss = loss.to(device)
    _try_loss(name, cast(PictureLoss, loss), device, side_px)
    return cast(PictureLoss, loss)


def _try_loss(name: str, loss: PictureLoss, device: torch.device | str, side_px: int) -> None:
    noise = torch.rand(2, 1, 3, side_px, side_px, generator=torch.Generator().manual_seed(0)).to(device) * 2 - 1
    try:
        with torch.no_grad():
            found = loss(noise[0], noise[1])
    except Exception as error:
        words = f"it is called with prediction and target, tensors of shape {tuple(noise[0].shape)}"
        raise OptionError(f"The extra loss {name} fails when it is tried ({error}): {words}.") from error
    if not isinstance(found, Tensor) or found.numel() != 1:
        what = f"of shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise OptionError(f"The extra loss {name} returns {what} for one picture: a tensor of one number is due.")


def _option(field_name: str) -> str:
    return f"--{field_name.replace('_', '-')}"
