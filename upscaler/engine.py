"""Continuous batching of tiles: tiles of all requests fill one batch, each at its own step; a finished tile's place is
taken by the next tile at once.

No event loop, no thread, no clock but a stopwatch: the caller calls `step()` when the device is free. What a tile
becomes depends on the picture, the seed and the quality alone, never on what it shares a batch with.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from tilestep.upscaler.budget import BatchBudget, EngineLimits
from tilestep.upscaler.handle import AnyHandle, Handle
from tilestep.upscaler.model.checkpoint import LoadedModel
from tilestep.upscaler.opened import OpenRequest
from tilestep.upscaler.quality import Quality
from tilestep.upscaler.reports import EngineStatistics, Phase, StepReport, Tally
from tilestep.upscaler.request import TileOutcome, TileRequest
from tilestep.upscaler.runner import Denoised, Regressed, TileRunner, is_out_of_memory
from tilestep.upscaler.slots import Slot
from tilestep.upscaler.tiling.fixed import FixedPixels
from tilestep.upscaler.tiling.plan import TileGeometry, TilePlan

__all__ = ["EngineLimits", "EngineStatistics", "Handle", "StepReport", "TileEngine", "TileOutcome", "TileRequest"]


DENOISE = "denoise"
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Batch:
    """What the next step runs; `kind`, on which its duration depends, is "denoise" or the kind of its fresh slots."""

    kind: str
    slots: list[Slot]

    @property
    def phase(self) -> Phase:
        return "denoise" if self.kind == DENOISE else "regress"


class TileEngine:
    """Runs requests on one model. Not thread-safe: one caller at a time.

    `fresh` slots wait for a pass of the regressor, the `pool` holds tiles between two denoising steps, oldest first.
    New tiles are regressed when the pool does not fill a batch, so the pool stays below two batches.
    """

    def __init__(self, model: LoadedModel, limits: EngineLimits | None = None) -> None:
        limits = limits or EngineLimits()
        facts = model.descriptor
        self._geometries = {takes_steps: facts.geometry(takes_steps) for takes_steps in (False, True)}
        self.scale = facts.scale
        self._runner = TileRunner(model, limits.network_batch)
        self._budget = BatchBudget(limits, self._runner.memory_need())
        self._ids = itertools.count(1)
        self._open: list[OpenRequest] = []
        self._fresh: list[Slot] = []
        self._pool: list[Slot] = []
        self._tally = Tally()

    def geometry(self, quality: Quality) -> TileGeometry:
        """The tiles of requests of this quality."""
        return self._geometries[quality.takes_steps]

    def submit(self, request: TileRequest) -> Handle:
        """Takes a request into the rotation; nothing is read before the next `step`."""
        opened = OpenRequest(request, next(self._ids), self._plan(request), self.scale)
        self._open.append(opened)
        return opened.handle

    def _plan(self, request: TileRequest) -> TilePlan:
        source, geometry = request.source, self.geometry(request.quality)
        return TilePlan(source.width, source.height, geometry, request.origin_x, request.origin_y, self._runner.trim_to)

    def step(self) -> StepReport | None:
        """One step over one batch; None when nothing can run now: no requests, or all wait for rows or for room.

        If memory runs out the batch is halved and run again; a tile that does not fit alone fails its request. Any
        other error of the network passes through and changes nothing.
        """
        self._flush()
        while batch := self._next_batch():
            if report := self._run(batch):
                self._flush()
                return report
        return None

    def cancel(self, handle: AnyHandle) -> None:
        """Gives a request up; its slots are free at once. Does nothing to what is done."""
        for opened in [opened for opened in self._open if opened.handle in handle.parts]:
            if not opened.handle.done:
                opened.handle.cancelled = True
                self._close(opened)

    def statistics(self) -> EngineStatistics:
        """What happened so far and what is held now."""
        return self._tally.snapshot(len(self._open), len(self._fresh) + len(self._pool))

    def _next_batch(self) -> _Batch | None:
        size = self._budget.size(DENOISE)
        if len(self._pool) < size and (kind := self._top_up()):
            return _Batch(kind, self._fresh[: self._budget.size(kind)])
        return _Batch(DENOISE, self._pool[:size]) if self._pool else None

    def _top_up(self) -> str | None:
        """Fills `fresh` with new slots, one from each request in turn, all of one kind; None if there are none."""
        while (kind := self._fresh_kind()) is None or len(self._fresh) < self._budget.size(kind):
            if slot := self._take(kind):
                self._fresh.append(slot)
            elif kind == self._fresh_kind():
                break
        return kind

    def _fresh_kind(self) -> str | None:
        return _kind(self._fresh[0].quality) if self._fresh else None

    def _take(self, kind: str | None) -> Slot | None:
        """A slot of the request that has waited longest; one that cannot give any now keeps its place."""
        for opened in list(self._open):
            suits = kind in (None, _kind(opened.request.quality)) and not opened.handle.done
            if suits and (slot := self._guarded(opened, _next_slot)):
                self._open.remove(opened)
                self._open.append(opened)
                return slot
        return None

    def _run(self, batch: _Batch) -> StepReport | None:
        """Runs a batch and takes over its results; None, and nothing changed but the budget, if it did not fit."""
        started = time.perf_counter()
        try:
            results = self._run_network(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            failure = error.with_traceback(None)
        else:
            report = self._report(batch, time.perf_counter() - started)
            self._move_on(batch, results)
            return report
        self._shrink(batch, failure)
        return None

    def _run_network(self, batch: _Batch) -> Sequence[Regressed | Denoised]:
        with torch.inference_mode():
            results: Sequence[Regressed | Denoised] = (
                self._runner.denoise(batch.slots) if batch.phase == "denoise" else self._runner.regress(batch.slots)
            )
            for slot, result in zip(batch.slots, results, strict=True):
                result.commit(slot)
        return results

    def _move_on(self, batch: _Batch, results: Sequence[Regressed | Denoised]) -> None:
        """Finished slots go back to their requests; others wait for their next pass or step."""
        self._count(batch)
        ended = {slot: r.pixels for slot, r in zip(batch.slots, results, strict=True) if r.pixels is not None}
        if batch.phase == "regress":
            self._fresh[: len(batch.slots)] = [slot for slot in batch.slots if not slot.is_regressed]
            self._pool += [slot for slot in batch.slots if slot.sampling]
        self._pool = [slot for slot in self._pool if slot not in ended]
        for slot, pixels in ended.items():
            self._finish(slot, pixels)

    def _finish(self, slot: Slot, pixels: FixedPixels) -> None:
        handle = slot.owner.handle
        if handle.done:
            return
        handle.steps_budgeted -= slot.budget - slot.steps_done
        if colour := self._guarded(slot.owner, lambda opened: opened.give_back(slot, pixels)):
            handle.tiles_done += 1
            self._tally.steps_histogram[colour.steps_done] += 1

    def _count(self, batch: _Batch) -> None:
        for slot in batch.slots:
            handle = slot.owner.handle
            if batch.phase == "denoise":
                handle.steps_done += 1
                self._tally.steps_done += 1
            elif slot.is_regressed and not slot.is_alpha:
                handle.tiles_budgeted += 1
                handle.steps_budgeted += slot.budget

    def _report(self, batch: _Batch, seconds: float) -> StepReport:
        size = len(batch.slots)
        self._budget.observe(batch.kind, size, seconds)
        self._tally.batch_size = size
        self._tally.network_seconds += seconds
        return StepReport(batch.phase, Counter(slot.owner.handle.id for slot in batch.slots), seconds, size)

    def _shrink(self, batch: _Batch, failure: BaseException) -> None:
        self._tally.out_of_memory_retries += 1
        if len(batch.slots) > 1:
            self._budget.out_of_memory(len(batch.slots))
        else:
            self._fail(batch.slots[0].owner, failure)

    def _flush(self) -> None:
        """Finished rows go to their sinks, and requests that are complete end."""
        for opened in list(self._open):
            if not opened.handle.done:
                self._guarded(opened, OpenRequest.flush)
            if opened.finished and not opened.handle.done:
                self._close(opened)

    def _guarded(self, opened: OpenRequest, action: Callable[[OpenRequest], Result]) -> Result | None:
        """An error in a request's source, sink or callback ends that request alone."""
        try:
            return action(opened)
        except Exception as error:
            self._fail(opened, error)
            return None

    def _fail(self, opened: OpenRequest, error: BaseException) -> None:
        opened.handle.error = error
        self._close(opened)

    def _close(self, opened: OpenRequest) -> None:
        self._open.remove(opened)
        for queue in (self._fresh, self._pool):
            queue[:] = [slot for slot in queue if slot.owner is not opened]
        opened.forget()
        opened.handle.done = True
        if opened.request.on_end:
            opened.request.on_end(opened.handle)


def _kind(quality: Quality) -> str:
    """What slots of one pass of the regressor have in common: their size, and how deep it goes."""
    return f"{quality.depth} before steps" if quality.takes_steps else quality.depth


def _next_slot(opened: OpenRequest) -> Slot | None:
    return opened.take() if opened.can_take() else None
