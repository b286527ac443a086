"""Our own quality presets as methods, all with one loaded model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tilestep.upscaler.cli.device import choose_device
from tilestep.upscaler.evaluation.methods import Method
from tilestep.upscaler.model.checkpoint import LoadedModel, load_model
from tilestep.upscaler.model.precision import choose_dtype
from tilestep.upscaler.upscale import UpscaleOptions, upscale_file


@dataclass(frozen=True)
class PresetChoice:
    """Which presets to compare, and how: checkpoint (None: the shipped one), device, seed of the noise, precision."""

    names: tuple[str, ...]
    checkpoint: Path | None
    device: str
    seed: int
    precision: str = "auto"


@dataclass(frozen=True)
class Preset:
    """A quality preset, corruption strengths estimated from the file as `tilestep upscale` does."""

    name: str
    model: LoadedModel
    seed: int

    def __call__(self, input_path: Path, output_path: Path) -> float:
        result = upscale_file(input_path, output_path, self.model, UpscaleOptions(quality=self.name, seed=self.seed))
        return result.steps / result.tiles


def preset_methods(choice: PresetChoice) -> list[Method]:
    """The chosen presets, with their model loaded. Raises CheckpointError, and OptionError for device and precision."""
    device = choose_device(choice.device)
    model = load_model(choice.checkpoint, device, choose_dtype(choice.precision, device))
    return [Preset(name, model, choice.seed) for name in choice.names]
