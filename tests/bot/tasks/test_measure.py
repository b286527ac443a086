"""What a pipeline needs: measured through a meter, or estimated and said to be so."""

import pytest
import tiny_pipelines
import torch
from tiny_pipelines import call_arguments

from tilestep.bot.gpu.gate import RecordingGate
from tilestep.bot.tasks.arguments import picture_count
from tilestep.bot.tasks.measure import PeakGate, component_bytes, measure_need, sizes_of


class Account:
    """A device whose allocations are written down by hand."""

    def __init__(self) -> None:
        self.allocated = 1000
        self.highest = 1000

    def use(self, more: int, keep: int = 0) -> None:
        self.highest = max(self.highest, self.allocated + more)
        self.allocated += keep

    def now(self) -> int:
        return self.allocated

    def reset_peak(self) -> None:
        self.highest = self.allocated

    def peak(self) -> int:
        return self.highest


def test_a_phase_needs_its_highest_step_and_what_is_kept_between_steps_is_apart() -> None:
    account = Account()
    gate = PeakGate(RecordingGate(), account)
    with gate.step("encode"):
        account.use(50, keep=5)
    with gate.step("denoise"):
        account.use(200, keep=10)
    with gate.step("denoise"):
        account.use(100)
    assert gate.peaks == {"encode": 50, "denoise": 200}
    assert gate.held == 15


def test_a_failed_step_tells_nothing() -> None:
    gate = PeakGate(RecordingGate(), Account())
    with pytest.raises(ValueError, match="lost"), gate.step("encode"):
        raise ValueError("lost")
    assert gate.peaks == {}


def test_without_cuda_the_need_is_estimated_from_the_sizes_and_says_so() -> None:
    pipe = tiny_pipelines.stable_diffusion_3()
    report = measure_need(pipe)
    assert not report.measured
    assert "estimated" in report.describe()
    assert report.need.resident_bytes == sum(report.components.values())
    assert set(report.need.phase_peaks) == {"encode", "denoise", "decode"}
    assert all(peak > 0 for peak in report.need.phase_peaks.values())
    larger = measure_need(pipe, call_arguments("stable diffusion 3", width=256, height=256))
    assert larger.need.peak_bytes > report.need.peak_bytes


def decoding_bytes(pipe, **arguments) -> int:
    return measure_need(pipe, arguments).need.phase_peaks["decode"]


def test_a_vae_that_tiles_is_counted_with_its_own_tiles() -> None:
    pipe = tiny_pipelines.stable_diffusion()
    size = {"width": 64, "height": 64}
    whole = decoding_bytes(pipe, **size)
    pipe.vae.enable_tiling()
    tiled = decoding_bytes(pipe, **size)
    assert tiled < whole
    pipe.vae.tile_sample_min_size = 1024
    assert decoding_bytes(pipe, **size) == whole
    pipe.vae.tile_sample_min_size, pipe.vae.tile_sample_min_height, pipe.vae.tile_sample_min_width = None, 16, 12
    assert decoding_bytes(pipe, **size) == tiled


def test_pictures_are_counted_by_prompts_and_pictures_of_each() -> None:
    pipe = tiny_pipelines.stable_diffusion()
    two_of_each = {"prompt": ["a fox", "the sea"], "num_images_per_prompt": 2}
    assert [picture_count(arguments) for arguments in ({}, {"prompt": "a fox"}, two_of_each)] == [1, 1, 4]
    assert picture_count({"prompt_embeds": torch.zeros(3, 16, 8)}) == 3
    assert decoding_bytes(pipe, **two_of_each) == 4 * decoding_bytes(pipe)
    pipe.vae.enable_slicing()
    assert decoding_bytes(pipe, **two_of_each) < 4 * decoding_bytes(pipe)


def test_sizes_are_read_off_the_modules() -> None:
    pipe = tiny_pipelines.stable_diffusion_xl()
    sizes = sizes_of(pipe)
    assert sizes.denoiser == sum(tensor.numel() for tensor in pipe.unet.parameters())
    assert sizes.text_encoders * 4 == sum(
        size for name, size in component_bytes(pipe).items() if name.startswith("text_encoder")
    )
    assert not sizes.transformer
    assert sizes.vae_upcast
    assert (sizes.width_px, sizes.height_px) == (32, 32)
