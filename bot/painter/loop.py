"""One stage of training: steps for so many minutes, an average of the weights that is used, resumable to the step."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from tilestep.upscaler.training.muon import Muon

EMA_DECAY = 0.999
WARMUP_STEPS = 50
DECAY_SHARE = 0.7
LOG_EVERY = 50
SAVE_EVERY_S = 120.0

Loss = Callable[[nn.Module, Any, torch.Generator], Tensor]


@dataclass(frozen=True)
class StageSettings:
    """`minutes` of this run; `steps`, if given, is the total length instead. `rate`: peak learning rate."""

    out: Path
    minutes: float = 30.0
    steps: int | None = None
    rate: float = 2e-3
    resume: bool = False
    seed: int = 0


class StageTrainer:
    """Trains `network` on batches made by number, so that a resumed run sees what an unbroken one would have."""

    def __init__(self, name: str, network: nn.Module, settings: StageSettings) -> None:
        self.name, self.network, self.settings = name, network, settings
        self.average = copy.deepcopy(network).eval().requires_grad_(False)
        self.optimizers = _optimizers(network)
        self.step, self.seconds, self._started_s = 0, 0.0, 0.0
        self.path = settings.out / f"{name}.pt"
        if settings.resume and self.path.exists():
            self._restore(torch.load(self.path, map_location="cpu", weights_only=True))

    def run(self, loss: Loss, batches: Callable[[int], Iterator[Any]]) -> nn.Module:
        """Gives the average of the weights; on Ctrl-C the state is saved before the exception goes on."""
        self.settings.out.mkdir(parents=True, exist_ok=True)
        source, recent, saved_s = batches(self.step), 0.0, self.seconds
        try:
            while (done := self._done_share()) < 1:
                began = time.perf_counter()
                value = self._train_step(loss, next(source), done)
                recent = value if not recent else recent + 0.02 * (value - recent)
                self.seconds += time.perf_counter() - began
                if self.step % LOG_EVERY == 0:
                    print(f"{self.name} step {self.step}, {self.seconds / 60:.1f} min: loss {recent:.4f}", flush=True)
                if self.seconds - saved_s > SAVE_EVERY_S:
                    saved_s = self.seconds
                    self.save()
        finally:
            self.save()
        return self.average

    def save(self) -> None:
        """Writes everything that `resume` needs, whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = self.path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self.path)

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.seconds = state["step"], state["seconds"]
        self._started_s = self.seconds

    def _done_share(self) -> float:
        if self.settings.steps is not None:
            return self.step / self.settings.steps
        return (self.seconds - self._started_s) / (60 * self.settings.minutes)

    def _train_step(self, loss: Loss, batch: Any, done_share: float) -> float:
        rate = self.settings.rate * min(1.0, (self.step + 1) / WARMUP_STEPS) * min(1.0, (1 - done_share) / DECAY_SHARE)
        generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + self.step)
        found = loss(self.network, batch, generator)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = rate
        torch.autograd.backward(found)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            averages, currents = list(self.average.parameters()), list(self.network.parameters())
            torch._foreach_lerp_(list[Tensor](averages), list[Tensor](currents), 1 - decay)
        return float(found.detach())


def _optimizers(network: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for matrices, AdamW for the rest and for embeddings."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        (matrices if parameter.dim() >= 2 and "embedding" not in name else rest).append(parameter)
    return [Muon(matrices, lr=0.0), AdamW(rest, lr=0.0, betas=(0.9, 0.99), weight_decay=0.0)]
