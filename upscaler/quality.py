"""Quality presets: how deep the regressor goes and how many denoising steps a tile may have.

| preset | regressor | steps a tile | for |
| --- | --- | --- | --- |
| `fast` | early exit | 0 | a quick look, weak machines |
| `balanced` | whole | 0 to 4, by what the tile needs | nearly everything |
| `best` | whole | 0 to 8, with a finer budget | prints, hard textures |
| `faithful` | whole, mean over 4 mirror images | 0 | closest to the true pixels; nothing is invented |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from tilestep.upscaler.errors import OptionError
from tilestep.upscaler.model.descriptor import Calibration

PRESET_NAMES = ("fast", "balanced", "best", "faithful")
DEFAULT_PRESET = "balanced"
MOST_STEPS = 50


@dataclass(frozen=True)
class Quality:
    """What a tile may cost.

    `thresholds` ascend: a tile whose uncertainty (`diffusion.uncertainty`, 1/255 units) is at least thresholds[i] may
    take i + 1 steps; without thresholds every tile takes `max_steps`. Sampling of a tile ends early when its core
    changes by less than `exit_change` (mean absolute difference, 1/255 units) between two clean estimates; 0 never.
    `mirrors`: the regressor's estimate is the mean over so many mirror images of the tile, 1, 2 or 4 (R. Timofte et
    al., "Seven ways to improve example-based single image super resolution", 2016); above 1 only without steps.
    """

    name: str
    depth: Literal["shallow", "deep"] = "deep"
    max_steps: int = 0
    thresholds: tuple[float, ...] = ()
    exit_change: float = 0.0
    mirrors: int = 1

    def __post_init__(self) -> None:
        if self.mirrors not in (1, 2, 4) or (self.mirrors > 1 and self.takes_steps):
            raise ValueError("mirrors must be 1, 2 or 4, and 1 where steps are taken")

    @property
    def takes_steps(self) -> bool:
        """Whether any tile may take a denoising step."""
        return self.max_steps > 0

    def steps_for(self, uncertainty: float) -> int:
        """Step budget of a tile, 0 to `max_steps`, never falling as the uncertainty rises."""
        if not self.thresholds:
            return self.max_steps
        return min(sum(uncertainty >= threshold for threshold in self.thresholds), self.max_steps)


FULL = {
    "fast": Quality("fast", "shallow"),
    "balanced": Quality("balanced", max_steps=4),
    "best": Quality("best", max_steps=8),
    "faithful": Quality("faithful", mirrors=4),
}


def preset(name: str, calibration: Calibration) -> Quality:
    """A preset with the step budgets that were calibrated for a model (`descriptor.calibration`).

    A model without calibration takes all steps everywhere. Raises OptionError for an unknown name.
    """
    if name not in FULL:
        raise OptionError(f"There is no quality {name!r}: choose {', '.join(PRESET_NAMES)}.")
    thresholds, exit_change = calibration.thresholds.get(name, ()), calibration.exit_change.get(name, 0.0)
    return replace(FULL[name], thresholds=thresholds, exit_change=exit_change)


def with_steps(quality: Quality, steps: int) -> Quality:
    """The same quality with exactly `steps` in every tile. Raises OptionError outside 0 to 50."""
    if not 0 <= steps <= MOST_STEPS:
        raise OptionError(f"{steps} steps are not possible: choose 0 to {MOST_STEPS}.")
    fixed = replace(quality, thresholds=(), exit_change=0.0)
    return replace(fixed, depth="deep", max_steps=steps, mirrors=1) if steps else replace(fixed, max_steps=0)
