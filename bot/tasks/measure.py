"""What a pipeline needs of the device's memory: measured on CUDA, estimated from sizes elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tilestep.bot.gpu.gate import Phase, RecordingGate, StepGate
from tilestep.bot.gpu.memory import MemoryNeed
from tilestep.bot.gpu.outcome import let_go
from tilestep.bot.tasks.arguments import picture_count
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
    if loaded.pipe.device.type != "cuda":
        return NeedReport(estimated_need(pipe, arguments or {}), components, measured=False)
    need = _measured(loaded, {**TRIAL, **(arguments or {})}, gate or RecordingGate(), _weights_name(pipe))
    report = NeedReport(need, components, measured=True)
    logger.info("%s needs %s", loaded.model or type(loaded.pipe).__name__, report.describe())
    return report


def with_measured_steps(loaded: LoadedPipeline, gate: StepGate) -> LoadedPipeline:
    """A model that has just been loaded, and knows from a trial on CUDA what its largest steps take.

    Elsewhere, and where the trial fails, it is left as it is: what it needs stays estimated.
    """
    if loaded.pipe.device.type != "cuda":
        return loaded
    try:
        report = measure_need(loaded, gate=gate)
    except Exception as error:
        logger.warning("%s: a trial failed (%s), so what it needs is estimated", loaded.model, error)
        let_go(error)
        return loaded
    return replace(loaded, measured=report.need.phase_peaks)


def _measured(loaded: LoadedPipeline, arguments: Mapping[str, Any], gate: StepGate, weights: str) -> MemoryNeed:
    """What requests share is there already when the measuring begins, so it counts among the weights."""
    from tilestep.bot.tasks.casting import decoding_copy

    with gate.step("load"):
        copy = decoding_copy(loaded.pipe)
    watched = PeakGate(gate, CudaMeter(loaded.pipe.device))
    run_pipeline(loaded, watched, arguments, seed=0)
    shared = 0 if copy is None else sum(tensor.nbytes for tensor in copy.parameters())
    return MemoryNeed(_resident_bytes(loaded.pipe) + shared, watched.peaks, weights, watched.held)


def return_memory(gate: StepGate) -> None:
    """Gives what torch keeps for reuse back to driver and machine, in one step: for after a model has been dropped."""
    import gc

    import torch

    with gate.step("load"):
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            if hasattr(torch.accelerator, "empty_host_cache"):
                torch.accelerator.empty_host_cache()


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


def estimated_need(pipe: Any, arguments: Mapping[str, Any]) -> MemoryNeed:
    """What a call with these arguments needs by its sizes: a LoadedPipeline as planned, another as it stands."""
    width_px, height_px = arguments.get("width"), arguments.get("height")
    images = picture_count(arguments)
    if isinstance(pipe, LoadedPipeline) and pipe.plan is not None:
        return pipe.need(width_px, height_px, images)
    plain = pipe.pipe if isinstance(pipe, LoadedPipeline) else pipe
    sizes = sizes_of(plain)
    sizes = sizes.at(width_px or sizes.width_px, height_px or sizes.height_px, images)
    return replace(estimate_need(sizes, _plan_of(plain)), weights=_weights_name(pipe))


def _weights_name(pipe: Any) -> str:
    return pipe.weights if isinstance(pipe, LoadedPipeline) else f"pipeline {id(pipe)}"


def _plan_of(pipe: Any) -> MemoryPlan:
    """The layout that the pipeline has by itself."""
    vae = getattr(pipe, "vae", None)
    sliced = bool(getattr(vae, "use_slicing", False))
    return MemoryPlan(_dtype(pipe), vae_tile_px=_tile_px(vae), vae_sliced=sliced)


def _tile_px(vae: Any) -> int:
    """The longer side of the tiles that a VAE is set to; 0 where it decodes whole."""
    if not getattr(vae, "use_tiling", False):
        return 0
    found = [getattr(vae, f"tile_sample_min_{side}", None) or 0 for side in ("size", "height", "width")]
    return max(max(size) if isinstance(size, (list, tuple)) else size for size in found)


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
