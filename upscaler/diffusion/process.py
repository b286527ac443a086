"""Residual-shifting diffusion (ResShift, arXiv 2307.12348; in pixel space UPSR, 2503.18512) around the regressor.

| symbol here | paper | meaning |
| --- | --- | --- |
| `r0` | e_0 | clean residual (x0 - g) / sigma_r, (N, 3, H, W) |
| `z` | x_t - g | noisy residual in the same units |
| `eta` | eta_t | how far the residual has been shifted to nothing, in (0, 1] |
| `w` | w(u) | noise scale per pixel, (N, 1, H, W): less where the regressor is sure, next to none in drawings |

    z_t = (1 - eta_t) r0 + kappa sqrt(eta_t) w eps,      sqrt(eta_t) = eta_min_sqrt^(1 - t),  t in [0, 1]

At t = 1, eta is exactly 1: sampling starts from pure noise, which is what training showed there.

Where g departs from the bicubic picture by more than texture makes it, all over the place, be it in one channel alone,
the picture is drawn of hard pixels: text without antialiasing, dithering, pixel art. There g has all there is, and what
is invented is noise. So w falls below `w_floor` there, and with it the share of r0 that is used.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_OF_DRAWINGS, FADING = 0.14, 0.03
LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class ProcessConfig:
    """Constants of the diffusion; travels in the checkpoint."""

    prediction_type: str = "x0"
    kappa: float = 1.0
    eta_min_sqrt: float = 0.04
    sigma_r: float = 0.05
    w_floor: float = 0.25
    u_full: float = 0.03

    def as_dict(self) -> dict[str, float | str]:
        """The fields, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class ResidualDiffusion:
    """The forward process and its deterministic sampler step; stateless, the caller owns the loop."""

    config: ProcessConfig

    def sqrt_eta(self, t: Tensor) -> Tensor:
        """Noise level at time t, (N,) -> (N,), eta_min_sqrt to 1."""
        floor = torch.tensor(self.config.eta_min_sqrt, dtype=t.dtype, device=t.device)
        return floor ** (1 - t)

    def noise_scale(self, g: Tensor, enlarged: Tensor) -> Tensor:
        """w(u) in [w_floor, 1] from u = |g - enlarged|, both (N, 3, H, W) in [0, 1] -> (N, 1, H, W); less in drawings.

        `enlarged` is the bicubic picture: where the regressor did not change it there is nothing to invent.
        """
        change = g - enlarged
        u = _mean_around(change.abs().mean(1, keepdim=True), 4)
        w = (u / self.config.u_full).clamp(max=1.0) * (1 - self.config.w_floor) + self.config.w_floor
        strength = _mean_around(change.square().amax(1, keepdim=True), 8).sqrt()
        return w * ((LEAST_OF_DRAWINGS - strength) / FADING).clamp(LEAST_SHARE, 1.0)

    def to_residual(self, picture: Tensor, g: Tensor) -> Tensor:
        """r0 of a picture, both (N, 3, H, W) in [0, 1]."""
        return (picture - g) / self.config.sigma_r

    def to_picture(self, r0: Tensor, g: Tensor, w: Tensor) -> Tensor:
        """The picture of an r0; not clamped."""
        return g + r0 * (w / self.config.w_floor).clamp(max=1.0) * self.config.sigma_r

    def diffuse(self, r0: Tensor, eps: Tensor, w: Tensor, t: Tensor) -> Tensor:
        """z_t for time t (N,): the forward process."""
        sqrt_eta = self.sqrt_eta(t)[:, None, None, None]
        return (1 - sqrt_eta**2) * r0 + self.config.kappa * sqrt_eta * w * eps

    def start(self, eps: Tensor, w: Tensor) -> Tensor:
        """z_1, from which sampling starts."""
        return self.config.kappa * w * eps

    def step(self, z: Tensor, x0: Tensor, w: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
        """From z_t and the predicted r0 to z at t_next < t, deterministic (DDIM's rule, arXiv 2010.02502 eq. 12).

        The noise that z_t and x0 imply is kept and only its share changes. Times are (N,).
        """
        now, after = (self.sqrt_eta(s)[:, None, None, None] for s in (t, t_next))
        scale = self.config.kappa * w
        eps = (z - (1 - now**2) * x0) / (scale * now)
        return (1 - after**2) * x0 + scale * after * eps


def _mean_around(x: Tensor, reach_px: int) -> Tensor:
    """Over a square that reaches so far; at the border the last pixel is repeated."""
    return F.avg_pool2d(F.pad(x, (reach_px,) * 4, mode="replicate"), 2 * reach_px + 1, stride=1)


def timesteps(steps: int) -> list[float]:
    """Times at which the network is asked, from 1 downwards: `steps` of them, evenly spaced in (0, 1]."""
    return [1 - i / steps for i in range(steps)]
