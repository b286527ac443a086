"""The recording gate keeps what a scheduler's gate promises."""

import pytest

from tilestep.bot.gpu.errors import GpuError
from tilestep.bot.gpu.gate import Progress, RecordingGate, TaskCancelled


def test_steps_are_recorded_in_order_with_their_cost():
    ticks = iter([0.0, 0.5, 1.0, 1.25])
    gate = RecordingGate(clock=lambda: next(ticks))
    with gate.step("encode"):
        pass
    with gate.step("denoise"):
        pass
    assert [(cost.phase, cost.gpu_ms) for cost in gate.costs] == [("encode", 500), ("denoise", 250)]


def test_a_step_inside_a_step_belongs_to_the_outer_one():
    gate = RecordingGate(cancel_after=1)
    with gate.step("encode"), gate.step("load"):
        pass
    assert gate.phases == ["encode"]


def careless_pipeline(gate, steps=1):
    for _ in range(steps):
        try:
            with gate.step("denoise"):
                pass
        except Exception:
            pytest.fail("swallowed")


def test_cancelling_takes_effect_at_the_next_step_and_no_pipeline_can_swallow_it():
    gate = RecordingGate()
    with gate.step("denoise"):
        gate.cancel()
    with pytest.raises(TaskCancelled):
        careless_pipeline(gate)
    assert not issubclass(TaskCancelled, Exception)
    assert not issubclass(TaskCancelled, GpuError)
    assert gate.phases == ["denoise"]


def test_a_gate_can_stop_after_so_many_steps():
    gate = RecordingGate(cancel_after=2)
    with pytest.raises(TaskCancelled):
        careless_pipeline(gate, steps=5)
    assert len(gate.phases) == 2


def test_a_failing_step_gives_the_device_back():
    gate = RecordingGate()
    with pytest.raises(ValueError, match="broken"), gate.step("decode"):
        raise ValueError("broken")
    with gate.step("decode"):
        pass
    assert gate.phases == ["decode", "decode"]


def test_progress_is_plain_data():
    gate = RecordingGate()
    gate.progress(3, 20, "denoise")
    assert gate.reports == [Progress(3, 20, "denoise")]
