"""Results as tables: means per condition and method, as text, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from tilestep.upscaler.evaluation.measures import Better, Measure
from tilestep.upscaler.evaluation.runner import Result

STEPS_COLUMN = "steps"
SECONDS_COLUMN = "s/MP"
BETTER_WORDS: dict[Better, str] = {"higher": "higher is better", "lower": "lower is better", "one": "1 is the original"}


@dataclass(frozen=True)
class Row:
    """One method in one condition: the mean of each measure over all pictures, or why there is none.

    `steps` is the mean number of denoising steps per tile, `seconds_per_megapixel` counts output pixels. A method that
    failed on any picture has no means: they would be means over other pictures than everyone else's.
    """

    condition: str
    method: str
    pictures: int
    means: dict[str, float]
    steps: float
    seconds_per_megapixel: float
    note: str
    problem: str


def summarize(results: Sequence[Result]) -> list[Row]:
    """A row per condition and method, in the order in which they first appear."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.condition, result.method), []).append(result)
    return [_row(condition, method, group) for (condition, method), group in groups.items()]


def text_tables(rows: Sequence[Row], measures: Sequence[Measure]) -> str:
    """Aligned text: a table per condition, then what each column means."""
    parts = []
    for condition, members in _by_condition(rows):
        cells = [_header(measures), *(_cells(row, measures) for row in members)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]) - 1)]
        lines = ["  ".join(_aligned(line, widths)).rstrip() for line in cells]
        parts.append("\n".join([_title(condition, members), *lines]))
    return "\n\n".join([*parts, legend(measures)])


def markdown_tables(rows: Sequence[Row], measures: Sequence[Measure]) -> str:
    """The same as Markdown."""
    parts = []
    for condition, members in _by_condition(rows):
        header = _header(measures)
        rule = ["---", *("---:" for _ in header[1:-1]), "---"]
        lines = [
            f"| {' | '.join(_escaped(line))} |" for line in (header, rule, *(_cells(r, measures) for r in members))
        ]
        parts.append("\n".join([f"## {_title(condition, members)}", "", *lines]))
    return "\n\n".join(["# Evaluation", *parts, legend(measures)]) + "\n"


def legend(measures: Sequence[Measure]) -> str:
    """One line on how to read the columns."""
    words = [
        f"{text}: {', '.join(names)}"
        for better, text in BETTER_WORDS.items()
        if (names := [measure.name for measure in measures if measure.better == better])
    ]
    return (
        "; ".join(
            [*words, f"{STEPS_COLUMN}: denoising steps per tile", f"{SECONDS_COLUMN}: seconds per output megapixel"]
        )
        + "."
    )


def csv_table(results: Sequence[Result], measures: Sequence[Measure]) -> str:
    """A line per picture, condition and method; figures that do not exist are empty."""
    names = [measure.name for measure in measures]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["picture", "condition", "method", *names, "steps", "seconds", "megapixels", "note", "problem"])
    for result in results:
        numbers = [result.values.get(name, math.nan) for name in names]
        numbers += [math.nan] * 3 if result.failed else [result.steps, result.seconds, result.megapixels]
        cells = ["" if math.isnan(number) else f"{number:.6g}" for number in numbers]
        writer.writerow([result.picture, result.condition, result.method, *cells, result.note, result.problem])
    return text.getvalue()


def json_report(
    rows: Sequence[Row], results: Sequence[Result], measures: Sequence[Measure], about: dict[str, object]
) -> str:
    """Everything for a program: `about`, `measures`, `summary` (means) and `pictures`; NaN becomes null."""
    report = {
        "about": about,
        "measures": {measure.name: measure.better for measure in measures},
        "summary": [_without_nan(vars(row)) for row in rows],
        "pictures": [_without_nan({k: v for k, v in vars(result).items() if k != "output"}) for result in results],
    }
    return json.dumps(report, indent=1, allow_nan=False) + "\n"


def _row(condition: str, method: str, group: Sequence[Result]) -> Row:
    failed = [result for result in group if result.failed]
    problems = [result.problem for result in group if result.problem]
    if failed:
        problem = f"failed on {len(failed)} of {len(group)}: {failed[0].problem}"
        return Row(condition, method, len(group), {}, math.nan, math.nan, "", problem)
    means = {name: fmean(result.values[name] for result in group) for name in group[0].values}
    seconds = sum(result.seconds for result in group) / sum(result.megapixels for result in group)
    steps = fmean(result.steps for result in group)
    note = ", ".join(dict.fromkeys(result.note for result in group if result.note))
    return Row(condition, method, len(group), means, steps, seconds, note, problems[0] if problems else "")


def _by_condition(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    names = dict.fromkeys(row.condition for row in rows)
    return [(name, [row for row in rows if row.condition == name]) for name in names]


def _title(condition: str, rows: Sequence[Row]) -> str:
    count = rows[0].pictures
    return f"{condition} ({count} {'picture' if count == 1 else 'pictures'})"


def _header(measures: Sequence[Measure]) -> list[str]:
    return ["method", *(measure.name for measure in measures), STEPS_COLUMN, SECONDS_COLUMN, ""]


def _cells(row: Row, measures: Sequence[Measure]) -> list[str]:
    numbers = [_number(row.means.get(measure.name, math.nan), measure.decimals) for measure in measures]
    remark = "; ".join(filter(None, (row.note, row.problem)))
    return [row.method, *numbers, _number(row.steps, 2), _number(row.seconds_per_megapixel, 2), remark]


def _number(value: float, decimals: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{decimals}f}"


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    numbers = (cell.rjust(width) for cell, width in zip(line[1:-1], widths[1:], strict=True))
    return [line[0].ljust(widths[0]), *numbers, line[-1]]


def _escaped(line: Sequence[str]) -> list[str]:
    return [cell.replace("|", "\\|") for cell in line]


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
