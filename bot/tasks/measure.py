"""What a pipeline needs of the device's memory: measured on CUDA, estimated from sizes elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from tilestep.bot.gpu.gate import Phase, RecordingGate, StepGate
from tilestep.bot.gpu.memory import MemoryNeed
from tilestep.bot.tasks.files import WeightCount
from tilestep.bot.tasks.loaded import LoadedPipeline
from tilestep.bot.tasks.memory import MemoryPlan, ModelSizes, estimate_need, gib
from tilestep.bot.tasks.pipeline import run_pipeline
from tilestep.bot.tasks.roles import component_role
from tilestep.bot.tasks.sizes import model_sizes

logger = logging.getLogger(__name__)

TRIAL: Mapping[str, Any] = {"prompt": "a red fox in the snow", "num_inference_steps": 2}


@dataclass(frozen=True)
class NeedReport:
    """`components`: bytes of weights by component, wherever they are. `measured`: False when estimated from sizes."""

    need: MemoryNeed
    components: Mapping[str, int]
    measured: bool

    def describe(self) -> str:
        """For the log."""
        how = "measured" if self.measured else "estimated from sizes, since there is no CUDA to measure"
        peaks = ", ".join(f"{phase} {gib(peak)}" for phase, peak in self.need.phase_peaks.items())
        return f"{gib(self.need.resident_bytes)} of weights on the device, beyond that: {peaks} ({how})"


class Meter(Protocol):
    """Counts bytes allocated on the device."""

    def now(self) -> int: ...

    def reset_peak(self) -> None: ...

    def peak(self) -> int: ...


class PeakGate:
    """A gate that notes each phase's highest memory above what its step began with, and what is kept between steps.

    Kept is what is allocated beyond the time when the gate was built.
    """

    def __init__(self, gate: StepGate, meter: Meter) -> None:
        self._gate = gate
        self._meter = meter
        self._idle = meter.now()
        self.peaks: dict[Phase, int] = {}
        self.held = 0

    @contextmanager
    def step(self, phase: Phase) -> Iterator[None]:
        with self._gate.step(phase):
            began_with = self._meter.now()
            self._meter.reset_peak()
            yield
            self.peaks[phase] = max(self.peaks.get(phase, 0), self._meter.peak() - began_with)
            self.held = max(self.held, self._meter.now() - self._idle)

    def progress(self, done: int, total: int, phase: Phase) -> None:
        self._gate.progress(done, total, phase)


class CudaMeter:
    """Counts what torch has allocated on a CUDA device."""

    def __init__(self, device: Any) -> None:
        import torch

        self._device = device
        self._cuda = torch.cuda

    def now(self) -> int:
        return self._cuda.memory_allocated(self._device)

    def reset_peak(self) -> None:
        self._cuda.reset_peak_memory_stats(self._device)

    def peak(self) -> int:
        return self._cuda.max_memory_allocated(self._device)


def measure_need(pipe: Any, arguments: Mapping[str, Any] | None = None, gate: StepGate | None = None) -> NeedReport:
    """What one request needs; on CUDA by running a small one, so nothing else may use the device meanwhile.

    `arguments`: of the request to measure; its size is the model's own by default. A LoadedPipeline is measured with
    its text encoders where they are; a plain pipeline as it stands.
    """
    loaded = pipe if isinstance(pipe, LoadedPipeline) else LoadedPipeline(pipe)
    components = component_bytes(loaded.pipe)
    device = loaded.pipe.device
    if device.type != "cuda":
        return NeedReport(_estimated(loaded, arguments or {}), components, measured=False)
    watched = PeakGate(gate or RecordingGate(), CudaMeter(device))
    run_pipeline(loaded, watched, {**TRIAL, **(arguments or {})}, seed=0)
    need = MemoryNeed(_resident_bytes(loaded.pipe), watched.peaks, loaded.model or None, watched.held)
    report = NeedReport(need, components, measured=True)
    logger.info("%s needs %s", loaded.model or type(loaded.pipe).__name__, report.describe())
    return report


def return_memory(gate: StepGate) -> None:
    """Gives what torch keeps for reuse back to the driver, in one step: for after a model has been let go of."""
    import gc

    import torch

    with gate.step("load"):
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def component_bytes(pipe: Any) -> dict[str, int]:
    """Bytes of weights of each component that has any."""
    return {name: sum(tensor.nbytes for tensor in module.parameters()) for name, module in _modules(pipe).items()}


def sizes_of(pipe: Any) -> ModelSizes:
    """The sizes of a pipeline in memory."""
    modules = _modules(pipe)
    counts = {}
    for name, module in modules.items():
        values = [tensor.numel() for tensor in module.parameters()]
        counts[name] = WeightCount(sum(values), max(values, default=0))
    roles = {name: component_role(name, type(module).__module__.partition(".")[0]) for name, module in modules.items()}
    configs = {name: _config(module) for name, module in modules.items()}
    return model_sizes(counts, roles, configs, hasattr(pipe, "upcast_vae"))


def _estimated(loaded: LoadedPipeline, arguments: Mapping[str, Any]) -> MemoryNeed:
    size = arguments.get("width"), arguments.get("height")
    if loaded.plan is not None:
        return loaded.need(*size)
    sizes = sizes_of(loaded.pipe)
    sizes = sizes.at(size[0] or sizes.width_px, size[1] or sizes.height_px)
    tiled = bool(getattr(getattr(loaded.pipe, "vae", None), "use_tiling", False))
    return estimate_need(sizes, MemoryPlan(_dtype(loaded.pipe), vae_tile_px=512 if tiled else 0))


def _dtype(pipe: Any) -> Any:
    name = str(pipe.dtype).removeprefix("torch.")
    return name if name in ("float16", "bfloat16") else "float32"


def _resident_bytes(pipe: Any) -> int:
    tensors = (tensor for module in _modules(pipe).values() for tensor in module.parameters())
    return sum({id(tensor): tensor.nbytes for tensor in tensors if tensor.device.type == "cuda"}.values())


def _modules(pipe: Any) -> dict[str, Any]:
    return {name: value for name, value in pipe.components.items() if hasattr(value, "parameters")}


def _config(module: Any) -> dict[str, Any]:
    config = module.config
    return dict(config.to_dict() if hasattr(config, "to_dict") else config)
