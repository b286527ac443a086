"""`tilestep evaluate DIR`: compares presets, plain interpolation and other programs on a directory of pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tilestep.upscaler.errors import InputError, OptionError, OutputError, TilestepError
from tilestep.upscaler.evaluation import protocol, runner, sheets, tables
from tilestep.upscaler.evaluation.measures import Measure, with_plugged_in
from tilestep.upscaler.evaluation.methods import COMMAND_FORM, Method, baselines, check_names, parse_command

PRESETS = ("fast", "balanced", "best", "faithful")
FAILED = 2


@dataclass(frozen=True)
class PresetChoice:
    """Which presets to compare, and how: weights file (None: the shipped ones), device, and the seed of the noise."""

    names: tuple[str, ...]
    weights: Path | None
    device: str
    seed: int


PresetMaker = Callable[[PresetChoice], Sequence[Method]]


@dataclass(frozen=True)
class Plan:
    """What one run compares, chosen and checked before any work starts."""

    pictures: list[Path]
    conditions: list[protocol.Condition]
    methods: list[Method]
    presets: list[Method]
    measures: list[Measure]
    out: Path | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `run` reads."""
    names = ",".join(condition.name for condition in protocol.CONDITIONS)
    parser.add_argument("directory", type=Path, metavar="DIR", help="pictures that no model was trained on")
    parser.add_argument("--presets", default=",".join(PRESETS), metavar="A,B", help="or none (default: %(default)s)")
    parser.add_argument("--conditions", default=names, metavar="A,B", help="what is upscaled (default: %(default)s)")
    parser.add_argument(
        "--measure", action="append", default=[], metavar="NAME=MODULE:ATTRIBUTE[:higher]", help="another measure"
    )
    parser.add_argument(
        "--command", action="append", default=[], metavar="NAME=LINE", help=f"another upscaler: {COMMAND_FORM}"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N pictures")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write tables (Markdown, CSV, JSON) and contact sheets")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="another checkpoint than the shipped one")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the presets' noise (default: %(default)s)")


def run(args: argparse.Namespace, make_presets: PresetMaker) -> int:
    """Evaluates and prints; returns 0, or 2 if something could not be done (said on standard error).

    `make_presets` gives the methods of our own presets with their model loaded.
    """
    try:
        plan = _plan(args, make_presets)
        results, failures = _evaluate(plan)
        if not results:
            raise InputError(f"No picture in {args.directory} could be measured.")
        rows = tables.summarize(results)
        print(tables.text_tables(rows, plan.measures))
        if plan.out:
            _write_reports(plan, rows, results, args)
    except TilestepError as error:
        print(f"tilestep evaluate: {error}", file=sys.stderr)
        return FAILED
    return FAILED if failures or any(row.problem for row in rows) else 0


def _plan(args: argparse.Namespace, make_presets: PresetMaker) -> Plan:
    if args.limit is not None and args.limit < 1:
        raise OptionError("--limit must be at least 1.")
    conditions = protocol.choose_conditions(_names(args.conditions))
    commands = [parse_command(text) for text in args.command]
    measures = with_plugged_in(args.measure)
    pictures = protocol.find_pictures(args.directory, args.limit)
    wanted = () if args.presets == "none" else _names(args.presets)
    out = _made(args.out)
    choice = PresetChoice(wanted, args.weights, args.device, args.seed)
    presets = list(make_presets(choice)) if wanted else []
    compared = [*baselines(), *presets, *commands]
    check_names(compared)
    return Plan(pictures, conditions, compared, presets, measures, out)


def _evaluate(plan: Plan) -> tuple[list[runner.Result], int]:
    """Results without their pictures, and how many files could not be used."""
    results: list[runner.Result] = []
    failures = 0
    for path in tqdm(plan.pictures, desc="pictures", file=sys.stderr, disable=None):
        try:
            sample = protocol.load_sample(path)
        except InputError as error:
            failures += 1
            tqdm.write(f"tilestep evaluate: {error}", file=sys.stderr)
            continue
        if not results:
            runner.warm_up(plan.presets, sample)
        found = list(runner.evaluate_sample(sample, plan.conditions, plan.methods, plan.measures))
        if plan.out:
            _write_sheet(plan.out, sample, found)
        results += [result.without_output() for result in found]
    return results, failures


def _write_reports(plan: Plan, rows: list[tables.Row], results: list[runner.Result], args: argparse.Namespace) -> None:
    assert plan.out is not None
    about: dict[str, object] = {
        "directory": str(args.directory),
        "pictures": len({result.picture for result in results}),
        "scale": protocol.SCALE,
        "border_px": protocol.BORDER_PX,
        "seed": args.seed,
        "weights": str(args.weights) if args.weights else "shipped",
        "commands": list(args.command),
    }
    _write(plan.out / "results.md", tables.markdown_tables(rows, plan.measures))
    _write(plan.out / "results.csv", tables.csv_table(results, plan.measures))
    _write(plan.out / "results.json", tables.json_report(rows, results, plan.measures, about))
    print(f"\nTables and contact sheets are in {plan.out}")


def _write_sheet(out: Path, sample: protocol.Sample, results: list[runner.Result]) -> None:
    path = out / "sheets" / f"{sample.name}.png"
    try:
        sheets.contact_sheet(sample, results).save(path)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _cannot_write(path, error) from error


def _made(out: Path | None) -> Path | None:
    try:
        if out:
            (out / "sheets").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(out or Path(), error) from error
    return out


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path} cannot be written ({error.strerror or error}): choose another --out.")


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise OptionError("A list of names is empty: separate names by commas, or leave the option out.")
    return names
