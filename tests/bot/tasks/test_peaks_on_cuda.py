"""Pipelines of true size on a card of 10 GB: what each phase needs, planned and measured. Prints a table."""

import pytest
import torch
from alternation import together
from large_pipelines import LARGE

from tilestep.bot.gpu.gate import RecordingGate
from tilestep.bot.tasks.assemble import lay_out
from tilestep.bot.tasks.casting import decoding_copy
from tilestep.bot.tasks.measure import CudaMeter, PeakGate, sizes_of
from tilestep.bot.tasks.memory import plan_memory
from tilestep.bot.tasks.pipeline import run_pipeline

pytestmark = pytest.mark.gpu

CUDA = "cuda"
BUDGETS_GIB = {"SD 1.5, 512 px": (9, 3), "SDXL, 1024 px": (9, 7)}
GIB = 1 << 30
PHASES = ("encode", "denoise", "decode")
STEPS = 4


class TimedPeakGate(PeakGate):
    """Notes the longest step of each phase too, in milliseconds."""

    def __init__(self, gate: RecordingGate) -> None:
        super().__init__(gate, CudaMeter(CUDA))
        self._recorder = gate

    def milliseconds(self, phase: str) -> float:
        return max(cost.gpu_ms for cost in self._recorder.costs if cost.phase == phase)


def mib(count: float) -> str:
    return f"{count / (1 << 20):7.0f}"


@pytest.mark.parametrize("model", LARGE)
def test_every_phase_stays_within_the_plan_and_the_plan_within_the_budget(model, capsys) -> None:
    for budget_gib in BUDGETS_GIB[model]:
        torch.cuda.empty_cache()
        pipe = LARGE[model](CUDA, torch.float16)
        sizes = sizes_of(pipe)
        plan = plan_memory(sizes, budget_gib * GIB, CUDA, model)
        loaded = lay_out(pipe, model, plan, sizes, CUDA, RecordingGate())
        shared = decoding_copy(pipe)
        run_pipeline(loaded, RecordingGate(), {"prompt": "a fox", "num_inference_steps": 1}, 0)
        resident_bytes = torch.cuda.memory_allocated()
        gate = TimedPeakGate(RecordingGate())
        largest_bytes = 0
        for seed in range(2):
            torch.cuda.reset_peak_memory_stats()
            (picture,) = run_pipeline(loaded, gate, {"prompt": "a fox", "num_inference_steps": STEPS}, seed)
            largest_bytes = max(largest_bytes, resident_bytes + gate.held + max(gate.peaks.values()))
        need = loaded.need()
        with capsys.disabled():
            print(f"\n{model}, budget {budget_gib} GiB: {plan.describe()}")
            print(f"{'MiB':12}{'weights':>9}{'held':>9}" + "".join(f"{phase:>9}" for phase in PHASES))
            planned = [need.resident_bytes, need.held_bytes, *(need.phase_peaks[phase] for phase in PHASES)]
            measured = [resident_bytes, gate.held, *(gate.peaks[phase] for phase in PHASES)]
            print("planned     " + "".join(f"  {mib(value)}" for value in planned))
            print("measured    " + "".join(f"  {mib(value)}" for value in measured))
            print("ms a step   " + " " * 18 + "".join(f"{gate.milliseconds(phase):9.1f}" for phase in PHASES))
        assert picture.size == (sizes.width_px, sizes.height_px)
        assert all(gate.peaks[phase] <= need.phase_peaks[phase] for phase in PHASES)
        assert gate.held <= need.held_bytes
        assert largest_bytes <= budget_gib * GIB
        del pipe, loaded, gate, shared


@pytest.mark.parametrize("model", LARGE)
def test_two_requests_at_once_hold_no_more_than_two_of_one_beside_the_weights(model) -> None:
    torch.cuda.empty_cache()
    pipe = LARGE[model](CUDA, torch.float16)
    sizes = sizes_of(pipe)
    plan = plan_memory(sizes, BUDGETS_GIB[model][0] * GIB, CUDA, model)
    loaded = lay_out(pipe, model, plan, sizes, CUDA, RecordingGate())
    requests = [({"prompt": prompt, "num_inference_steps": STEPS}, 1) for prompt in ("a fox", "the sea")]
    together(loaded, requests)
    idle_bytes, held = torch.cuda.memory_allocated(), [0]
    together(loaded, requests, lambda phase: held.append(torch.cuda.memory_allocated() - idle_bytes))
    need = loaded.need()
    shared_bytes = 4 * sizes.vae if sizes.vae_upcast else 0
    assert max(held) <= shared_bytes + 2 * need.held_bytes
    assert torch.cuda.memory_allocated() == idle_bytes
