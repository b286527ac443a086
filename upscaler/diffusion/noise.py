"""Gaussian noise as a pure function of seed and place, so that tiles which overlap see the same noise.

| symbol here | meaning |
| --- | --- |
| `x`, `y` | absolute position in the enlarged picture, may be negative beyond its border |
| `h` | 64 random bits of (seed, channel, x, y) |

The bits come from the finaliser of SplitMix64 (Steele, Lea and Flood 2014) over the position as a counter, the
normal values from Box and Muller (1958). float64 inside, so that devices agree after rounding to float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_MASK_64 = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_SHIFTS = (30, 27, 31)


def noise_field(seed: int, rows: range, columns: range, channels: int, device: torch.device | str = "cpu") -> Tensor:
    """Standard normal noise of the pixels `rows` x `columns`, (channels, rows, columns) float32.

    Any integer is a seed; positions lie within 32 signed bits. No pixel's value depends on which others are asked for.
    """
    return noise_fields([(seed, rows, columns)], channels, device)[0]


def noise_fields(
    places: Sequence[tuple[int, range, range]], channels: int, device: torch.device | str = "cpu"
) -> Tensor:
    """`noise_field` of several (seed, rows, columns) of one size, (N, channels, rows, columns) float32."""
    y = torch.tensor([list(rows) for _, rows, _ in places], device=device)
    x = torch.tensor([list(columns) for _, _, columns in places], device=device)
    at = (y[:, None, :, None] << 32) ^ (x & 0xFFFFFFFF)[:, None, None, :]
    keys = torch.tensor([[_key(seed, channel) for channel in range(channels)] for seed, _, _ in places], device=device)
    first, second = keys[..., None, None].unbind(2)
    return _box_muller(_mix(_mix(at ^ first) + second)).float()


def _box_muller(h: Tensor) -> Tensor:
    """A normal value of 64 bits: the upper half gives the radius, the lower half the angle."""
    radius = torch.sqrt(-2 * torch.log((_shift(h, 32).double() + 0.5) / 2**32))
    return radius * torch.cos((h & 0xFFFFFFFF).double() * (2 * math.pi / 2**32))


def _mix(h: Tensor) -> Tensor:
    """SplitMix64's finaliser on int64, where products wrap around."""
    for shift, multiplier in zip(_SHIFTS, _MULTIPLIERS, strict=False):
        h = (h ^ _shift(h, shift)) * _signed(multiplier)
    return h ^ _shift(h, _SHIFTS[-1])


def _shift(h: Tensor, bits: int) -> Tensor:
    """Right shift that brings in zeros, which int64 has not."""
    return (h >> bits) & ((1 << (64 - bits)) - 1)


def _key(seed: int, channel: int) -> tuple[int, int]:
    """Two signed 64-bit keys of a seed and a channel."""
    state = _mix_integer(_mix_integer(seed & _MASK_64) + (seed >> 64) + channel * _GOLDEN)
    return _signed(_mix_integer(state + _GOLDEN)), _signed(_mix_integer(state + 2 * _GOLDEN))


def _mix_integer(h: int) -> int:
    h &= _MASK_64
    for shift, multiplier in zip(_SHIFTS, _MULTIPLIERS, strict=False):
        h = (h ^ (h >> shift)) * multiplier & _MASK_64
    return h ^ (h >> _SHIFTS[-1])


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
