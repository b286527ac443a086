"""A small picture model for the demo: a program draws flat illustrations, a Stable Diffusion pipeline learns them."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""Where the finished model is shipped: a folder that diffusers loads."""
