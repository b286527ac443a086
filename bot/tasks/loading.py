"""Text-to-image models: by folder, by single file or by Hugging Face id, laid out for a memory budget.

Loading blocks for seconds to minutes: call it in a thread. diffusers and transformers change torch's default number
format for the whole process while they build a model, so each component is built and moved inside one step ("load") of
the gate: no other step runs meanwhile. Fetching happens outside.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tilestep.bot.gpu.gate import RecordingGate, StepGate
from tilestep.bot.gpu.memory import MemoryNeed
from tilestep.bot.gpu.outcome import is_out_of_memory, let_go
from tilestep.bot.tasks.arguments import UsualArguments, parse_usual
from tilestep.bot.tasks.errors import ModelError
from tilestep.bot.tasks.files import INDEX, USUAL, ChosenFiles, ModelIndex, WeightCount, choose_files, parse_index
from tilestep.bot.tasks.loaded import LoadedPipeline, new_key, weights_name
from tilestep.bot.tasks.memory import MemoryPlan, ModelSizes, plan_memory
from tilestep.bot.tasks.roles import component_role
from tilestep.bot.tasks.sizes import model_sizes
from tilestep.bot.tasks.source import FolderSource, HubSource, ModelSource
from tilestep.upscaler.errors import TilestepError

logger = logging.getLogger(__name__)


def load_text_to_image(
    model: str | Path,
    device: str,
    budget_bytes: int,
    token: str | None = None,
    *,
    gate: StepGate | None = None,
    endpoint: str | None = None,
    cache_dir: Path | None = None,
) -> LoadedPipeline:
    """Loads a text-to-image model so that it fits the budget.

    `model`: a folder saved by diffusers, a .safetensors file, or a Hugging Face id. `device`: "cpu", "cuda", "cuda:1".
    `token`: for gated and private models; Hugging Face's own settings by default, as for `endpoint` and `cache_dir`.
    Raises ModelError (not found, no network, gated, broken, not text to image) and DoesNotFit, before the weights are
    fetched, each in one line; TaskCancelled by the gate.
    """
    gate = gate or RecordingGate()
    prepared = prepare_text_to_image(
        model, device, budget_bytes, token, gate=gate, endpoint=endpoint, cache_dir=cache_dir
    )
    return prepared.load(gate)


def prepare_text_to_image(
    model: str | Path,
    device: str,
    budget_bytes: int,
    token: str | None = None,
    *,
    gate: StepGate | None = None,
    endpoint: str | None = None,
    cache_dir: Path | None = None,
    beside_bytes: int = 0,
) -> PreparedModel:
    """All of `load_text_to_image` that needs no memory of the device: finds, plans, fetches. Raises the same.

    `beside_bytes`: the largest step of other work that shares the budget.
    """
    name = str(model)
    gate = gate or RecordingGate()
    source = open_source(name, token, endpoint, cache_dir, gate)
    with errors_in_words(name):
        if isinstance(source, Path):
            from tilestep.bot.tasks.single_file import read_single_file

            return read_single_file(source, device, budget_bytes, token, gate, endpoint, cache_dir, beside_bytes)
        return _prepare(name, source, device, budget_bytes, beside_bytes)


@dataclass(frozen=True)
class PreparedModel:
    """A model of which all is known and fetched, and nothing is on the device yet; to be loaded once."""

    model: str
    plan: MemoryPlan
    build: Callable[[StepGate], LoadedPipeline]
    key: str = field(default_factory=new_key)

    @property
    def weights(self) -> str:
        """What its weights will be called where memory is counted."""
        return weights_name(self.model, self.key)

    @property
    def need(self) -> MemoryNeed:
        """What a request for one picture will need, with the weights."""
        return replace(self.plan.need, weights=self.weights)

    def load(self, gate: StepGate) -> LoadedPipeline:
        """Puts it on the device, and measures there what it needs. Raises ModelError in one line, TaskCancelled."""
        from tilestep.bot.tasks.measure import with_measured_steps

        with errors_in_words(self.model):
            loaded = replace(self.build(gate), key=self.key)
        return with_measured_steps(loaded, gate)


def open_source(
    model: str,
    token: str | None,
    endpoint: str | None = None,
    cache_dir: Path | None = None,
    gate: StepGate | None = None,
) -> ModelSource | Path:
    """Where the model is; a path for a single file. Raises ModelError when it is nowhere."""
    path = Path(model).expanduser()
    if path.is_dir():
        return FolderSource(path)
    if path.is_file():
        return path
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise ModelError(f"There is no model at {model}: give a folder, a .safetensors file or a Hugging Face id.")
    return HubSource(model, token, endpoint, cache_dir, gate)


@contextmanager
def errors_in_words(model: str) -> Iterator[None]:
    """Whatever diffusers raises becomes a ModelError of one line, which holds on to nothing that was loaded."""
    try:
        yield
    except TilestepError:
        raise
    except Exception as error:
        logger.debug("Loading %s failed", model, exc_info=True)
        let_go(error)
        raise ModelError(f"{model} cannot be loaded: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if is_out_of_memory(error):
        return "the memory ran out, so a smaller model or a smaller budget is needed."
    lines = [line for line in str(error).strip().splitlines() if not line.endswith("traceback):")]
    return lines[0] if lines else type(error).__name__


def read_index(source: ModelSource, model: str) -> tuple[ModelIndex, Any]:
    """What the model consists of, and its text-to-image class; raises ModelError when it has none."""
    if INDEX not in source.names():
        raise ModelError(f"{model} is no text-to-image model that diffusers can load: it has no {INDEX}.")
    folder = source.fetch([INDEX])
    index = parse_index((folder / INDEX).read_text(encoding="utf-8"), model)
    return index, text_to_image_class(index.class_name, model)


def text_to_image_class(class_name: str, model: str) -> Any:
    """The diffusers class that makes pictures from text with this kind of model; raises ModelError."""
    from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING, _get_task_class

    found = _get_task_class(AUTO_TEXT2IMAGE_PIPELINES_MAPPING, class_name, throw_error_if_not_exist=False)
    if found is None:
        raise ModelError(f"{model} is a {class_name}, not a text-to-image model: choose another.")
    if found._load_connected_pipes:
        raise ModelError(f"{model} consists of several repositories ({found.__name__}), which cannot be loaded here.")
    return found


def _prepare(model: str, source: ModelSource, device: str, budget_bytes: int, beside_bytes: int) -> PreparedModel:
    """A model that is a folder with a part for each component: everything but the weights is read."""
    index, kind = read_index(source, model)
    files = choose_files(source.names(), index.components, half=not device.startswith("cpu"))
    sizes = _sizes(source, index, files, source.fetch(files.small), hasattr(kind, "upcast_vae"))
    plan = plan_memory(sizes, budget_bytes, device, model, beside_bytes)
    logger.info("%s: %s", model, plan.describe())
    folder = source.fetch([*files.small, *(name for names in files.weights.values() for name in names)])

    def build(gate: StepGate) -> LoadedPipeline:
        from tilestep.bot.tasks.assemble import assemble, load_component

        modules = {}
        for name in files.weights:
            with gate.step("load"):
                variant = "fp16" if name in files.half else None
                module = load_component(folder, name, index.components[name], plan, variant, device)
            if module is not None:
                modules[name] = module
                logger.info("Loaded %s of %s", name, model)
        variant = "fp16" if files.half - modules.keys() else None
        loaded = assemble(model, folder, modules, plan, sizes, device, gate, variant)
        return replace(loaded, usual=read_usual(folder))

    return PreparedModel(model, plan, build)


def _sizes(source: ModelSource, index: ModelIndex, files: ChosenFiles, folder: Path, upcast: bool) -> ModelSizes:
    counts = {
        name: sum((source.count(file) for file in paths), WeightCount(0, 0)) for name, paths in files.weights.items()
    }
    roles = {name: component_role(name, library) for name, (library, _) in index.components.items()}
    return model_sizes(counts, roles, read_configs(folder, index.components), upcast)


def read_configs(folder: Path, components: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The configuration of each component that has one."""
    paths = {name: folder / name / "config.json" for name in components}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.is_file()}


def read_usual(folder: Path) -> UsualArguments:
    """The steps and guidance that the model's maker recommends, if the folder says."""
    path = folder / USUAL
    return parse_usual(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else UsualArguments()


__all__ = ["LoadedPipeline", "MemoryPlan", "PreparedModel", "load_text_to_image", "prepare_text_to_image"]
