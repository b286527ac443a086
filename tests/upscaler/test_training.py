"""Training: what a run leaves behind, that it learns, and that a resumed run is the run that never stopped."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tilestep.upscaler.cli.main import main
from tilestep.upscaler.errors import CheckpointError, InputError, OptionError
from tilestep.upscaler.model.checkpoint import load_model
from tilestep.upscaler.model.network import NetworkConfig
from tilestep.upscaler.training.crops import CropDataset, load_pictures
from tilestep.upscaler.training.loop import Trainer, learning_rate
from tilestep.upscaler.training.settings import TrainSettings
from tilestep.upscaler.training.stages import Batch
from tilestep.upscaler.training.state import read_state
from tilestep.upscaler.training.validation import psnr

TINY = NetworkConfig(width=8, shallow_blocks=1, deep_blocks=1, denoiser_width=8, outer_blocks=1, inner_blocks=1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(3):
        blocks = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((160, 144), Image.Resampling.NEAREST).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def settings(pictures: Path, tmp_path: Path) -> TrainSettings:
    return TrainSettings(
        data=pictures,
        out=tmp_path / "run",
        steps=3,
        batch_size=2,
        low_px=16,
        workers=0,
        device="cpu",
        network=TINY,
        stages=("shallow", "deep", "denoiser"),
    )


class InterruptedTrainer(Trainer):
    """Somebody presses Ctrl-C in the second step, when the first of the optimisers has changed its weights."""

    def _take_step(self, done_share: float) -> None:
        if self.state.progress.step == 1:
            self.state.optimizers[0].register_step_post_hook(lambda *_: signal.raise_signal(signal.SIGINT))
        super()._take_step(done_share)


@pytest.fixture
def foreground() -> Iterator[None]:
    """A job in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_run_leaves_a_usable_checkpoint_curves_and_samples(settings: TrainSettings) -> None:
    checkpoint = Trainer(settings).run()
    model = load_model(checkpoint)
    assert model.descriptor.network == TINY
    assert model.descriptor.trained["denoiser"]["steps"] == 3
    assert model.descriptor.prediction_type == "x0"
    for name in ("samples.png", "curves.png"):
        with Image.open(settings.out / name) as picture:
            assert min(picture.size) > 100


def test_worker_processes_end_with_the_run(settings: TrainSettings) -> None:
    Trainer(replace(settings, workers=1)).run()
    assert not multiprocessing.active_children()


def test_the_averaged_weights_are_the_ones_that_are_kept(settings: TrainSettings) -> None:
    trainer = Trainer(settings)
    model = load_model(trainer.run())
    average = trainer.state.average.denoiser.stem.weight
    assert not torch.equal(average, trainer.state.network.denoiser.stem.weight)
    assert torch.equal(model.network.denoiser.stem.weight, average.half().float())


def test_training_brings_held_out_crops_nearer_to_the_truth(settings: TrainSettings) -> None:
    trainer = Trainer(replace(settings, steps=120, batch_size=8, stages=("shallow",)))
    before = psnr(_shallow(trainer, trainer.held_out), trainer.held_out.high)
    trainer.run()
    assert psnr(_shallow(trainer, trainer.held_out), trainer.held_out.high) > before


@pytest.mark.usefixtures("foreground")
def test_a_resumed_run_is_the_run_that_never_stopped(settings: TrainSettings) -> None:
    whole = load_model(Trainer(replace(settings, out=settings.out / "whole")).run()).network.state_dict()
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            InterruptedTrainer(replace(settings, resume=(settings.out / "state.pt").exists())).run()
        assert read_state(settings.out / "state.pt")["progress"]["step"] == 2
        trainer = Trainer(replace(settings, resume=True))
        stages = [s for s in settings.stages if s not in trainer.state.progress.finished]
        trainer._run_stage(stages[0])
        trainer.save()
    resumed = load_model(settings.out / "model.safetensors").network.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_an_extra_loss_is_found_by_name_and_counts(settings: TrainSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(settings.data))
    (settings.data / "my_loss.py").write_text("def far(a, b):\n    return (a - b).abs().amax((1, 2, 3))\n")
    Trainer(replace(settings, extra_loss="my_loss:far")).run()
    assert ",4 steps extra," in (settings.out / "curves.csv").read_text()
    with pytest.raises(OptionError, match="MODULE:FUNCTION"):
        Trainer(replace(settings, extra_loss="my_loss:near"))


def test_another_checkpoint_can_be_the_start(settings: TrainSettings) -> None:
    first = Trainer(replace(settings, stages=("shallow",))).run()
    trainer = Trainer(replace(settings, out=settings.out / "second", start_from=first, stages=("denoiser",)))
    trainer.run()
    assert trainer.state.progress.totals["shallow"]["steps"] == 3


def test_what_was_trained_before_gets_a_lower_learning_rate(settings: TrainSettings) -> None:
    first = Trainer(replace(settings, stages=("shallow",)))
    checkpoint = first.run()
    assert not first.state.progress.trained
    second = Trainer(replace(settings, out=settings.out / "second", start_from=checkpoint, stages=("shallow", "deep")))
    second._run_stage("shallow")
    assert second.state.progress.trained
    second._run_stage("deep")
    assert not second.state.progress.trained
    again = Trainer(replace(settings, stages=("shallow",), resume=True))
    again._run_stage("shallow")
    assert again.state.progress.trained
    assert settings.peak_rate("shallow", trained=True) == pytest.approx(0.2 * settings.peak_rate("shallow"))
    assert replace(settings, learning_rate=0.1).peak_rate("shallow", trained=True) == 0.1


def test_what_cannot_be_trained_on_is_named(settings: TrainSettings, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match="no usable picture"):
        load_pictures(tmp_path, 64)
    with pytest.raises(InputError, match="not a folder"):
        load_pictures(tmp_path / "absent", 64)
    with pytest.raises(CheckpointError, match="nothing to resume"):
        Trainer(replace(settings, resume=True))
    with pytest.raises(OptionError, match="stage"):
        replace(settings, stages=("sharpening",))


def test_crops_depend_on_seed_and_index_alone(pictures: Path) -> None:
    items = load_pictures(pictures, 64).items
    one, other = CropDataset(items, 16, seed=1), CropDataset(items, 16, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one[5], other[5], strict=True))
    assert not torch.equal(one[5][0], CropDataset(items, 16, seed=2)[5][0])


def test_corruption_is_zero_for_clean_crops_and_within_range_for_the_rest(pictures: Path) -> None:
    crops = CropDataset(load_pictures(pictures, 64).items, 16, seed=0)
    strengths = torch.stack([crops[i][2] for i in range(150)])
    assert 0.25 < (strengths.sum(1) == 0).float().mean() < 0.6
    assert strengths.min() == 0
    assert strengths.max() <= 1
    assert (strengths[:, 0] > 0).any()
    assert (strengths[:, 1] > 0).any()


def test_the_learning_rate_warms_up_stays_and_falls_to_zero() -> None:
    rates = [learning_rate(1.0, step, step / 1000) for step in range(1001)]
    assert rates[0] < rates[20] < rates[40] == 1.0 == rates[200] > rates[500] > rates[800] > rates[1000] == 0


def _shallow(trainer: Trainer, batch: Batch) -> torch.Tensor:
    with torch.inference_mode():
        return trainer.state.average.regressor.shallow(batch.low, batch.corruption).g


def test_a_device_that_does_not_exist_is_one_plain_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["train", "--data", str(tmp_path), "--out", str(tmp_path / "run"), "--device", "abacus"])
    assert code == 2
    assert capsys.readouterr().err == "tilestep train: There is no device 'abacus': give auto, cpu, cuda or cuda:N.\n"
    assert not (tmp_path / "run").exists()
