"""What steps cost on an RTX 3080 with 10 GB, reckoned, since there was none to measure on.

A step's time is its arithmetic divided by what the card does of it in a second: the peak of its tensor cores (float16,
summed in float32, without sparsity) times the part of the peak that others were seen to reach with the same network.

    RTX 3080 59.5, RTX 4090 165.2, RTX 3060 25.6 TFLOP/s: NVIDIA's papers on the GA102 and AD102 architectures
    (images.nvidia.com/aem-dam/en-zz/Solutions/geforce/ampere/pdf/NVIDIA-ampere-GA102-GPU-Architecture-Whitepaper-V1.pdf);
    the 3060's is twice its 12.8 TFLOP/s in float32, as with all of that family
    SD 1.5: 5.55 steps/s for 8 pictures of 512 px on an RTX 4090
    (github.com/AUTOMATIC1111/stable-diffusion-webui/issues/2449): 16 passes x 0.803 x 5.55 = 71.3 of 165.2, 43 %
    SDXL: 2.78 s a step for 4 pictures of 832 x 1216 on an RTX 3060
    (github.com/chengzeyi/stable-fast/issues/63): 8 passes x 6.50 / 2.78 = 18.7 of 25.6, 73 %

Arithmetic of a pass (TFLOP) was counted with torch's FlopCounterMode on networks without weights: U-Net of SD 1.5 at
512 px 0.803, of SDXL at 1024 px 6.76 and at 832 x 1216 6.50; VAE decoder 2.51 for 512 px. SDXL's VAE decodes in float32
(TF32, half the peak). The tile network: 17.3 GFLOP for a tile's estimate, 11.4 for a denoising step.

Assumed: VAE at 43 %, tiles at 20 % of the peak (narrow layers), 1.34 steps a tile (the README's `balanced`), text
encoding 10 ms and 30 ms (launches, not arithmetic), 25 steps with guidance (two passes each).
"""

from __future__ import annotations

from dataclasses import dataclass

PEAK_TFLOPS, TF32_TFLOPS = 59.5, 29.8
STEPS, PASSES = 25, 2
TILE_STRIDE_PX, STEPS_A_TILE = 76, 1.34
TILE_PART, VAE_PART = 0.20, 0.43


@dataclass(frozen=True)
class Costs:
    """Milliseconds of the card for one picture, and for its enlargement by 2 in `tile_passes` of the tile network."""

    name: str
    encode_ms: float
    step_ms: float
    decode_ms: tuple[float, ...]
    tile_passes: int
    tile_pass_ms: float

    @property
    def image(self) -> list[float]:
        return [self.encode_ms, *[self.step_ms] * STEPS, *self.decode_ms]

    @property
    def upscale_ms(self) -> float:
        return self.tile_passes * self.tile_pass_ms


def _ms(tflop: float, tflops: float) -> float:
    return 1000 * tflop / tflops


def _costs(name: str, side_px: int, encode_ms: float, step_ms: float, decode_ms: tuple[float, ...]) -> Costs:
    tiles = (-(-side_px // TILE_STRIDE_PX)) ** 2
    tile_ms = _ms(0.0173 + STEPS_A_TILE * 0.0114, PEAK_TFLOPS * TILE_PART)
    passes = round(tiles * (1 + STEPS_A_TILE))
    return Costs(name, encode_ms, step_ms, decode_ms, passes, tiles * tile_ms / passes)


def all_costs() -> dict[str, Costs]:
    """By model. SDXL's latents of 128 are decoded in tiles of 64 that overlap by 16: 4 whole, 4 halves, a quarter."""
    sd15_decode_ms = _ms(2.51, PEAK_TFLOPS * VAE_PART)
    whole_ms = _ms(2.51, TF32_TFLOPS * VAE_PART)
    sdxl_decode_ms = tuple(part * whole_ms for part in (1, 1, 0.5, 1, 1, 0.5, 0.5, 0.5, 0.25))
    return {
        "sd15": _costs("SD 1.5, 512 px", 512, 10.0, _ms(PASSES * 0.803, PEAK_TFLOPS * 0.43), (sd15_decode_ms,)),
        "sdxl": _costs("SDXL, 1024 px", 1024, 30.0, _ms(PASSES * 6.76, PEAK_TFLOPS * 0.73), sdxl_decode_ms),
    }
