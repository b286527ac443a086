"""All that a run needs to go on as if it had never stopped."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from tilestep.upscaler.errors import CheckpointError
from tilestep.upscaler.model.descriptor import ModelDescriptor
from tilestep.upscaler.model.network import TileNetwork
from tilestep.upscaler.training.muon import Muon
from tilestep.upscaler.training.stages import CALIBRATE, parameters_of

EMA_DECAY = 0.998
STATE_NAME = "state.pt"
OTHER_FOLDER = "to start anew give another --out, or remove that file"


@dataclass
class Progress:
    """Where the run stands: stage, its steps and seconds, samples seen by all stages, and the time of earlier runs.

    `trained`: what the stage trains had been trained before it began.
    """

    stage: str
    step: int = 0
    seconds: float = 0.0
    trained: bool = False
    samples: int = 0
    finished: list[str] = field(default_factory=list)
    totals: dict[str, dict[str, float]] = field(default_factory=dict)

    def account(self, stage: str, seconds: float, samples: int) -> None:
        """Adds one step to the running stage and to the model's lifetime totals."""
        self.step += 1
        self.seconds += seconds
        self.samples += samples
        total = self.totals.setdefault(stage, {"steps": 0, "samples": 0, "minutes": 0.0})
        total["steps"] += 1
        total["samples"] += samples
        total["minutes"] += seconds / 60

    def begin_again_if_finished(self, stages: Sequence[str]) -> None:
        """A run that is resumed after its end gets a whole new budget; one that was cut off, what was left of it."""
        if set(stages) - {CALIBRATE} <= set(self.finished):
            self.finished, self.step, self.seconds = [], 0, 0.0


class TrainState:
    """Network, its exponential moving average (the one that is validated and shipped), optimisers and progress."""

    def __init__(self, network: TileNetwork, stage: str, device: torch.device, memory: torch.memory_format) -> None:
        self.network = network.to(device, memory_format=memory)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.progress = Progress(stage)
        self.optimizers = build_optimizers(parameters_of(stage, self.network))

    def enter(self, stage: str) -> None:
        """Begins a stage: the averaged weights become the starting point, the optimisers are new."""
        self.network.load_state_dict(self.average.state_dict())
        if stage == "deep" and self.progress.totals.get("deep") is None:
            self.network.regressor.grow()
            self.average.regressor.grow()
        self.progress.stage, self.progress.step, self.progress.seconds = stage, 0, 0.0
        self.progress.trained = self.progress.totals.get(stage) is not None
        self.optimizers = build_optimizers(parameters_of(stage, self.network))

    def load_weights(self, weights: dict[str, Tensor], totals: dict[str, Any]) -> None:
        """Starts from the weights of a checkpoint and goes on counting from its totals."""
        self.network.load_state_dict(weights)
        self.average.load_state_dict(weights)
        self.progress.totals = {name: dict(total) for name, total in totals.items()}

    @torch.no_grad()
    def update_average(self) -> None:
        """One step of the moving average; early on it forgets faster."""
        step = self.progress.step
        decay = min(EMA_DECAY, (1 + step) / (10 + step))
        stage = self.progress.stage
        averages, currents = parameters_of(stage, self.average), parameters_of(stage, self.network)
        torch._foreach_lerp_(list[Tensor](averages), list[Tensor](currents), 1 - decay)

    def save(self, path: Path, descriptor: ModelDescriptor) -> None:
        """Writes the state whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "progress": vars(self.progress),
            "network_config": descriptor.network.as_dict(),
            "process_config": descriptor.process.as_dict(),
        }
        temporary = path.with_suffix(".partial")
        torch.save(state, temporary)
        temporary.replace(path)

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a saved state."""
        self.progress = Progress(**state["progress"])
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizers = build_optimizers(parameters_of(self.progress.stage, self.network))
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


def read_state(path: Path) -> dict[str, Any]:
    """The saved state as a dictionary. Raises CheckpointError."""
    if not path.is_file():
        raise CheckpointError(f"There is nothing to resume at {path}: start without --resume.")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what another program has written may fail in any way
        raise CheckpointError(f"{path} cannot be read ({error}): {OTHER_FOLDER}.") from error
    return state


def build_optimizers(parameters: list[nn.Parameter]) -> list[Optimizer]:
    """Muon for kernels and matrices, AdamW for biases."""
    matrices = [p for p in parameters if p.dim() >= 2]
    vectors = [p for p in parameters if p.dim() < 2]
    return [Muon(matrices, lr=0.0), AdamW(vectors, lr=0.0, betas=(0.9, 0.99), weight_decay=0.0)]
