"""Components to modules, and modules to a pipeline, laid out as planned. Imports torch and diffusers."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoPipelineForText2Image
from torch import nn

from tilestep.bot.gpu.gate import StepGate
from tilestep.bot.tasks.decode import set_tiling
from tilestep.bot.tasks.encode import EmbeddingCache
from tilestep.bot.tasks.loaded import LoadedPipeline
from tilestep.bot.tasks.memory import MemoryPlan, ModelSizes
from tilestep.bot.tasks.placement import HostWeights, stream_weights
from tilestep.bot.tasks.roles import Role, component_role

STORAGE = torch.float8_e4m3fn


def load_component(
    folder: Path, name: str, kind: tuple[str, str], plan: MemoryPlan, variant: str | None, device: str
) -> nn.Module | None:
    """One component, built and where it belongs; None for a class that only the pipeline knows."""
    library, class_name = kind
    if library not in ("diffusers", "transformers"):
        return None
    found = getattr(importlib.import_module(library), class_name, None)
    if found is None:
        return None
    module = found.from_pretrained(
        folder, subfolder=name, dtype=torch_dtype(plan), variant=variant, local_files_only=True
    )
    assert isinstance(module, nn.Module)
    role = component_role(name, library)
    if role != "text encoder":
        _move(module, role, plan, torch.device(device))
    return module.eval().requires_grad_(False)


def assemble(
    model: str,
    folder: Path,
    modules: Mapping[str, nn.Module],
    plan: MemoryPlan,
    sizes: ModelSizes,
    device: str,
    gate: StepGate,
    variant: str | None = None,
) -> LoadedPipeline:
    """The pipeline from its modules and what else lies in `folder`, which is small (of this `variant`)."""
    with gate.step("load"):
        pipe = AutoPipelineForText2Image.from_pretrained(
            folder, dtype=torch_dtype(plan), variant=variant, local_files_only=True, **modules
        )
    return lay_out(pipe, model, plan, sizes, device, gate)


def lay_out(pipe: Any, model: str, plan: MemoryPlan, sizes: ModelSizes, device: str, gate: StepGate) -> LoadedPipeline:
    """Moves each component of a pipeline to where the plan says, one a step."""
    swapped: dict[nn.Module, HostWeights] = {}
    target = torch.device(device)
    for name, module in pipe.components.items():
        if isinstance(module, nn.Module):
            role = component_role(name, type(module).__module__.partition(".")[0])
            with gate.step("load"):
                _place(module, role, plan, target, swapped)
    pipe.set_progress_bar_config(disable=True)
    cache = EmbeddingCache() if plan.text_encoders_offloaded else None
    return LoadedPipeline(pipe, model, plan, sizes, swapped, cache)


def torch_dtype(plan: MemoryPlan) -> torch.dtype:
    return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[plan.dtype]


def _place(
    module: Any, role: Role, plan: MemoryPlan, device: torch.device, swapped: dict[nn.Module, HostWeights]
) -> None:
    if role == "text encoder" and plan.text_encoders == "swapped":
        swapped[module] = HostWeights([module], device)
        return
    if role == "text encoder" and plan.text_encoders == "streamed":
        stream_weights(module, device)
        return
    if role == "vae" and plan.vae_tiled:
        set_tiling(module, plan.vae_tile_px)
    _move(module, role, plan, device)


def _move(module: Any, role: Role, plan: MemoryPlan, device: torch.device) -> None:
    """To the device in the format in which the weights stay there, so that it never has to hold a larger one."""
    if role == "denoiser" and plan.float8_weights and not _is_stored_as(module, STORAGE):
        module.enable_layerwise_casting(storage_dtype=STORAGE, compute_dtype=torch_dtype(plan))
    module.to(device)


def _is_stored_as(module: nn.Module, dtype: torch.dtype) -> bool:
    return any(weight.dtype == dtype for weight in module.parameters())
