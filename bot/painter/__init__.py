"""A small picture model for the demo: a program draws flat illustrations, a Stable Diffusion pipeline learns them."""
