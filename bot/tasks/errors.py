"""What can go wrong with a text-to-image model.

    TilestepError
    └── ModelError       a model that cannot be loaded or used

A model that is too large for the memory budget raises DoesNotFit of `tilestep.bot.gpu.errors`.
"""

from __future__ import annotations

from tilestep.upscaler.errors import TilestepError


class ModelError(TilestepError):
    """The model cannot be used: not found, no network, gated, broken, or it makes no pictures from text."""
