"""Checkpoints: one safetensors file that holds the weights and the descriptor."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tilestep.upscaler.diffusion.process import ResidualDiffusion
from tilestep.upscaler.errors import CheckpointError
from tilestep.upscaler.model.descriptor import ModelDescriptor
from tilestep.upscaler.model.network import TileNetwork

SHIPPED_NAME = "tilestep-2x.safetensors"
_ADVICE = "close other programs that use it, or choose the device cpu."
_DTYPES = {"float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True)
class LoadedModel:
    """A network ready to run, its diffusion and its facts."""

    network: TileNetwork
    diffusion: ResidualDiffusion
    descriptor: ModelDescriptor
    device: torch.device
    dtype: torch.dtype


def shipped_checkpoint() -> Path:
    """Where the weights that come with the package lie."""
    return Path(str(resources.files("tilestep.upscaler.model") / "weights" / SHIPPED_NAME))


def load_model(
    path: Path | str | None = None, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> LoadedModel:
    """Loads a checkpoint (the shipped one by default) for use.

    `dtype` defaults to float16 on CUDA and float32 elsewhere. Raises CheckpointError, also for a device that is full or
    not there.
    """
    device = torch.device(device)
    path = Path(path) if path else shipped_checkpoint()
    weights, descriptor = read_checkpoint(path)
    dtype = dtype or (torch.float16 if device.type == "cuda" else torch.float32)
    try:
        network = _built(descriptor, weights)
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path.name} does not fit its own description: train or download it again.") from error
    network.eval().requires_grad_(False)
    try:
        network = network.to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    except (AssertionError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"The weights cannot be put on {device} ({reason}): {_ADVICE}") from error
    return LoadedModel(network, ResidualDiffusion(descriptor.process), descriptor, device, dtype)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], ModelDescriptor]:
    """Weights as stored, and the descriptor. Raises CheckpointError with words for a person."""
    try:
        if not path.is_file():
            raise CheckpointError(
                f"There is no checkpoint at {path}: give a .safetensors file made by `tilestep train`."
            )
        with safe_open(path, framework="pt") as file:
            descriptor = ModelDescriptor.from_metadata(file.metadata(), path.name)
            return {name: file.get_tensor(name) for name in file.keys()}, descriptor  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path.name} is not a readable safetensors file ({error}).") from error


def save_checkpoint(path: Path, network: TileNetwork, descriptor: ModelDescriptor) -> None:
    """Writes weights in the descriptor's precision; the file appears whole or not at all."""
    dtype = _DTYPES[descriptor.precision]
    weights = {name: tensor.detach().cpu().to(dtype).contiguous() for name, tensor in network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    temporary.write_bytes(save(weights, metadata=descriptor.to_metadata()))
    temporary.replace(path)


def _built(descriptor: ModelDescriptor, weights: dict[str, Tensor]) -> TileNetwork:
    """The network with its weights; memory for it is taken only once they fit. Raises RuntimeError and ValueError."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in TileNetwork(descriptor.network).state_dict().items()}
    if shapes != {name: tensor.shape for name, tensor in weights.items() if tensor.is_floating_point()}:
        raise ValueError("the weights have other names, shapes or types")
    network = TileNetwork(descriptor.network)
    network.load_state_dict(weights)
    return network
