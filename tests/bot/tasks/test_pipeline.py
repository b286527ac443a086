"""Any pipeline as a row of steps: the same picture, every operation inside a step, nothing shared but the weights."""

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby

import numpy as np
import pytest
import tiny_pipelines
import torch
from diffusers import HeunDiscreteScheduler, StableDiffusionPipeline
from tiny_pipelines import FAMILIES, call_arguments
from torch.utils._python_dispatch import TorchDispatchMode

from tilestep.bot.gpu.gate import RecordingGate, TaskCancelled
from tilestep.bot.tasks.errors import ModelError
from tilestep.bot.tasks.pipeline import run_pipeline

SEED = 7
STEPS = 3
TILES = 9


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    """A pipeline whose VAE decodes in tiles, the arguments of a call, and the picture that it makes alone."""
    pipe = FAMILIES[request.param]()
    pipe.vae.enable_tiling()
    arguments = call_arguments(request.param, STEPS)
    return pipe, arguments, alone(pipe, arguments)


@pytest.fixture(scope="module")
def stable_diffusion():
    return FAMILIES["stable diffusion"]()


def alone(pipe, arguments, seed: int = SEED) -> np.ndarray:
    generator = torch.Generator("cpu").manual_seed(seed)
    return np.array(pipe(**arguments, generator=generator).images[0])


def ours(pipe, arguments, gate=None, seed: int = SEED, **options) -> np.ndarray:
    return np.array(run_pipeline(pipe, gate or RecordingGate(), arguments, seed, **options)[0])


class OutsideWatch(TorchDispatchMode):
    """Notes tensor operations of this thread that happen outside the steps of a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = False
        self.outside: list[str] = []
        self.operations = 0

    @contextmanager
    def step(self, phase) -> Iterator[None]:
        self.inside = True
        yield
        self.inside = False

    def progress(self, done, total, phase) -> None:
        """Not watched."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.operations += 1
        if not self.inside:
            self.outside.append(str(function))
        return function(*args, **(kwargs or {}))


def test_the_picture_is_the_one_that_the_pipeline_makes_alone(family) -> None:
    pipe, arguments, picture = family
    assert np.array_equal(ours(pipe, arguments), picture)


def test_the_steps_are_encodings_then_denoising_steps_then_tiles(family) -> None:
    pipe, arguments, _ = family
    gate = RecordingGate()
    ours(pipe, arguments, gate)
    runs = [(phase, len(list(group))) for phase, group in groupby(gate.phases)]
    assert [phase for phase, _ in runs] == ["encode", "denoise", "decode"]
    assert runs[0][1] >= 2
    assert runs[1][1] == STEPS
    assert runs[2][1] == TILES


def test_no_tensor_is_touched_outside_a_step(family) -> None:
    pipe, arguments, _ = family
    watch = OutsideWatch()
    with watch:
        run_pipeline(pipe, watch, arguments, SEED)
    assert watch.operations > 100
    assert watch.outside == []


def test_progress_counts_the_denoising_steps_and_the_tiles(family) -> None:
    pipe, arguments, _ = family
    gate = RecordingGate()
    ours(pipe, arguments, gate)
    denoised = [(report.done, report.total) for report in gate.reports if report.phase == "denoise"]
    decoded = [(report.done, report.total) for report in gate.reports if report.phase == "decode"]
    assert denoised == [(done + 1, STEPS) for done in range(STEPS)]
    assert decoded == [(done, TILES) for done in range(TILES + 1)]


def test_the_pipeline_is_as_it_was(family) -> None:
    pipe, arguments, picture = family
    state = {name: id(value) for name, value in vars(pipe).items()}
    sampler = dict(vars(pipe.scheduler))
    modules = {name: dict(vars(module)) for name, module in modules_of(pipe)}
    ours(pipe, arguments)
    assert {name: id(value) for name, value in vars(pipe).items()} == state
    assert vars(pipe.scheduler).keys() == sampler.keys()
    assert all(vars(pipe.scheduler)[name] is value for name, value in sampler.items())
    assert {name: dict(vars(module)) for name, module in modules_of(pipe)} == modules
    assert np.array_equal(alone(pipe, arguments), picture)


def modules_of(pipe) -> list[tuple[str, torch.nn.Module]]:
    return [(name, part) for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)]


@pytest.mark.parametrize("granted", [0, 3, 8])
def test_a_cancelled_request_stops_within_a_step_and_leaves_the_pipeline_usable(family, granted) -> None:
    pipe, arguments, picture = family
    gate = RecordingGate(cancel_after=granted)
    with pytest.raises(TaskCancelled):
        ours(pipe, arguments, gate)
    assert len(gate.phases) == granted
    assert np.array_equal(ours(pipe, arguments), picture)


def test_without_tiling_the_picture_is_decoded_in_one_step(stable_diffusion) -> None:
    gate = RecordingGate()
    arguments = call_arguments("stable diffusion", STEPS)
    assert np.array_equal(ours(stable_diffusion, arguments, gate), alone(stable_diffusion, arguments))
    assert gate.phases.count("decode") == 1


def test_a_request_can_ask_for_tiles_that_the_pipeline_does_not_use(stable_diffusion) -> None:
    arguments = call_arguments("stable diffusion", STEPS)
    gate = RecordingGate()
    tiled = ours(stable_diffusion, arguments, gate, vae_tile_px=16)
    assert gate.phases.count("decode") == TILES
    assert not stable_diffusion.vae.use_tiling
    stable_diffusion.vae.enable_tiling()
    expected = alone(stable_diffusion, arguments)
    stable_diffusion.vae.disable_tiling()
    assert np.array_equal(tiled, expected)


def test_several_pictures_are_decoded_one_by_one_when_the_vae_slices(stable_diffusion) -> None:
    arguments = call_arguments("stable diffusion", STEPS, num_images_per_prompt=2)
    stable_diffusion.vae.enable_slicing()
    gate = RecordingGate()
    pictures = run_pipeline(stable_diffusion, gate, arguments, SEED)
    stable_diffusion.vae.disable_slicing()
    assert len(pictures) == 2
    assert gate.phases.count("decode") == 2


def test_the_callers_own_callback_is_called_and_may_change_the_latents(stable_diffusion) -> None:
    seen = []

    def callback(pipe, step, timestep, tensors):
        seen.append(step)
        return {"latents": tensors["latents"] * 0.5}

    arguments = call_arguments("stable diffusion", STEPS, callback_on_step_end=callback)
    expected = alone(stable_diffusion, arguments)
    assert np.array_equal(ours(stable_diffusion, arguments), expected)
    assert seen == [*range(STEPS)] * 2


def test_the_callers_own_callback_of_the_old_kind_keeps_its_interval() -> None:
    pipe = tiny_pipelines.pixart()
    seen = []

    def callback(step, timestep, latents):
        seen.append(step)

    gate = RecordingGate()
    ours(pipe, call_arguments("pixart", 4, callback=callback, callback_steps=2), gate)
    assert seen == [0, 2]
    assert gate.phases.count("denoise") == 4


def test_a_sampler_of_second_order_has_a_step_for_each_callback() -> None:
    pipe = tiny_pipelines.pixart()
    pipe.scheduler = HeunDiscreteScheduler()
    arguments = call_arguments("pixart", STEPS)
    gate = RecordingGate()
    assert np.array_equal(ours(pipe, arguments, gate), alone(pipe, arguments))
    assert gate.phases == ["encode"] * 2 + ["denoise"] * STEPS + ["decode"]


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no room"), RuntimeError("CUDNN_STATUS_ALLOC_FAILED")])
def test_decoding_that_runs_out_of_memory_goes_on_with_smaller_tiles(stable_diffusion, tiled, error) -> None:
    vae = stable_diffusion.vae
    arguments = call_arguments("stable diffusion", STEPS)
    expected = ours(stable_diffusion, arguments, vae_tile_px=16)

    def small_memory(decoder, args) -> None:
        if args[0].shape[-1] > 8:
            raise error

    hook = vae.decoder.conv_in.register_forward_pre_hook(small_memory)
    gate = RecordingGate()
    picture = ours(stable_diffusion, arguments, gate, vae_tile_px=32 if tiled else None)
    hook.remove()
    assert np.array_equal(picture, expected)
    assert gate.phases.count("decode") == 1 + TILES
    assert not vae.use_tiling


def test_decoding_that_never_fits_fails_and_the_pipeline_goes_on(stable_diffusion) -> None:
    def no_memory(decoder, args) -> None:
        raise torch.OutOfMemoryError("no room")

    arguments = call_arguments("stable diffusion", STEPS)
    hook = stable_diffusion.vae.decoder.conv_in.register_forward_pre_hook(no_memory)
    with pytest.raises(torch.OutOfMemoryError):
        ours(stable_diffusion, arguments)
    hook.remove()
    assert np.array_equal(ours(stable_diffusion, arguments), alone(stable_diffusion, arguments))


def test_nothing_of_a_request_outlives_it(stable_diffusion) -> None:
    seen = []

    def callback(pipe, step, timestep, tensors):
        seen.extend([weakref.ref(pipe), weakref.ref(pipe.vae), weakref.ref(tensors["latents"])])
        return tensors

    gc.disable()
    try:
        ours(stable_diffusion, call_arguments("stable diffusion", STEPS, callback_on_step_end=callback))
        assert [ref() for ref in seen] == [None] * 3 * STEPS
    finally:
        gc.enable()


class WithoutCallback(StableDiffusionPipeline):
    """A pipeline that calls nobody back."""

    def __call__(self, prompt, width, height, num_inference_steps, generator=None, output_type="pil", return_dict=True):
        return super().__call__(
            prompt,
            width=width,
            height=height,
            num_inference_steps=num_inference_steps,
            generator=generator,
            output_type=output_type,
            return_dict=return_dict,
        )


def test_a_pipeline_without_any_callback_is_cut_at_its_samplers_steps(stable_diffusion) -> None:
    pipe = WithoutCallback(**stable_diffusion.components, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    arguments = call_arguments("stable diffusion", STEPS)
    gate = RecordingGate()
    assert np.array_equal(ours(pipe, arguments, gate), alone(stable_diffusion, arguments))
    assert gate.phases == ["encode"] * 2 + ["denoise"] * STEPS + ["decode"]


def test_a_pipeline_inside_a_pipeline_is_cut_too(stable_diffusion) -> None:
    class Combined(WithoutCallback):
        def __call__(self, **arguments):
            return self.inner(**arguments)

    pipe = Combined(**stable_diffusion.components, requires_safety_checker=False)
    pipe.__dict__["inner"] = stable_diffusion
    arguments = call_arguments("stable diffusion", STEPS)
    gate = RecordingGate()
    assert np.array_equal(ours(pipe, arguments, gate), alone(stable_diffusion, arguments))
    assert gate.phases == ["encode"] * 2 + ["denoise"] * STEPS + ["decode"]


def test_an_error_in_the_pipeline_gives_the_device_back_and_is_passed_on(stable_diffusion) -> None:
    gate = RecordingGate()
    with pytest.raises(ValueError, match="divisible by 8"):
        ours(stable_diffusion, {**call_arguments("stable diffusion"), "width": 33}, gate)
    assert gate.phases == ["encode"]
    with gate.step("tiles"):
        assert gate.phases == ["encode"]


def test_a_pipeline_that_offloads_its_own_models_is_refused(stable_diffusion) -> None:
    stable_diffusion._all_hooks = ["a hook"]
    with pytest.raises(ModelError, match="enable_model_cpu_offload"):
        ours(stable_diffusion, call_arguments("stable diffusion"))
    del stable_diffusion._all_hooks


def test_a_pipeline_that_makes_no_pictures_is_refused(stable_diffusion) -> None:
    class Silent(WithoutCallback):
        def __call__(self, **arguments):
            return object()

    with pytest.raises(ModelError, match="makes no pictures"):
        ours(Silent(**stable_diffusion.components, requires_safety_checker=False), call_arguments("stable diffusion"))
