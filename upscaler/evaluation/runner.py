"""The evaluation itself: every picture in every condition through every method, measured. Prints and writes nothing."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tilestep.upscaler.errors import InputError
from tilestep.upscaler.evaluation.measures import Measure
from tilestep.upscaler.evaluation.methods import Method, MethodError
from tilestep.upscaler.evaluation.protocol import BORDER_PX, Condition, Sample, fit_output, read_picture

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Result:
    """One method on one picture in one condition.

    `values` has a number per measure name (NaN where the measure itself failed); `problem` says in words why there is
    none, or why one is NaN. `seconds` is the time from file to file, `megapixels` the size of the output, `steps` the
    mean number of denoising steps per tile (NaN for other methods), `output` the picture (2H, 2W, 3) uint8.
    """

    picture: str
    condition: str
    method: str
    seconds: float = 0.0
    megapixels: float = 0.0
    steps: float = math.nan
    values: dict[str, float] = field(default_factory=dict)
    note: str = ""
    problem: str = ""
    output: Picture | None = None

    @property
    def failed(self) -> bool:
        """There is no picture to measure."""
        return not self.values

    def without_output(self) -> Result:
        """The same without the picture, to keep many."""
        return replace(self, output=None)


def evaluate_sample(
    sample: Sample, conditions: Sequence[Condition], methods: Sequence[Method], measures: Sequence[Measure]
) -> Iterator[Result]:
    """Results of one picture, by condition and then by method, in the order given."""
    with tempfile.TemporaryDirectory(prefix="tilestep-evaluate-") as folder:
        for condition in conditions:
            input_path = condition.write(sample.small, Path(folder), f"{condition.name}-input")
            for index, method in enumerate(methods):
                output_path = Path(folder) / f"{condition.name}-output-{index}.png"
                yield _evaluate(sample, condition, method, measures, input_path, output_path)


def warm_up(methods: Sequence[Method], sample: Sample) -> None:
    """Lets each method do a small piece once, so that what happens only the first time is not in the figures.

    Failures are left to the real run, which reports them.
    """
    small = sample.small[:32, :32]
    with tempfile.TemporaryDirectory(prefix="tilestep-evaluate-") as folder:
        path = Condition("warm-up", through_jpeg=False, suffix=".png").write(small, Path(folder), "input")
        for index, method in enumerate(methods):
            try:
                method(path, Path(folder) / f"output-{index}.png")
            except Exception:
                continue


def _evaluate(
    sample: Sample,
    condition: Condition,
    method: Method,
    measures: Sequence[Measure],
    input_path: Path,
    output_path: Path,
) -> Result:
    started = time.perf_counter()
    try:
        steps = method(input_path, output_path)
        seconds = time.perf_counter() - started
        output, note = _answer(output_path, sample.original)
    except Exception as error:  # what is measured may fail in any way, and the others go on
        problem = str(error) or type(error).__name__
        return Result(sample.name, condition.name, method.name, problem=problem.partition("\n")[0])
    values, problem = _measure(measures, output, sample.original)
    megapixels = output.shape[0] * output.shape[1] / 1e6
    return Result(
        picture=sample.name,
        condition=condition.name,
        method=method.name,
        seconds=seconds,
        megapixels=megapixels,
        steps=math.nan if steps is None else steps,
        values=values,
        note=note,
        problem=problem,
        output=output,
    )


def _answer(path: Path, original: Picture) -> tuple[Picture, str]:
    try:
        picture = read_picture(path)
    except InputError as error:
        raise MethodError("what it wrote cannot be read as an 8-bit picture") from error
    return fit_output(picture, (original.shape[0], original.shape[1]))


def _measure(measures: Sequence[Measure], output: Picture, original: Picture) -> tuple[dict[str, float], str]:
    values, problems = {}, []
    for measure in measures:
        try:
            values[measure.name] = measure(output, original, BORDER_PX)
        except Exception as error:  # a measure of somebody else's may fail in any way
            values[measure.name] = math.nan
            problems.append(f"{measure.name} could not be measured ({error})")
    return values, "; ".join(problems)
