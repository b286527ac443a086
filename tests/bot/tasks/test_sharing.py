"""Two requests at once on one pipeline: they share weights and nothing else."""

import gc

import numpy as np
import pytest
import tiny_pipelines
import torch
from alternation import together
from tiny_pipelines import FAMILIES, call_arguments
from torch import nn

from tilestep.bot.gpu.gate import RecordingGate, TaskCancelled
from tilestep.bot.tasks.loaded import LoadedPipeline
from tilestep.bot.tasks.pipeline import run_pipeline
from tilestep.bot.tasks.placement import HostWeights


def float32_copies(pipe) -> int:
    """How many weights like the first of the VAE's decoder there are in float32, those of other tests too."""
    shape = pipe.vae.decoder.conv_in.weight.shape
    alive = [value for value in gc.get_objects() if type(value) is nn.Parameter]
    return sum(value.shape == shape and value.dtype == torch.float32 for value in alive)


@pytest.mark.parametrize("family", FAMILIES)
def test_two_requests_that_alternate_get_the_pictures_that_they_get_alone(family) -> None:
    pipe = FAMILIES[family]()
    pipe.vae.enable_tiling()
    requests = [(call_arguments(family, 3), 1), (call_arguments(family, 4, prompt="blue sea"), 2)]
    expected = [np.array(run_pipeline(pipe, RecordingGate(), *request)[0]) for request in requests]
    pictures, log = together(pipe, requests)
    assert all(np.array_equal(got, wanted) for got, wanted in zip(pictures, expected, strict=True))
    assert [name for name, _ in log[:8]] == list("abababab")


def test_a_vae_that_is_cast_in_the_middle_of_a_run_stays_the_others_as_it_was() -> None:
    pipe = tiny_pipelines.stable_diffusion_xl().to(torch.float16)
    pipe.vae.enable_tiling()
    requests = [(call_arguments("stable diffusion xl", 2), 1), (call_arguments("stable diffusion xl", 4), 2)]
    expected = [
        np.array(pipe(**arguments, generator=torch.Generator().manual_seed(seed)).images[0])
        for arguments, seed in requests
    ]
    weights = pipe.vae.decoder.conv_in.weight
    pictures, _ = together(pipe, requests)
    assert pipe.vae.decoder.conv_in.weight is weights
    assert weights.dtype == torch.float16
    assert all(np.array_equal(got, wanted) for got, wanted in zip(pictures, expected, strict=True))


def test_requests_that_decode_at_the_same_time_share_one_float32_vae() -> None:
    pipe = tiny_pipelines.stable_diffusion_xl().to(torch.float16)
    pipe.vae.enable_tiling()
    gc.collect()
    others, counts = float32_copies(pipe), []
    requests = [(call_arguments("stable diffusion xl", 2), 1), (call_arguments("stable diffusion xl", 2), 2)]
    _, log = together(pipe, requests, lambda phase: phase == "decode" and counts.append(float32_copies(pipe)))
    decoding = [name for name, phase in log if phase == "decode"]
    assert decoding[1:5] == list("baba")
    assert max(counts) == others + 1
    assert float32_copies(pipe) == others


def test_one_that_is_cancelled_does_not_disturb_the_other() -> None:
    pipe = tiny_pipelines.flux()
    request = call_arguments("flux", 3), 1
    expected = np.array(run_pipeline(pipe, RecordingGate(), *request)[0])
    gate = RecordingGate(cancel_after=4)

    def cancelled(outer, step, timestep, tensors):
        with pytest.raises(TaskCancelled):
            run_pipeline(pipe, gate, call_arguments("flux", 4), 2)
        return tensors

    arguments = {**request[0], "callback_on_step_end": cancelled}
    assert np.array_equal(np.array(run_pipeline(pipe, RecordingGate(), arguments, 1)[0]), expected)


def test_swapped_text_encoders_come_in_for_one_step_and_go_again() -> None:
    pipe = tiny_pipelines.stable_diffusion_xl()
    arguments = call_arguments("stable diffusion xl", 2, negative_prompt="dark")
    expected = np.array(run_pipeline(pipe, RecordingGate(), arguments, 1)[0])
    encoders = [pipe.text_encoder, pipe.text_encoder_2]
    swapped = {encoder: HostWeights([encoder], torch.device("cpu")) for encoder in encoders}
    gate = RecordingGate()
    picture = np.array(run_pipeline(LoadedPipeline(pipe, swapped=swapped), gate, arguments, 1)[0])
    assert gate.phases.count("encode") == 1
    assert np.array_equal(picture, expected)
