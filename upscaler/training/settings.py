"""What a training run was asked to do."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from tilestep.upscaler.errors import OptionError
from tilestep.upscaler.model.network import NetworkConfig
from tilestep.upscaler.training.stages import STAGES, PictureLoss

STAGE_SHARES = {"shallow": 0.25, "deep": 0.40, "denoiser": 0.35}
PEAK_RATES = {"shallow": 5e-3, "deep": 1.5e-3, "denoiser": 1.5e-3}


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
        if (
            self.minutes <= 0
            or (self.steps is not None and self.steps < 1)
            or self.batch_size < 1
            or self.low_px < 16
            or self.low_px % 2
        ):
            raise OptionError(
                "Minutes, steps and batch size must be positive, the crop an even number of at least 16 pixels."
            )

    def peak_rate(self, stage: str) -> float:
        """The highest learning rate of a stage; the whole network bears less than its first blocks alone."""
        return self.learning_rate or PEAK_RATES[stage]

    def done_share(self, stage: str, seconds: float, steps: int) -> float:
        """How much of a stage is over after so many seconds and steps of it, 0 to 1 and beyond."""
        if self.steps is not None:
            return steps / self.steps
        share = STAGE_SHARES[stage] / sum(STAGE_SHARES.get(s, 0) for s in self.stages)
        return seconds / (60 * self.minutes * share)


def load_extra_loss(name: str) -> PictureLoss:
    """MODULE:FUNCTION, a function of (prediction, target), (N, 3, H, W) in [-1, 1], or a class whose instances are.

    Raises OptionError if it is not there.
    """
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionError(f"The extra loss {name} cannot be loaded ({error}): give MODULE:FUNCTION.") from error
    return cast(PictureLoss, found() if inspect.isclass(found) else found)
