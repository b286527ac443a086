"""Training: what is refused before hours are spent on it, each in one line, and how it is ended from outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tilestep.upscaler.cli.main import main
from tilestep.upscaler.errors import CheckpointError, OptionError
from tilestep.upscaler.model.descriptor import ModelDescriptor
from tilestep.upscaler.model.network import NetworkConfig
from tilestep.upscaler.training.calibration import TileStudy
from tilestep.upscaler.training.cli import RATE_HELP
from tilestep.upscaler.training.crops import load_pictures
from tilestep.upscaler.training.loop import Trainer
from tilestep.upscaler.training.settings import PEAK_RATES, TrainSettings, load_extra_loss
from tilestep.upscaler.training.state import read_state

TINY = NetworkConfig(width=8, shallow_blocks=1, deep_blocks=1, denoiser_width=8, outer_blocks=1, inner_blocks=1)
BACKGROUND_LOSS = """
calls = []
def told(prediction, target):
    calls.append(1)
    if len(calls) == 3:
        print("under way", flush=True)
    return (prediction - target).abs().mean()
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 96, 80, 3), dtype=np.uint8)
    for i in range(2):
        Image.fromarray(pixels[i]).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def settings(data: Path, tmp_path: Path) -> TrainSettings:
    out, stages = tmp_path / "run", ("deep",)
    return TrainSettings(
        data, out, steps=2, batch_size=2, low_px=16, workers=0, device="cpu", network=TINY, stages=stages
    )


@pytest.fixture
def losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


class ImpatientTrainer(Trainer):
    """Somebody presses Ctrl-C twice in the second step, when the first of the optimisers has changed its weights."""

    def _take_step(self, done_share: float) -> None:
        if self.state.progress.step == 1:
            self.state.optimizers[0].register_step_post_hook(_press_twice)
        super()._take_step(done_share)


def _press_twice(*_: Any) -> None:
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


class TestFolderOfAnEarlierRun:
    def test_is_not_trained_into_again(self, settings: TrainSettings) -> None:
        Trainer(settings).run()
        before = {path.name: path.read_bytes() for path in settings.out.iterdir()}
        with pytest.raises(OptionError, match=r"state\.pt is of an earlier run: --resume goes on with it"):
            Trainer(settings)
        assert {path.name: path.read_bytes() for path in settings.out.iterdir()} == before

    def test_that_saved_nothing_gets_curves_of_its_own(self, settings: TrainSettings) -> None:
        settings.out.mkdir()
        (settings.out / "curves.csv").write_text("minutes,stage,step,kind,name,value\n9,deep,9,loss,deep,9\n")
        Trainer(settings)
        assert len((settings.out / "curves.csv").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--workers", "-1"),
        ("--seed", "-1"),
        ("--seed", str(10**20)),
        ("--steps", "0"),
        ("--batch-size", "0"),
        ("--crop", "17"),
        ("--minutes", "nan"),
        ("--minutes", "inf"),
        ("--learning-rate", "0"),
        ("--learning-rate", "-1"),
        ("--learning-rate", "nan"),
        ("--extra-weight", "-1"),
        ("--extra-weight", "nan"),
        ("--validate-minutes", "0"),
        ("--validate-minutes", "-1"),
    ],
)
def test_an_option_that_makes_no_sense_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    assert main(["train", "--data", str(tmp_path), "--out", str(tmp_path / "run"), option, value]) == 2
    assert re.fullmatch(rf"tilestep train: {option} must be .*\n", capsys.readouterr().err)
    assert not (tmp_path / "run").exists()


def test_an_extra_loss_may_count_nothing(settings: TrainSettings) -> None:
    assert replace(settings, extra_weight=0.0).extra_weight == 0


def test_the_help_names_the_learning_rates_that_are_used() -> None:
    assert re.findall(r"(\w+) ([\d.]+)", RATE_HELP) == [(stage, str(rate)) for stage, rate in PEAK_RATES.items()]


class TestExtraLoss:
    @pytest.mark.parametrize(
        ("code", "words"),
        [
            ("def loss(a, b:", "cannot be loaded"),
            ("class loss:\n    def __init__(self):\n        1 / 0", "cannot be loaded .division by zero."),
            ("loss = 3.14", "not a function"),
            ("def loss(a):\n    return a.mean()", "fails when it is tried"),
            ("def loss(a, b):\n    return a - b", r"of shape \(1, 3, 64, 64\) for one picture"),
            ("def loss(a, b):\n    return 0.5", "a float for one picture"),
        ],
    )
    def test_of_no_use_is_refused_when_it_is_loaded(self, losses: Path, code: str, words: str) -> None:
        name = f"loss_{abs(hash(code))}"
        (losses / f"{name}.py").write_text(code)
        with pytest.raises(OptionError, match=words):
            load_extra_loss(f"{name}:loss")

    def test_is_tried_at_the_size_of_the_crops(self, losses: Path) -> None:
        code = "def loss(a, b):\n    assert a.shape == (1, 3, 96, 96)\n    return (a - b).square().mean((1, 2, 3))"
        (losses / "loss_of_size.py").write_text(code)
        assert load_extra_loss("loss_of_size:loss", side_px=96)

    def test_of_one_number_a_batch_is_a_measure_for_calibration_too(self) -> None:
        truth = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        paths = {n: truth[None].expand(max(n, 1), -1, -1, -1, -1) * (0.5 + n / 2) for n in (0, 1)}
        mean, each = (
            TileStudy(truth[:, 0, 0, 0], truth, paths, m) for m in (_mean, lambda a, b: _mean(a, b, (1, 2, 3)))
        )
        assert torch.allclose(mean.distance(0), each.distance(0))


class TestWeightsOfAnotherProgram:
    @pytest.mark.parametrize("state", [{"step": 3}, {"network_config": {"layers": 3}}, [1, 2]])
    def test_are_not_gone_on_with(self, settings: TrainSettings, state: object) -> None:
        settings.out.mkdir()
        torch.save(state, settings.out / "state.pt")
        with pytest.raises(CheckpointError, match=r"state\.pt is no state of this `tilestep train`"):
            Trainer(replace(settings, resume=True))

    def test_are_no_start(self, settings: TrainSettings, tmp_path: Path) -> None:
        path = tmp_path / "other.safetensors"
        save_file({"layer": torch.zeros(3)}, path, metadata=ModelDescriptor(network=TINY).to_metadata())
        with pytest.raises(CheckpointError, match="does not fit its own description"):
            Trainer(replace(settings, start_from=path))


class TestPictures:
    def test_that_break_the_decoder_are_left_out(self, data: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
        Image.fromarray(noise).save(data / "broken.png")
        whole = (data / "broken.png").read_bytes()
        second = whole.rindex(b"IDAT")
        (data / "broken.png").write_bytes(whole[:second] + bytes(4) + whole[second + 4 :])  # Pillow: SyntaxError
        found = load_pictures(data, 64)
        assert len(found.items) == 2
        assert found.skipped[0].startswith("broken.png: ")

    def test_are_turned_as_their_camera_was(self, data: Path) -> None:
        with Image.open(data / "0.png") as picture:
            exif = picture.getexif()
            exif[0x0112] = 6
            picture.save(data / "1.png", exif=exif)
        straight, turned = load_pictures(data, 64).items
        assert np.array_equal(turned, np.rot90(straight, -1))


class TestInterruption:
    def test_asked_for_twice_leaves_the_state_that_was_whole(self, settings: TrainSettings) -> None:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
        trainer = ImpatientTrainer(settings)
        trainer.save()
        saved = (settings.out / "state.pt").read_bytes()
        with pytest.raises(KeyboardInterrupt):
            trainer.run()
        assert (settings.out / "state.pt").read_bytes() == saved
        assert signal.signal(signal.SIGINT, before) == signal.default_int_handler

    def test_before_anything_was_saved_says_so(
        self, settings: TrainSettings, losses: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (losses / "loss_that_stops.py").write_text(
            "import signal\ndef loss(a, b):\n    signal.raise_signal(signal.SIGTERM)\n    return a.mean()"
        )
        options = ["--data", str(settings.data), "--out", str(settings.out), "--extra-loss", "loss_that_stops:loss"]
        assert main(["train", "--device", "cpu", *options]) == 130
        assert capsys.readouterr().out == "stopped; nothing is saved\n"

    @pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs groups of processes")
    def test_of_a_job_in_the_background_with_its_workers_saves_the_state(
        self, settings: TrainSettings, losses: Path
    ) -> None:
        (losses / "told_loss.py").write_text(BACKGROUND_LOSS)
        options = ["--data", str(settings.data), "--out", str(settings.out), "--extra-loss", "told_loss:told"]
        options += ["--stages", "denoiser", "--crop", "16", "--batch-size", "2", "--workers", "1", "--device", "cpu"]
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        process = subprocess.Popen(
            [sys.executable, "-m", "tilestep.upscaler", "train", *options],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(losses), *sys.path])},
        )
        signal.signal(signal.SIGINT, before)
        assert process.stdout is not None
        assert "under way\n" in iter(process.stdout.readline, "")
        os.killpg(process.pid, signal.SIGTERM)
        output, _ = process.communicate(timeout=100)
        assert process.returncode == 130
        assert output.endswith(f"stopped; the state is in {settings.out}: go on with --resume\n")
        progress = read_state(settings.out / "state.pt")["progress"]
        assert progress["samples"] == 2 * progress["step"] > 0


def _mean(a: torch.Tensor, b: torch.Tensor, dims: tuple[int, ...] = (0, 1, 2, 3)) -> torch.Tensor:
    return (a - b).abs().mean(dims)
