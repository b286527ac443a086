"""Two requests at once on one pipeline: they share weights and nothing else."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import tiny_pipelines
import torch
from tiny_pipelines import FAMILIES, call_arguments

from tilestep.bot.gpu.gate import Phase, RecordingGate, TaskCancelled
from tilestep.bot.tasks.loaded import LoadedPipeline
from tilestep.bot.tasks.pipeline import run_pipeline
from tilestep.bot.tasks.placement import HostWeights


class Alternation:
    """Gates of several threads that take turns, one step each, as long as they have work."""

    def __init__(self, names: str) -> None:
        self.log: list[tuple[str, Phase]] = []
        self._waiting = list(names)
        self._turn = threading.Condition()

    def gate(self, name: str) -> "AlternatingGate":
        return AlternatingGate(self, name)

    def done(self, name: str) -> None:
        with self._turn:
            self._waiting.remove(name)
            self._turn.notify_all()

    @contextmanager
    def step(self, name: str, phase: Phase) -> Iterator[None]:
        with self._turn:
            self._turn.wait_for(lambda: self._waiting[0] == name)
        self.log.append((name, phase))
        try:
            yield
        finally:
            with self._turn:
                self._waiting.append(self._waiting.pop(0))
                self._turn.notify_all()


class AlternatingGate:
    def __init__(self, turns: Alternation, name: str) -> None:
        self._turns = turns
        self._name = name

    def step(self, phase: Phase):
        return self._turns.step(self._name, phase)

    def progress(self, done: int, total: int, phase: Phase) -> None:
        """Not looked at."""


def together(pipe, requests) -> tuple[list[np.ndarray], list[tuple[str, Phase]]]:
    """Runs the requests in threads that alternate; the pictures and the log of steps."""
    turns = Alternation("abcdef"[: len(requests)])
    pictures: dict[str, np.ndarray] = {}

    def work(name: str, arguments, seed: int) -> None:
        try:
            pictures[name] = np.array(run_pipeline(pipe, turns.gate(name), arguments, seed)[0])
        finally:
            turns.done(name)

    threads = [
        threading.Thread(target=work, args=(name, *request), daemon=True)
        for name, request in zip("abcdef", requests, strict=False)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [pictures[name] for name in sorted(pictures)], turns.log


@pytest.mark.parametrize("family", FAMILIES)
def test_two_requests_that_alternate_get_the_pictures_that_they_get_alone(family) -> None:
    pipe = FAMILIES[family]()
    pipe.vae.enable_tiling()
    requests = [(call_arguments(family, 3), 1), (call_arguments(family, 4, prompt="blue sea"), 2)]
    expected = [np.array(run_pipeline(pipe, RecordingGate(), *request)[0]) for request in requests]
    pictures, log = together(pipe, requests)
    assert all(np.array_equal(got, wanted) for got, wanted in zip(pictures, expected, strict=True))
    assert [name for name, _ in log[:8]] == list("abababab")


def test_a_vae_that_is_cast_in_the_middle_of_a_run_stays_the_others_as_it_was() -> None:
    pipe = tiny_pipelines.stable_diffusion_xl().to(torch.float16)
    pipe.vae.enable_tiling()
    requests = [(call_arguments("stable diffusion xl", 2), 1), (call_arguments("stable diffusion xl", 4), 2)]
    expected = [
        np.array(pipe(**arguments, generator=torch.Generator().manual_seed(seed)).images[0])
        for arguments, seed in requests
    ]
    weights = pipe.vae.decoder.conv_in.weight
    pictures, _ = together(pipe, requests)
    assert pipe.vae.decoder.conv_in.weight is weights
    assert weights.dtype == torch.float16
    assert all(np.array_equal(got, wanted) for got, wanted in zip(pictures, expected, strict=True))


def test_one_that_is_cancelled_does_not_disturb_the_other() -> None:
    pipe = tiny_pipelines.flux()
    request = call_arguments("flux", 3), 1
    expected = np.array(run_pipeline(pipe, RecordingGate(), *request)[0])
    gate = RecordingGate(cancel_after=4)

    def cancelled(outer, step, timestep, tensors):
        with pytest.raises(TaskCancelled):
            run_pipeline(pipe, gate, call_arguments("flux", 4), 2)
        return tensors

    arguments = {**request[0], "callback_on_step_end": cancelled}
    assert np.array_equal(np.array(run_pipeline(pipe, RecordingGate(), arguments, 1)[0]), expected)


def test_swapped_text_encoders_come_in_for_one_step_and_go_again() -> None:
    pipe = tiny_pipelines.stable_diffusion_xl()
    arguments = call_arguments("stable diffusion xl", 2, negative_prompt="dark")
    expected = np.array(run_pipeline(pipe, RecordingGate(), arguments, 1)[0])
    encoders = [pipe.text_encoder, pipe.text_encoder_2]
    swapped = {encoder: HostWeights([encoder], torch.device("cpu")) for encoder in encoders}
    gate = RecordingGate()
    picture = np.array(run_pipeline(LoadedPipeline(pipe, swapped=swapped), gate, arguments, 1)[0])
    assert gate.phases.count("encode") == 1
    assert np.array_equal(picture, expected)
