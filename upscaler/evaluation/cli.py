"""`tilestep evaluate`: options; the comparison itself is imported when it runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from tilestep.upscaler.cli.values import PRECISIONS, whole_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `tilestep evaluate`."""
    add = parser.add_argument
    add("directory", type=Path, metavar="DIR", help="pictures that no model was trained on")
    add("--presets", metavar="A,B", help="presets to compare, or none (default: all)")
    add("--conditions", metavar="A,B", help="of clean, jpeg75 and jpeg75-png (default: all)")
    add(
        "--measure",
        dest="measures",
        action="append",
        default=[],
        metavar="NAME=MODULE:ATTRIBUTE[:higher]",
        help="another measure: a function or class for two float tensors (N, 3, H, W) in [-1, 1], lower being better",
    )
    add(
        "--command",
        dest="commands",
        action="append",
        default=[],
        metavar="NAME=LINE",
        help="another upscaler: NAME=PROGRAM ... {input} ... {output} ...",
    )
    add("--limit", type=whole_number(1, 10**9), metavar="N", help="only the first N pictures")
    add("--out", type=Path, metavar="DIR", help="write tables (Markdown, CSV, JSON) and contact sheets")
    add("--checkpoint", type=Path, metavar="FILE", help="other weights than those that come with the program")
    add("--device", default="auto", help="auto, cpu or cuda[:n] (default: %(default)s)")
    add("--precision", choices=PRECISIONS, default="auto", help="number format (default: %(default)s)")
    add("--seed", type=whole_number(0, 2**63 - 1), default=0, metavar="N", help="of the noise (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Compares and prints; 0, or 2 if a picture or a method failed. Raises TilestepError for what concerns all."""
    from tilestep.upscaler.evaluation.compare import compare

    return compare(args)
