"""A download from the hub is given up when its job is cancelled, whatever is still to come."""

import threading

import pytest
import tiny_pipelines
from small_hub import Hub, small_hub

from tilestep.bot.gpu.gate import RecordingGate, TaskCancelled
from tilestep.bot.tasks.download import log_bar, while_wanted
from tilestep.bot.tasks.loading import load_text_to_image

GIB = 2**30


@pytest.fixture(autouse=True)
def looking_often(monkeypatch) -> None:
    monkeypatch.setattr("tilestep.bot.tasks.download.LOOK_EVERY_S", 0.01)


def fetchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("fetch")]


def test_a_cancelled_download_is_not_waited_for_and_stops_at_the_next_bytes(tmp_path) -> None:
    tiny_pipelines.stable_diffusion().save_pretrained(tmp_path / "model")
    gate, rest = RecordingGate(), threading.Event()
    hub = Hub({"org/tiny": tmp_path / "model"}, stalling=lambda: (gate.cancel(), rest.wait(20)))
    with small_hub(hub):
        with pytest.raises(TaskCancelled):
            load_text_to_image("org/tiny", "cpu", GIB, gate=gate, endpoint=hub.endpoint, cache_dir=tmp_path / "cache")
        assert not rest.is_set()
        rest.set()
        for thread in fetchers():
            thread.join()
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_download_that_is_wanted_gives_what_it_found() -> None:
    gate, looked = RecordingGate(), threading.Event()

    def download(unwanted: threading.Event) -> str:
        assert looked.wait(20)
        return "folder"

    class Looking(RecordingGate):
        def step(self, phase):
            looked.set()
            return gate.step(phase)

    assert while_wanted(Looking(), download) == "folder"
    assert set(gate.phases) == {"load"}


def test_what_goes_wrong_in_a_download_is_raised() -> None:
    def download(unwanted: threading.Event) -> str:
        raise TimeoutError("no answer")

    with pytest.raises(TimeoutError, match="no answer"):
        while_wanted(RecordingGate(), download)


def test_the_bar_stops_whoever_brings_bytes_that_nobody_wants() -> None:
    unwanted = threading.Event()
    with log_bar("org/tiny", unwanted)(total=10, unit="B") as bar:
        bar.update(5)
        unwanted.set()
        with pytest.raises(TaskCancelled):
            bar.update(5)
