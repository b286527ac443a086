"""The tile network: a regressor with an early exit, and a small denoiser over what the regressor leaves undone.

| symbol here | meaning |
| --- | --- |
| `lr` | low-resolution tile, (N, 3, H, W), sRGB in [0, 1] |
| `corruption` | strength of JPEG and of blur to undo, (N, 2) in [0, 1]; 0 trusts the input |
| `g` | the regressor's estimate of the picture, (N, 3, 2H, 2W), about [0, 1] |
| `z` | noisy residual in units of `sigma_r`, (N, 3, 2H, 2W) |
| `t` | time, (N,) in (0, 1]; 1 is pure noise |

Everything runs at the low resolution: high-resolution tensors enter by pixel-unshuffle and leave by pixel-shuffle.
Plain 3x3 convolutions without normalisation, so that no statistic of a whole tile can show as a seam. Without it the
scales must be right from the start: features of about 1, where SiLU bends. So pictures enter stretched around grey, and
heads speak in units of `REGRESSOR_UNIT`; with features of 0.01 the network is all but linear and learns nothing.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tilestep.upscaler.model.projection import IMAGE_CHANNELS, SCALE, BackProjection, trust, upsample_bicubic

CORRUPTIONS = 2
INPUT_STRETCH = 4.0
REGRESSOR_UNIT = 0.1
MIRRORED_AXES = ((), (3,), (2,), (2, 3))


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the tile network; travels in the checkpoint."""

    width: int = 64
    shallow_blocks: int = 4
    deep_blocks: int = 8
    denoiser_width: int = 64
    outer_blocks: int = 2
    inner_blocks: int = 4
    time_features: int = 64

    def as_dict(self) -> dict[str, int]:
        """The fields as plain integers, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Regression:
    """What the regressor says of a tile: `g` (N, 3, 2H, 2W) and the features (N, width, H, W) that led to it."""

    g: Tensor
    features: Tensor


class ResidualBlock(nn.Module):
    """x + conv(silu(conv(x))); `gain` says how much a new block adds, 0 nothing."""

    def __init__(self, width: int, gain: float = 0.5) -> None:
        super().__init__()
        self.conv1 = _conv(width, width)
        self.conv2 = _conv(width, width, gain=gain)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.conv2(F.silu(self.conv1(x)))
        return x + changed


class Regressor(nn.Module):
    """g(lr, corruption): the estimate with the least expected squared error; no invention.

    `shallow` uses the first blocks and a head of its own (quality `fast`); `forward` uses all blocks. While it is being
    trained (`Module.training`) its corrections stand, however large, so that it learns what becomes of them.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.width
        self.stem = _conv(IMAGE_CHANNELS + CORRUPTIONS, width)
        self.shallow_blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(config.shallow_blocks)))
        self.shallow_head = _conv(width, IMAGE_CHANNELS * SCALE**2, gain=0)
        self.deep_blocks = nn.Sequential(*(ResidualBlock(width, gain=0) for _ in range(config.deep_blocks)))
        self.deep_head = _conv(width, IMAGE_CHANNELS * SCALE**2, gain=0)
        self.back_projection = BackProjection()

    def shallow(self, lr: Tensor, corruption: Tensor) -> Regression:
        """The early exit."""
        features = self.shallow_blocks(self.stem(with_planes(lr, corruption)))
        return self._enlarge(lr, corruption, features, self.shallow_head)

    def forward(self, lr: Tensor, corruption: Tensor) -> Regression:
        features = self.deep_blocks(self.shallow_blocks(self.stem(with_planes(lr, corruption))))
        return self._enlarge(lr, corruption, features, self.deep_head)

    def both(self, lr: Tensor, corruption: Tensor) -> tuple[Regression, Regression]:
        """Early and full estimate in one pass, for training."""
        shallow = self.shallow(lr, corruption)
        return shallow, self._enlarge(lr, corruption, self.deep_blocks(shallow.features), self.deep_head)

    @torch.no_grad()
    def grow(self) -> None:
        """Starts the deep part where the trained shallow part stands: same head, blocks that add nothing yet.

        They look for what the shallow blocks look for, in other mirror images (stacking, after Gong et al., "Efficient
        Training of BERT by Progressively Stacking", 2019): their hidden features are bent by SiLU as far as those of
        trained blocks. From random kernels, which are a third as large, they stay all but linear and learn nothing.
        """
        self.deep_head.load_state_dict(self.shallow_head.state_dict())
        trained = cast(list[ResidualBlock], list(self.shallow_blocks))
        for number, block in enumerate(cast(list[ResidualBlock], list(self.deep_blocks))):
            copy, source = divmod(number, len(trained))
            block.conv1.load_state_dict(trained[source].conv1.state_dict())
            block.conv1.weight.copy_(block.conv1.weight.flip(MIRRORED_AXES[copy % len(MIRRORED_AXES)]))
            nn.init.zeros_(block.conv2.weight)
            nn.init.zeros_(cast(Tensor, block.conv2.bias))

    def _enlarge(self, lr: Tensor, corruption: Tensor, features: Tensor, head: nn.Module) -> Regression:
        correction = F.pixel_shuffle(head(features), SCALE) * REGRESSOR_UNIT
        if not self.training:
            trusted = trust(correction)
            correction, features = correction * trusted, features * -F.max_pool2d(-trusted, SCALE)
        g = self.back_projection(upsample_bicubic(lr) + correction, lr, corruption)
        return Regression(g, features)


class TimeBlock(nn.Module):
    """x + conv(silu(conv(x) (1 + a_t) + b_t)): a residual block told how noisy its input is."""

    def __init__(self, width: int, time_features: int) -> None:
        super().__init__()
        self.block = ResidualBlock(width)
        self.modulation = nn.Linear(time_features, 2 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        a, b = self.modulation(time)[:, :, None, None].chunk(2, dim=1)
        hidden = self.block.conv1(x)
        changed: Tensor = self.block.conv2(F.silu(hidden * (1 + a) + b))
        return x + changed


class Denoiser(nn.Module):
    """Predicts the clean residual x0 = (picture - g) / sigma_r from a noisy one (x0-prediction).

    What does not change between steps is folded once into `condition`, (N, denoiser_width, H, W).
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width, inner, folded = config.denoiser_width, 2 * config.denoiser_width, IMAGE_CHANNELS * SCALE**2
        self.time_features = config.time_features
        self.time = nn.Sequential(nn.Linear(config.time_features, config.time_features), nn.SiLU())
        self.fold = _conv(IMAGE_CHANNELS + CORRUPTIONS + folded + config.width, width)
        self.stem = _conv(folded, width)
        self.before = self._blocks(width, config.outer_blocks)
        self.down = nn.Conv2d(width, inner, 2, stride=2)
        self.inside = self._blocks(inner, config.inner_blocks)
        self.up = nn.Conv2d(inner, width * 4, 1)
        self.after = self._blocks(width, config.outer_blocks)
        self.head = _conv(width, folded, gain=0)

    def _blocks(self, width: int, count: int) -> nn.ModuleList:
        return nn.ModuleList(TimeBlock(width, self.time_features) for _ in range(count))

    def condition(self, lr: Tensor, corruption: Tensor, regression: Regression) -> Tensor:
        """Everything known before the first step, computed once per tile."""
        g = F.pixel_unshuffle(regression.g - upsample_bicubic(lr), SCALE) / REGRESSOR_UNIT
        folded: Tensor = self.fold(torch.cat([with_planes(lr, corruption), g, regression.features], 1))
        return folded

    def forward(self, z: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        time = self.time(time_embedding(t, self.time_features).to(condition.dtype))
        x = condition + self.stem(F.pixel_unshuffle(z, SCALE))
        for block in self.before:
            x = block(x, time)
        y = self.down(x)
        for block in self.inside:
            y = block(y, time)
        x = x + F.pixel_shuffle(self.up(y), 2)
        for block in self.after:
            x = block(x, time)
        return F.pixel_shuffle(self.head(x), SCALE)


class TileNetwork(nn.Module):
    """Regressor and denoiser together; one checkpoint."""

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config or NetworkConfig()
        self.regressor = Regressor(self.config)
        self.denoiser = Denoiser(self.config)


def time_embedding(t: Tensor, features: int) -> Tensor:
    """Sines and cosines of the time, (N,) -> (N, features), wavelengths from 4 down to 4/256."""
    frequencies = torch.exp(torch.linspace(0.0, math.log(256.0), features // 2, device=t.device)) * (math.pi / 2)
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)


def with_planes(lr: Tensor, corruption: Tensor) -> Tensor:
    """What the network is shown: the tile stretched around grey, and a plane for each corruption, (N, 5, H, W)."""
    planes = corruption.to(lr.dtype)[:, :, None, None].expand(-1, -1, *lr.shape[-2:])
    return torch.cat([(lr - 0.5) * INPUT_STRETCH, planes], 1)


def _conv(inputs: int, outputs: int, gain: float = 1.0) -> nn.Conv2d:
    """A 3x3 convolution that keeps the variance of what it sees, times `gain` squared."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    with torch.no_grad():
        conv.weight.mul_(gain)
    return conv
