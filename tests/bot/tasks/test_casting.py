"""Copies of a module in another number format: one for all who use it, and a way on where there is no room for one."""

import weakref

import numpy as np
import pytest
import tiny_pipelines
import torch
from tiny_pipelines import call_arguments
from torch import nn

from tilestep.bot.gpu.gate import RecordingGate
from tilestep.bot.tasks.casting import cast_copy, decoding_copy
from tilestep.bot.tasks.pipeline import run_pipeline

CPU = torch.device("cpu")
FAMILY = "stable diffusion xl"


@pytest.fixture
def pipe():
    pipe = tiny_pipelines.stable_diffusion_xl().to(torch.float16)
    pipe.vae.enable_tiling()
    return pipe


class Reluctant(nn.Parameter):
    """A weight for which there is no memory the first time that it is asked for elsewhere."""

    asked = 0

    def to(self, *args, **kwargs):
        Reluctant.asked += 1
        if Reluctant.asked == 1:
            raise torch.OutOfMemoryError("no room")
        return self.data.to(*args, **kwargs)


def test_the_copy_is_the_same_for_all_and_gone_with_the_last_of_them(pipe) -> None:
    one, two = (cast_copy(pipe.vae, CPU, torch.float32) for _ in range(2))
    assert one is two
    assert {weight.dtype for weight in one.parameters()} == {torch.float32}
    assert {weight.dtype for weight in pipe.vae.parameters()} == {torch.float16}
    alive = weakref.ref(one)
    del one
    assert alive() is two
    del two
    assert alive() is None


def test_without_room_for_the_copy_its_layers_come_in_one_by_one(pipe) -> None:
    arguments = call_arguments(FAMILY, 2)
    expected = np.array(run_pipeline(pipe, RecordingGate(), arguments, 1)[0])
    Reluctant.asked = 0
    pipe.vae.decoder.conv_in.weight = Reluctant(pipe.vae.decoder.conv_in.weight.data, requires_grad=False)
    picture = np.array(run_pipeline(pipe, RecordingGate(), arguments, 1)[0])
    assert Reluctant.asked > 1
    assert np.array_equal(picture, expected)


def test_only_a_vae_that_is_cast_has_a_copy_to_decode_with(pipe) -> None:
    assert decoding_copy(pipe).dtype == torch.float32
    assert decoding_copy(pipe.to(torch.float32)) is None
    assert decoding_copy(tiny_pipelines.stable_diffusion().to(torch.float16)) is None
