"""Tile-based diffusion upscaling in constant memory. Knows nothing of Discord, databases or event loops.

    from tilestep.upscaler import load_model, preset, upscale_array
    model = load_model()
    larger = upscale_array(model, picture, preset("balanced", model.descriptor.calibration))

Names are imported when they are first used, so that `import tilestep.upscaler` does not load torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "EngineLimits": "engine",
    "Quality": "quality",
    "TileEngine": "engine",
    "TileRequest": "engine",
    "TilestepError": "errors",
    "load_model": "model.checkpoint",
    "preset": "quality",
    "submit_chain": "passes",
    "upscale_array": "passes",
    "upscale_file": "upscale",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
