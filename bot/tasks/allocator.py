"""How torch takes memory of a CUDA device. Says so by the environment: to be called before torch is imported."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping

GROWING = "expandable_segments:True"
NAMES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")


def let_segments_grow(environ: MutableMapping[str, str], platform: str = sys.platform) -> None:
    """Against fragmentation, which steps of many sizes bring about. What the operator has set stays as it is.

    For a process of our own: in a host bot the setting is the host's.
    """
    if platform == "linux" and not any(name in environ for name in NAMES):
        environ["PYTORCH_CUDA_ALLOC_CONF"] = GROWING
