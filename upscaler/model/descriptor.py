"""What a checkpoint says of itself: everything a caller must know to use the network rightly."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from tilestep.upscaler.diffusion.process import ProcessConfig
from tilestep.upscaler.errors import CheckpointError
from tilestep.upscaler.model.network import NetworkConfig
from tilestep.upscaler.tiling.plan import TileGeometry

FORMAT = "tilestep-tile-model"
FORMAT_VERSION = 1


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
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{name} has a damaged description ({error}): train or download it again.") from error


def _from_dict(values: dict[str, Any]) -> ModelDescriptor:
    known = {f.name for f in fields(ModelDescriptor)}
    if unknown := set(values) - known:
        raise ValueError(f"unknown fields {sorted(unknown)}")
    calibration = values.pop("calibration")
    thresholds = {name: tuple(steps) for name, steps in calibration["thresholds"].items()}
    return ModelDescriptor(
        network=NetworkConfig(**values.pop("network")),
        process=ProcessConfig(**values.pop("process")),
        calibration=Calibration(thresholds, dict(calibration["exit_change"])),
        **values,
    )
