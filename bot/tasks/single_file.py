"""Models in one .safetensors file, as they are traded: the weights of all components together."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilestep.bot.gpu.gate import StepGate
from tilestep.bot.tasks.errors import ModelError
from tilestep.bot.tasks.files import read_header
from tilestep.bot.tasks.memory import DType, MemoryPlan, plan_memory
from tilestep.bot.tasks.source import HubSource

if TYPE_CHECKING:
    from tilestep.bot.tasks.loading import PreparedModel

logger = logging.getLogger(__name__)


def read_single_file(
    path: Path,
    device: str,
    budget_bytes: int,
    token: str | None,
    gate: StepGate,
    endpoint: str | None = None,
    cache_dir: Path | None = None,
    beside_bytes: int = 0,
) -> PreparedModel:
    """Reads the file into host memory, with the configuration of the model that it descends from.

    That is fetched (a few hundred kB). The layout is planned after the weights have been read, since the file does not
    say which of them are whose.
    """
    from tilestep.bot.tasks.assemble import lay_out, torch_dtype
    from tilestep.bot.tasks.loading import PreparedModel, read_index
    from tilestep.bot.tasks.measure import sizes_of

    if path.suffix != ".safetensors":
        raise ModelError(f"{path} is no .safetensors file, and pickles are not loaded: convert it.")
    read_header(path)
    repo = ancestor(path)
    source = HubSource(repo, token, endpoint, cache_dir, gate)
    index, kind = read_index(source, str(path))
    small = [name for name in source.names() if name.endswith((".json", ".txt", ".model")) and "/" in name]
    config = source.fetch(["model_index.json", *(name for name in small if name.split("/")[0] in index.components)])
    half: DType = "bfloat16" if "transformer" in index.components else "float16"
    dtype = torch_dtype(MemoryPlan("float32" if device.startswith("cpu") else half))
    with gate.step("load"):
        pipe = kind.from_single_file(str(path), config=str(config), dtype=dtype, local_files_only=True)
    sizes = sizes_of(pipe)
    plan = plan_memory(sizes, budget_bytes, device, str(path), beside_bytes)
    if torch_dtype(plan) != dtype:
        pipe.to(torch_dtype(plan))
    logger.info("%s: %s", path, plan.describe())
    return PreparedModel(str(path), plan, lambda gate: lay_out(pipe, str(path), plan, sizes, device, gate))


def ancestor(path: Path) -> str:
    """The repository whose configuration fits the file, told from the names of its tensors; raises ModelError."""
    import torch
    from diffusers.loaders.single_file_utils import fetch_diffusers_config
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        shapes: dict[str, Any] = {
            name: torch.empty(file.get_slice(name).get_shape(), device="meta")
            for name in file.keys()  # noqa: SIM118
        }
    known: dict[str, str] = fetch_diffusers_config(shapes)
    return known["pretrained_model_name_or_path"]
