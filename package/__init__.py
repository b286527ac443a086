"""Tilestep: diffusion upscaling that shares the GPU of a Discord text-to-image bot."""

__version__ = "0.1.0"
