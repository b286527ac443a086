"""Quality presets: how deep the regressor goes and how many denoising steps a tile may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Quality:
    """What a tile may cost.

    `thresholds` ascend: a tile whose uncertainty (see `engine`) is at least thresholds[i] may take i + 1 steps.
    `exit_change`: sampling stops when the core of a tile changes by less than this mean absolute difference, in units
    of 1/255, between two clean estimates; 0 never stops early.
    """

    name: str
    depth: Literal["shallow", "deep"] = "deep"
    max_steps: int = 0
    thresholds: tuple[float, ...] = ()
    exit_change: float = 0.0

    def steps_for(self, uncertainty: float) -> int:
        """Step budget of a tile, 0 to `max_steps`, never falling as the uncertainty rises."""
        if not self.thresholds:
            return self.max_steps
        return min(sum(uncertainty >= threshold for threshold in self.thresholds), self.max_steps)
