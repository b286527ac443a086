"""The same on a real device: where weights lie, and what is measured. Run wherever there is CUDA."""

import numpy as np
import pytest
import tiny_pipelines
import torch
from diffusers import PixArtTransformer2DModel
from tiny_pipelines import FAMILIES, call_arguments

from tilestep.bot.gpu.gate import RecordingGate
from tilestep.bot.tasks.assemble import lay_out, load_component
from tilestep.bot.tasks.measure import measure_need, return_memory, sizes_of
from tilestep.bot.tasks.memory import MemoryPlan
from tilestep.bot.tasks.pipeline import run_pipeline

pytestmark = pytest.mark.gpu

CUDA = "cuda"


def picture(pipe, family: str, gate=None) -> np.ndarray:
    return np.array(run_pipeline(pipe, gate or RecordingGate(), call_arguments(family, 3), 7)[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_picture_is_the_one_that_the_pipeline_makes_alone(family) -> None:
    pipe = FAMILIES[family]().to(CUDA)
    pipe.vae.enable_tiling()
    generator = torch.Generator("cpu").manual_seed(7)
    expected = np.array(pipe(**call_arguments(family, 3), generator=generator).images[0])
    assert np.array_equal(picture(pipe, family), expected)


@pytest.mark.parametrize("placement", ["resident", "swapped", "streamed"])
def test_text_encoders_are_on_the_device_only_while_they_are_used(placement) -> None:
    pipe = tiny_pipelines.stable_diffusion_3()
    plan = MemoryPlan("float32", placement)
    loaded = lay_out(pipe, "tiny", plan, sizes_of(pipe), CUDA, RecordingGate())
    expected_place = "cuda" if placement == "resident" else "cpu"
    for _ in range(2):
        assert picture(loaded, "stable diffusion 3").std() > 0
        assert {tensor.device.type for tensor in pipe.text_encoder_3.parameters()} == {expected_place}
        assert {tensor.device.type for tensor in pipe.transformer.parameters()} == {"cuda"}


def test_the_need_is_measured_phase_by_phase() -> None:
    pipe = tiny_pipelines.stable_diffusion().to(CUDA)
    report = measure_need(pipe, call_arguments("stable diffusion", 2))
    assert report.measured
    assert report.need.resident_bytes == sum(report.components.values())
    assert {"encode", "denoise", "decode"} == set(report.need.phase_peaks)
    assert all(peak > 0 for peak in report.need.phase_peaks.values())


@pytest.mark.parametrize("family", ["stable diffusion xl", "pixart"])
def test_half_precision_and_8_bit_weights_make_pictures(family) -> None:
    pipe = FAMILIES[family]().to(torch.bfloat16)
    plan = MemoryPlan("bfloat16", "swapped", float8_weights=True)
    loaded = lay_out(pipe, "tiny", plan, sizes_of(pipe), CUDA, RecordingGate())
    assert picture(loaded, family).std() > 0


def test_the_float32_copy_that_requests_decode_with_is_measured_among_the_weights() -> None:
    pipe = tiny_pipelines.stable_diffusion_xl().to(CUDA, torch.float16)
    report = measure_need(pipe, call_arguments("stable diffusion xl", 2))
    copy_bytes = 4 * sum(weight.numel() for weight in pipe.vae.parameters())
    assert report.need.resident_bytes == sum(report.components.values()) + copy_bytes


def test_a_model_stored_in_8_bits_never_takes_16_of_the_card(tmp_path) -> None:
    PixArtTransformer2DModel(num_layers=4).save_pretrained(tmp_path / "transformer")
    plan = MemoryPlan("bfloat16", float8_weights=True)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before_bytes = torch.cuda.memory_allocated()
    kind = ("diffusers", "PixArtTransformer2DModel")
    module = load_component(tmp_path, "transformer", kind, plan, None, CUDA)
    taken_bytes = torch.cuda.max_memory_allocated() - before_bytes
    assert taken_bytes < 1.5 * sum(weight.numel() for weight in module.parameters())


def test_page_locked_memory_goes_back_to_the_machine_with_the_device_memory() -> None:
    pipe = tiny_pipelines.stable_diffusion_3()
    loaded = lay_out(pipe, "tiny", MemoryPlan("float32", "swapped"), sizes_of(pipe), CUDA, RecordingGate())
    owned_bytes = torch.cuda.host_memory_stats()["allocated_bytes.current"]
    del pipe, loaded
    return_memory(RecordingGate())
    assert torch.cuda.host_memory_stats()["allocated_bytes.current"] < owned_bytes
