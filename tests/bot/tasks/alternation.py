"""Requests in threads that take turns on the device, one step each: the strictest way of sharing it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from tilestep.bot.gpu.gate import Phase
from tilestep.bot.tasks.pipeline import run_pipeline


class Alternation:
    """Gates of several threads that take turns, one step each, as long as they have work."""

    def __init__(self, names: str, watch: Callable[[Phase], object] | None = None) -> None:
        self._watch = watch or (lambda phase: None)
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
            self._watch(phase)
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


def together(pipe, requests, watch=None) -> tuple[list[np.ndarray], list[tuple[str, Phase]]]:
    """Runs the requests in threads that alternate; the pictures and the log of steps. `watch` sees each step's end."""
    turns = Alternation("abcdef"[: len(requests)], watch)
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
