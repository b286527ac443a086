"""What a checkpoint says of itself: everything a caller must know to use the network rightly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from tilestep.upscaler.diffusion.process import ProcessConfig
from tilestep.upscaler.errors import CheckpointError
from tilestep.upscaler.model.network import NetworkConfig
from tilestep.upscaler.model.projection import SCALE
from tilestep.upscaler.tiling.plan import TileGeometry

FORMAT = "tilestep-tile-model"
FORMAT_VERSION = 1
PREDICTION_TYPE = "x0"
PRECISIONS = ("float32", "float16")
MOST_THRESHOLDS = 50
Limits = Mapping[str, tuple[float, float]]
_WIDTH, _BLOCKS, _TILE, _TINY = (1, 4096), (1, 256), (0, 1024), 1e-6
_NETWORK: Limits = {
    "width": _WIDTH,
    "shallow_blocks": _BLOCKS,
    "deep_blocks": _BLOCKS,
    "denoiser_width": _WIDTH,
    "outer_blocks": _BLOCKS,
    "inner_blocks": _BLOCKS,
    "time_features": (2, 4096),
}
_PROCESS: Limits = {
    "kappa": (_TINY, 100),
    "eta_min_sqrt": (_TINY, 1),
    "sigma_r": (_TINY, 100),
    "w_floor": (_TINY, 1),
    "u_full": (_TINY, 100),
}
_TILES: Limits = {
    "read_px": _TILE,
    "shallow_read_px": _TILE,
    "halo_px": _TILE,
    "overlap_px": _TILE,
    "tile_multiple": (2, 1024),
}


@dataclass(frozen=True)
class Calibration:
    """Step budgets and exits per preset, measured on held-out tiles; see `tilestep.upscaler.quality`.

    `thresholds` are tile uncertainties in 1/255 units, ascending; `exit_change` is in 1/255 units.
    """

    thresholds: dict[str, tuple[float, ...]] = field(default_factory=dict)
    exit_change: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelDescriptor:
    """Facts that travel with the weights; lengths in low-resolution pixels.

    Tiles that may take denoising steps are small (`read_px`), so that steps follow the picture closely; where none may
    be taken, tiles are larger (`shallow_read_px`), of which less is halo.
    """

    network: NetworkConfig = field(default_factory=NetworkConfig)
    process: ProcessConfig = field(default_factory=ProcessConfig)
    calibration: Calibration = field(default_factory=Calibration)
    scale: int = 2
    read_px: int = 96
    shallow_read_px: int = 208
    halo_px: int = 8
    overlap_px: int = 4
    tile_multiple: int = 2
    precision: str = "float16"
    trained: dict[str, Any] = field(default_factory=dict)

    @property
    def prediction_type(self) -> str:
        """`x0`: the denoiser names the clean residual."""
        return self.process.prediction_type

    def geometry(self, takes_steps: bool) -> TileGeometry:
        """Tiles of requests that may take denoising steps, or of others. Raises ValueError off `tile_multiple`."""
        read_px = self.read_px if takes_steps else self.shallow_read_px
        found = TileGeometry(read_px, self.halo_px, self.overlap_px)
        if found.read_px % self.tile_multiple or found.stride_px % self.tile_multiple:
            raise ValueError(f"tiles must lie on multiples of {self.tile_multiple} px: {found}")
        return found

    def with_calibration(self, calibration: Calibration) -> ModelDescriptor:
        """The same model with other step budgets."""
        return replace(self, calibration=calibration)

    def to_metadata(self) -> dict[str, str]:
        """As safetensors metadata: strings only."""
        return {
            "format": FORMAT,
            "version": str(FORMAT_VERSION),
            "descriptor": json.dumps(asdict(self), sort_keys=True),
        }

    @classmethod
    def from_metadata(cls, metadata: dict[str, str] | None, name: str) -> ModelDescriptor:
        """Raises CheckpointError when the metadata is of another kind, of a newer version, or damaged."""
        if not metadata or metadata.get("format") != FORMAT:
            raise CheckpointError(f"{name} is not a Tilestep tile model: give a file made by `tilestep train`.")
        if metadata.get("version") != str(FORMAT_VERSION):
            raise CheckpointError(
                f"{name} has format version {metadata.get('version')}, this program reads {FORMAT_VERSION}."
            )
        try:
            return _from_dict(json.loads(metadata["descriptor"]))
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise CheckpointError(f"{name} has a damaged description ({error}): train or download it again.") from error


def _from_dict(values: dict[str, Any]) -> ModelDescriptor:
    """Raises ValueError and its like for what is not there, of another type, out of bounds or not understood."""
    known = {f.name for f in fields(ModelDescriptor)}
    if unknown := set(values) - known:
        raise ValueError(f"unknown fields {sorted(unknown)}")
    network, process, calibration = (values.pop(name) for name in ("network", "process", "calibration"))
    _check_numbers(network, _NETWORK, int)
    _check_numbers(process, _PROCESS, int, float)
    _check_numbers(values, _TILES, int)
    _check_choice(process, "prediction_type", PREDICTION_TYPE)
    _check_choice(values, "scale", SCALE)
    _check_choice(values, "precision", *PRECISIONS)
    if not isinstance(values.get("trained", {}), dict):
        raise ValueError("trained is no table")
    for name, value in (network | values).items():
        if name in ("time_features", "tile_multiple") and value % 2:
            raise ValueError(f"{name} is {value}, an odd number")
    found = ModelDescriptor(
        network=NetworkConfig(**network), process=ProcessConfig(**process), calibration=_read(calibration), **values
    )
    for takes_steps in (False, True):
        found.geometry(takes_steps)
    return found


def _read(calibration: dict[str, Any]) -> Calibration:
    thresholds = {name: tuple(steps) for name, steps in calibration["thresholds"].items()}
    for name, steps in thresholds.items():
        if len(steps) > MOST_THRESHOLDS or not all(_lies_within(step, 0, 1e6, int, float) for step in steps):
            raise ValueError(f"the thresholds of {name:.40} are not up to {MOST_THRESHOLDS} numbers above 0")
        if list(steps) != sorted(steps):
            raise ValueError(f"the thresholds of {name:.40} do not ascend")
    exit_change = dict(calibration["exit_change"])
    _check_numbers(exit_change, dict.fromkeys(exit_change, (0, 1e6)), int, float)
    return Calibration(thresholds, exit_change)


def _check_numbers(values: dict[str, Any], limits: Limits, *types: type) -> None:
    """What is left out has its default."""
    for name, (least, most) in limits.items():
        if name in values and not _lies_within(values[name], least, most, *types):
            raise ValueError(f"{name:.40} is {values[name]!r:.40}, not a number from {least:g} to {most:g}")


def _lies_within(value: object, least: float, most: float, *types: type) -> bool:
    return type(value) in types and least <= value <= most  # type: ignore[operator]


def _check_choice(values: dict[str, Any], name: str, *choices: object) -> None:
    if name in values and (type(values[name]) is not type(choices[0]) or values[name] not in choices):
        known = " or ".join(map(str, choices))
        raise ValueError(f"{name} is {values[name]!r:.40}, and this program knows {known}")
