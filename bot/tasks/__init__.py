"""What runs on the GPU, as rows of steps: upscales and text-to-image pipelines."""
