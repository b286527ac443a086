"""On a GPU the time of a step is that of its own work."""

import pytest
import torch

from tilestep.upscaler.runner import Stopwatch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]
CUDA = torch.device("cuda")


def queue_work() -> None:
    square = torch.zeros(4096, 4096, device=CUDA)
    for _ in range(100):
        square = square @ square


def test_what_others_have_queued_is_over_when_the_measurement_starts() -> None:
    queue_work()
    Stopwatch(CUDA)
    assert torch.cuda.current_stream(CUDA).query()


def test_what_a_step_has_queued_is_over_when_the_measurement_stops() -> None:
    stopwatch = Stopwatch(CUDA)
    queue_work()
    stopwatch.stop()
    assert torch.cuda.current_stream(CUDA).query()
