"""Which device is opened, and words for one that is not there."""

import pytest
import torch

from tilestep.bot.gpu.device import open_device
from tilestep.bot.gpu.errors import NoSuchDevice

without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA card here")


@pytest.mark.parametrize("name", ["gpu", "mps", "cuda:", "cuda:x", "CUDA", "cpu:0", "", "cuda:-1"])
def test_a_name_that_means_nothing_is_refused_with_those_that_do(name):
    with pytest.raises(NoSuchDevice, match="give auto, cpu, cuda, or cuda:1"):
        open_device(name, None, 0)


@without_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_a_card_that_is_insisted_on_and_not_there_is_named_with_the_reason(name):
    with pytest.raises(NoSuchDevice, match=rf"{name}, but this torch (sees no card|was built without CUDA)"):
        open_device(name, None, 0)


@without_cuda
@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_without_a_card_the_processor_has_the_budget_that_was_given(name):
    device = open_device(name, 123, 0)
    assert (device.name, device.budget_bytes) == ("cpu", 123)


@pytest.mark.gpu
def test_a_card_beyond_the_last_is_named():
    with pytest.raises(NoSuchDevice, match="the first is cuda:0"):
        open_device(f"cuda:{torch.cuda.device_count()}", None, 0)
