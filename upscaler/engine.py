"""Continuous batching of tiles: tiles of all requests fill one batch, each at its own step; a finished tile's place is
taken by the next tile at once.

No event loop, no thread, no clock but a stopwatch: the caller calls `step()` when the device is free. What a tile
becomes depends on the picture, the seed and the quality alone, never on what it shares a batch with.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import torch

from tilestep.upscaler.budget import BatchBudget, EngineLimits, Room
from tilestep.upscaler.handle import AnyHandle, Handle
from tilestep.upscaler.model.checkpoint import LoadedModel
from tilestep.upscaler.opened import OpenRequest
from tilestep.upscaler.quality import Quality
from tilestep.upscaler.reports import EngineStatistics, StepReport, Tally
from tilestep.upscaler.request import TileOutcome, TileRequest
from tilestep.upscaler.runner import Denoised, Regressed, TileRunner, is_out_of_memory
from tilestep.upscaler.slots import DENOISE, Batch, Slot, queues_of, regressor_kind
from tilestep.upscaler.tiling.fixed import FixedPixels
from tilestep.upscaler.tiling.plan import TileGeometry, TilePlan

__all__ = ["EngineLimits", "EngineStatistics", "Handle", "StepReport", "TileEngine", "TileOutcome", "TileRequest"]

Result = TypeVar("Result")


class TileEngine:
    """Runs requests on one model. Not thread-safe: one caller at a time.

    Kinds of steps take turns, and within a step the requests: each gives its oldest slot that waits, or begins a tile.
    """

    def __init__(self, model: LoadedModel, limits: EngineLimits | None = None) -> None:
        limits = limits or EngineLimits()
        facts = model.descriptor
        self._geometries = {takes_steps: facts.geometry(takes_steps) for takes_steps in (False, True)}
        self.scale = facts.scale
        self._runner = TileRunner(model, limits.network_batch)
        self._budget = BatchBudget(limits, self._runner.memory_need())
        self._ids, self._steps = itertools.count(1), itertools.count(1)
        self._open: list[OpenRequest] = []
        self._slots: list[Slot] = []
        self._last_step: Counter[str] = Counter()
        self._held_back: set[str] = set()
        self._tally = Tally()

    def geometry(self, quality: Quality) -> TileGeometry:
        """The tiles of requests of this quality."""
        return self._geometries[quality.takes_steps]

    def submit(self, request: TileRequest) -> Handle:
        """Takes a request into the rotation; nothing is read before the next `step`."""
        opened = OpenRequest(request, next(self._ids), self._plan(request), self.scale)
        self._open.append(opened)
        return opened.handle

    def set_quantum(self, seconds: float) -> None:
        """About how long a step should take, from the next on. Raises ValueError for 0 or less."""
        self._budget.set_quantum(seconds)

    def _plan(self, request: TileRequest) -> TilePlan:
        source, geometry = request.source, self.geometry(request.quality)
        return TilePlan(source.width, source.height, geometry, request.origin_x, request.origin_y, self._runner.trim_to)

    def step(self) -> StepReport | None:
        """One step over one batch; None when nothing can run now: no requests, or all wait for rows or for room.

        If memory runs out the batch is halved and run again. A tile that does not fit alone waits for one between its
        steps to end; without any such, it fails its request. Any other error passes through and changes nothing.
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
        return self._tally.snapshot(len(self._open), len(self._slots))

    def _next_batch(self) -> Batch | None:
        """Of the kind that has waited longest, so that none has two steps in a row while another could run."""
        kinds = dict.fromkeys([*(regressor_kind(opened.request.quality) for opened in self._open), DENOISE])
        for kind in sorted(kinds, key=lambda kind: self._last_step[kind]):
            if kind not in self._held_back and (slots := self._gather(kind)):
                return Batch(kind, slots)
        return None

    def _gather(self, kind: str) -> list[Slot]:
        """At most a batch of slots of one kind, one from each request in turn."""
        size, queues, room = self._budget.size(kind), queues_of(kind, self._slots), self._room(kind)
        batch: list[Slot] = []
        while len(batch) < size and (slot := self._take(kind, queues, room)):
            batch.append(slot)
        return [slot for slot in batch if not slot.owner.handle.done]

    def _take(self, kind: str, queues: defaultdict[OpenRequest, deque[Slot]], room: Room) -> Slot | None:
        """A slot of the request that has waited longest: one that waits, or a new one. A request that cannot give any
        now keeps its place.
        """
        for opened in list(self._open):
            if opened.handle.done:
                continue
            if slot := queues[opened].popleft() if queues[opened] else self._begin(opened, kind, room):
                self._open.remove(opened)
                self._open.append(opened)
                return slot
        return None

    def _begin(self, opened: OpenRequest, kind: str, room: Room) -> Slot | None:
        quality = opened.request.quality
        stays = quality.takes_steps or quality.mirrors > 1
        if kind != regressor_kind(quality) or (stays and not room.admits(opened)):
            return None
        if slot := self._guarded(opened, _next_slot):
            self._slots.append(slot)
            if stays:
                room.take(opened)
        return slot

    def _room(self, kind: str) -> Room:
        """For tiles of this kind beside those that share their place: the sampled ones, or the ones that are averaged.
        Sampled ones stay below two batches, averaged ones within one.
        """
        size, denoised = self._budget.size(kind), self._budget.size(DENOISE)
        sharing = [opened for opened in self._open if regressor_kind(opened.request.quality) == kind]
        sampled = any(opened.request.quality.takes_steps for opened in sharing)
        held = Counter[Hashable](slot.owner for slot in self._slots if slot.quality.takes_steps == sampled)
        batch, most = (denoised, denoised + size - 1) if sampled else (size, size)
        return Room(held, batch, most, len(sharing))

    def _run(self, batch: Batch) -> StepReport | None:
        """Runs a batch and takes over its results; None, and nothing changed but the budget, if it did not fit."""
        stopwatch = self._runner.stopwatch()
        try:
            results = self._run_network(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            failure = error.with_traceback(None)
        else:
            report = self._report(batch, stopwatch.stop())
            self._move_on(batch, results)
            return report
        self._shrink(batch, failure)
        return None

    def _run_network(self, batch: Batch) -> Sequence[Regressed | Denoised]:
        with torch.inference_mode():
            results: Sequence[Regressed | Denoised] = (
                self._runner.denoise(batch.slots) if batch.phase == "denoise" else self._runner.regress(batch.slots)
            )
            for slot, result in zip(batch.slots, results, strict=True):
                result.commit(slot)
        return results

    def _move_on(self, batch: Batch, results: Sequence[Regressed | Denoised]) -> None:
        """Finished slots go back to their requests; others wait for their next pass or step."""
        self._count(batch)
        self._last_step[batch.kind] = next(self._steps)
        ended = {slot: r.pixels for slot, r in zip(batch.slots, results, strict=True) if r.pixels is not None}
        self._slots = [slot for slot in self._slots if slot not in ended]
        if ended:
            self._held_back.clear()
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

    def _count(self, batch: Batch) -> None:
        for slot in batch.slots:
            handle = slot.owner.handle
            if batch.phase == "denoise":
                handle.steps_done += 1
                self._tally.steps_done += 1
            elif slot.is_regressed and not slot.is_alpha:
                handle.tiles_budgeted += 1
                handle.steps_budgeted += slot.budget

    def _report(self, batch: Batch, seconds: float) -> StepReport:
        size = len(batch.slots)
        self._budget.observe(batch.kind, size, seconds)
        self._tally.batch_size = size
        self._tally.network_seconds += seconds
        return StepReport(batch.phase, Counter(slot.owner.handle.id for slot in batch.slots), seconds, size)

    def _shrink(self, batch: Batch, failure: BaseException) -> None:
        self._tally.out_of_memory_retries += 1
        if len(batch.slots) > 1:
            self._budget.out_of_memory(len(batch.slots))
        elif batch.kind != DENOISE and any(slot.sampling for slot in self._slots):
            self._held_back.add(batch.kind)
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
        if not opened.handle.done:
            opened.handle.error = error
            self._close(opened)

    def _close(self, opened: OpenRequest) -> None:
        self._open.remove(opened)
        self._slots = [slot for slot in self._slots if slot.owner is not opened]
        self._held_back.clear()
        opened.forget()
        opened.handle.done = True
        if opened.request.on_end:
            opened.request.on_end(opened.handle)


def _next_slot(opened: OpenRequest) -> Slot | None:
    return opened.take() if opened.can_take() else None
