"""Upscales of all users as one shared task: the tile engine mixes their tiles, and each step says whose were in it.

The engine takes new tiles from its requests in turn. What the policy adds is a tap on each picture: while a flow has
had more than its share, its picture gives no new tiles, as long as the others have any. The engine begins a tile when
it can read its rows and write them, so a closed tap withholds the rows and the room for them: the latter takes effect
at the very next tile, whatever has been read already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tilestep.bot.gpu.gate import Progress, StepGate
from tilestep.bot.gpu.task import UPSCALE, SharedStep, SharedTurn
from tilestep.upscaler.engine import EngineLimits, TileEngine
from tilestep.upscaler.handle import ChainHandle
from tilestep.upscaler.model.checkpoint import LoadedModel, load_model
from tilestep.upscaler.model.descriptor import Calibration
from tilestep.upscaler.model.precision import choose_dtype
from tilestep.upscaler.passes import submit_chain
from tilestep.upscaler.quality import DEFAULT_PRESET, Quality, preset, with_steps
from tilestep.upscaler.tiling.rows import FinishedRows, RowSink, RowSource, SourceRows


@dataclass(frozen=True)
class UpscaleOrder:
    """One picture to enlarge by 2, 4 or 8; its result is the sink.

    `quality`: the name of a preset, or a quality of one's own. `steps`: exactly so many in every tile, instead of the
    quality's choice; `most_steps` bounds either. `dejpeg` and `deblur` in [0, 1]: corruption to undo.
    """

    source: RowSource
    sink: RowSink
    quality: str | Quality = DEFAULT_PRESET
    scale: int = 2
    seed: int = 0
    dejpeg: float = 0.0
    deblur: float = 0.0
    steps: int | None = None
    most_steps: int | None = None

    @property
    def size(self) -> float:
        """Expected work: pixels that go through the network, all passes together, in millions."""
        passes = self.scale.bit_length() - 1
        return self.source.width * self.source.height * sum(4.0**n for n in range(passes)) / 1e6


class Tap:
    """A picture whose rows can be withheld."""

    def __init__(self, source: RowSource) -> None:
        self._source = source
        self.open = True

    @property
    def width(self) -> int:
        return self._source.width

    @property
    def height(self) -> int:
        return self._source.height

    @property
    def channels(self) -> int:
        return self._source.channels

    def ready(self, stop: int) -> bool:
        return self.open and self._source.ready(stop)

    def read(self, start: int, stop: int) -> SourceRows:
        return self._source.read(start, stop)


class TappedSink:
    """Has no room for the picture's rows while the tap is closed."""

    def __init__(self, sink: RowSink, tap: Tap) -> None:
        self._sink, self._tap = sink, tap

    def room(self, rows: int) -> bool:
        return self._tap.open and self._sink.room(rows)

    def write(self, rows: FinishedRows) -> None:
        self._sink.write(rows)


@dataclass(frozen=True)
class _Upscale:
    order: UpscaleOrder
    tap: Tap
    handle: ChainHandle

    @property
    def progress(self) -> Progress:
        """Tiles finished and steps taken, of those expected."""
        now = self.handle.progress
        return Progress(now.tiles_done + now.steps_done, now.tiles_total + now.steps_expected, "tiles")

    @property
    def all_begun(self) -> bool:
        """Whether there is nothing left to withhold; what is finished then goes to the sink."""
        return all(part.tiles_budgeted == part.tiles_total for part in self.handle.parts)


class TilePool:
    """The tile engine as a shared task; see `SharedTask`."""

    kind = UPSCALE

    def __init__(self, model: LoadedModel, limits: EngineLimits | None = None) -> None:
        self._model = model
        self._engine = TileEngine(model, limits)
        self._upscales: dict[int, _Upscale] = {}

    def add(self, job: int, order: UpscaleOrder) -> None:
        """Raises OptionError for a quality, a scale or a strength that there is not."""
        quality = _quality(order, self._model.descriptor.calibration)
        tap = Tap(order.source)
        options = order.scale, order.seed, order.dejpeg, order.deblur
        handle = submit_chain(self._engine, tap, TappedSink(order.sink, tap), quality, *options)
        self._upscales[job] = _Upscale(order, tap, handle)

    def drop(self, job: int) -> None:
        upscale = self._upscales.pop(job, None)
        if upscale is not None:
            self._engine.cancel(upscale.handle)

    def step(self, turn: SharedTurn) -> SharedStep | None:
        """One batch of about the quantum. Other errors of the network than a lack of memory pass through."""
        self._engine.set_quantum(turn.quantum_ms / 1000)
        self._turn_taps(turn.indebted)
        report = self._engine.step()
        if report is None:
            self._turn_taps(frozenset())
            report = self._engine.step()
        ended = {job: upscale for job, upscale in self._upscales.items() if upscale.handle.done}
        if report is None and not ended:
            return None
        parts = self._parts(report.tiles if report else {})
        return self._tell(parts, ended)

    def close(self) -> None:
        for job in list(self._upscales):
            self.drop(job)

    def _turn_taps(self, indebted: frozenset[int]) -> None:
        """What the others have left to begin goes first, so that the end of a small picture is not crowded out."""
        others = any(not upscale.all_begun for job, upscale in self._upscales.items() if job not in indebted)
        for job, upscale in self._upscales.items():
            upscale.tap.open = not (others and job in indebted) or upscale.all_begun

    def _parts(self, tiles: Mapping[int, int]) -> dict[int, int]:
        owner = {part.id: job for job, upscale in self._upscales.items() for part in upscale.handle.parts}
        parts: Counter[int] = Counter()
        for handle, count in tiles.items():
            if handle in owner:
                parts[owner[handle]] += count
        return dict(parts)

    def _tell(self, parts: dict[int, int], ended: dict[int, _Upscale]) -> SharedStep:
        progress = {job: self._upscales[job].progress for job in parts}
        errors: dict[int, BaseException] = {}
        for job, upscale in ended.items():
            del self._upscales[job]
            if upscale.handle.error is not None:
                errors[job] = upscale.handle.error
        results = {job: upscale.order.sink for job, upscale in ended.items() if job not in errors}
        return SharedStep(parts, "tiles", progress, results, errors)


def _quality(order: UpscaleOrder, calibration: Calibration) -> Quality:
    """What a tile of this order may cost. Raises OptionError."""
    quality = order.quality
    if isinstance(quality, str):
        quality = preset(quality, calibration)
    if order.steps is not None:
        quality = with_steps(quality, order.steps)
    if order.most_steps is None:
        return quality
    return replace(quality, max_steps=min(quality.max_steps, order.most_steps))


def load_tile_pool(gate: StepGate, checkpoint: Path | None, device: str, limit_bytes: int | None = None) -> TilePool:
    """Loads the tile model in a step of its own; its engine keeps within `limit_bytes`. Raises CheckpointError."""
    with gate.step("load"):
        model = load_model(checkpoint, device, choose_dtype("auto", device))
    return TilePool(model, EngineLimits(max_memory_bytes=limit_bytes))
