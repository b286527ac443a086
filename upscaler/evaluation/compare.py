"""`tilestep evaluate DIR`: compares presets, plain interpolation and other programs on a directory of pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tilestep.upscaler.errors import InputError, OptionError, OutputError
from tilestep.upscaler.evaluation import protocol, runner, sheets, tables
from tilestep.upscaler.evaluation.measures import Measure, with_plugged_in
from tilestep.upscaler.evaluation.methods import Method, baselines, check_names, parse_command
from tilestep.upscaler.evaluation.presets import PresetChoice, preset_methods
from tilestep.upscaler.quality import PRESET_NAMES

PresetMaker = Callable[[PresetChoice], Sequence[Method]]
FAILED = 2


@dataclass(frozen=True)
class Plan:
    """What one run compares, chosen and checked before any work starts."""

    pictures: list[Path]
    conditions: list[protocol.Condition]
    methods: list[Method]
    presets: list[Method]
    measures: list[Measure]
    out: Path | None


def compare(args: argparse.Namespace, make_presets: PresetMaker = preset_methods) -> int:
    """Evaluates and prints; returns 0, or 2 if a picture or a method failed, which is said where it happens.

    `make_presets` gives the methods of our own presets with their model loaded. Raises TilestepError for what concerns
    the whole run.
    """
    plan = _plan(args, make_presets)
    results, failures = _evaluate(plan)
    if not results:
        raise InputError(f"No picture in {args.directory} could be measured.")
    rows = tables.summarize(results)
    print(tables.text_tables(rows, plan.measures))
    if plan.out:
        _write_reports(plan, rows, results, args)
    return FAILED if failures or any(row.problem for row in rows) else 0


def _plan(args: argparse.Namespace, make_presets: PresetMaker) -> Plan:
    conditions = protocol.choose_conditions(_names(args.conditions) if args.conditions is not None else None)
    commands = [parse_command(text) for text in args.commands]
    measures = with_plugged_in(args.measures)
    pictures = protocol.find_pictures(args.directory, args.limit)
    wanted = _presets(args.presets)
    out = _made(args.out)
    choice = PresetChoice(wanted, args.checkpoint, args.device, args.seed, args.precision)
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
        "precision": args.precision,
        "checkpoint": str(args.checkpoint or "shipped"),
        "commands": list(args.commands),
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


def _presets(text: str | None) -> tuple[str, ...]:
    if text is None:
        return PRESET_NAMES
    names = () if text == "none" else _names(text)
    for name in names:
        if name not in PRESET_NAMES:
            raise OptionError(f"There is no preset {name!r}: choose from {', '.join(PRESET_NAMES)}, or none.")
    return names


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise OptionError("A list of names is empty: separate names by commas, or leave the option out.")
    return names
