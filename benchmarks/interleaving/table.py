"""Rows of the table: what is to be reached, what was measured, and the verdict that follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

NAME_WIDTH, TARGET_WIDTH, VALUE_WIDTH = 58, 15, 12


@dataclass(frozen=True)
class Row:
    """`values` by contender, the first of which is judged by `reached`; None judges nothing."""

    name: str
    target: str
    values: dict[str, float]
    reached: Callable[[float], bool] | None = None
    note: str = ""
    form: str = "{:.3f}"

    @property
    def verdict(self) -> str:
        if self.reached is None:
            return "printed"
        return "reached" if self.reached(next(iter(self.values.values()))) else "missed"


@dataclass
class Table:
    """Prints each row as soon as it is measured."""

    contenders: list[str]
    rows: list[Row] = field(default_factory=list)

    def head(self) -> None:
        columns = "".join(f"{name:>{VALUE_WIDTH}}" for name in self.contenders)
        print(f"{'':{NAME_WIDTH}}{'to reach':>{TARGET_WIDTH}}{'verdict':>10}{columns}", flush=True)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        cells = [row.form.format(row.values[name]) if name in row.values else "-" for name in self.contenders]
        columns = "".join(f"{cell:>{VALUE_WIDTH}}" for cell in cells)
        print(f"{row.name:{NAME_WIDTH}}{row.target:>{TARGET_WIDTH}}{row.verdict:>10}{columns}", flush=True)
        if row.note:
            print(f"    {row.note}", flush=True)

    @property
    def missed(self) -> list[str]:
        return [row.name for row in self.rows if row.verdict == "missed"]


def at_most(limit: float) -> Callable[[float], bool]:
    return lambda value: value <= limit


def below(limit: float) -> Callable[[float], bool]:
    return lambda value: value < limit


def within(expected: float, part: float) -> Callable[[float], bool]:
    return lambda value: abs(value / expected - 1) <= part
