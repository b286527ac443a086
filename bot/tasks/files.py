"""Which files of a model repository are needed, and what the header of a weight file says. No torch, no network."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tilestep.bot.tasks.errors import ModelError

INDEX = "model_index.json"
USUAL = "generation_config.json"
WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|model|pytorch_model)(?P<half>\.fp16)?(?:-\d+-of-\d+)?\.(?P<kind>safetensors|bin)"
)
SMALL_FILES = frozenset({".json", ".txt", ".model", ".jinja"})
MAX_HEADER_BYTES = 100 << 20


@dataclass(frozen=True)
class ModelIndex:
    """`model_index.json`: the pipeline's class, and (library, class) of each component that it has."""

    class_name: str
    components: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class ChosenFiles:
    """Paths inside a repository: weights by component, the rest, and the components taken in their 16-bit variant."""

    weights: Mapping[str, tuple[str, ...]]
    small: tuple[str, ...]
    half: frozenset[str]


@dataclass(frozen=True)
class WeightCount:
    """Numbers of values: all of a component's, and its largest tensor's."""

    values: int
    largest: int

    def __add__(self, other: WeightCount) -> WeightCount:
        return WeightCount(self.values + other.values, max(self.largest, other.largest))


def parse_index(text: str, model: str) -> ModelIndex:
    """Raises ModelError when it describes no pipeline."""
    try:
        entries = json.loads(text)
        class_name = entries["_class_name"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{INDEX} of {model} is broken: download the model again.") from error
    components = {
        name: (value[0], value[1])
        for name, value in entries.items()
        if not name.startswith("_") and isinstance(value, list) and len(value) == 2 and value[0] is not None
    }
    return ModelIndex(
        str(class_name), {name: (str(library), str(kind)) for name, (library, kind) in components.items()}
    )


def choose_files(names: Iterable[str], components: Iterable[str], half: bool) -> ChosenFiles:
    """Safetensors rather than pickles, one precision only; `half`: the 16-bit variant where a component has one."""
    weights: dict[str, tuple[str, ...]] = {}
    small, chosen_half = [], set()
    known = set(components)
    by_folder: dict[str, list[str]] = {}
    for name in names:
        path = PurePosixPath(name)
        if name in (INDEX, USUAL) or (str(path.parent) in known and path.suffix in SMALL_FILES):
            small.append(name)
        elif str(path.parent) in known:
            by_folder.setdefault(str(path.parent), []).append(name)
    for component, found in by_folder.items():
        files, is_half = _one_set(found, half)
        if files:
            weights[component] = files
        if is_half:
            chosen_half.add(component)
    return ChosenFiles(weights, tuple(sorted(small)), frozenset(chosen_half))


def _one_set(names: list[str], half: bool) -> tuple[tuple[str, ...], bool]:
    """One complete set of weight files among a component's."""
    sets: dict[tuple[bool, bool], list[str]] = {}
    for name in names:
        match = WEIGHTS.fullmatch(PurePosixPath(name).name)
        if match:
            sets.setdefault((match["kind"] == "safetensors", bool(match["half"])), []).append(name)
    if not sets:
        return (), False
    best = max(sets, key=lambda key: (key[0], key[1] == half))
    return tuple(sorted(sets[best])), best[1]


def read_header(path: Path) -> WeightCount:
    """Counts the values of a weight file on disk without reading them; raises ModelError when it is broken."""
    if path.suffix == ".bin":
        return count_of_pickle(path.name, path.stat().st_size)
    try:
        return count_of_header(read_safetensors_header(path))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _broken(path) from error


def read_safetensors_header(path: Path) -> dict[str, Any]:
    """Name -> {"dtype", "shape", ...}, and what the file says of itself; raises ModelError when it is broken."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= MAX_HEADER_BYTES:
                raise ValueError("no header")
            header = json.loads(file.read(length))
        if not isinstance(header, dict):
            raise ValueError("no table")
        return header
    except (OSError, ValueError) as error:
        raise _broken(path) from error


def _broken(path: Path) -> ModelError:
    return ModelError(f"{path} is no safetensors file or is broken: download it again.")


def count_of_header(header: Mapping[str, Any]) -> WeightCount:
    """From a safetensors header: name -> {"dtype", "shape", ...}."""
    counts = [math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__"]
    return WeightCount(sum(counts), max(counts, default=0))


def count_of_pickle(name: str, size_bytes: int) -> WeightCount:
    """A pickle says nothing without being executed: reckoned from its size."""
    values = size_bytes // (2 if ".fp16" in name else 4)
    return WeightCount(values, values // 8)
