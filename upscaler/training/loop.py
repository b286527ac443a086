"""The training loop: stages in a row, each within its share of the time, resumable to the step."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tilestep.upscaler.cli.device import choose_device
from tilestep.upscaler.diffusion.process import ResidualDiffusion
from tilestep.upscaler.errors import CheckpointError, InputError, OptionError
from tilestep.upscaler.model.checkpoint import LoadedModel, read_checkpoint, save_checkpoint
from tilestep.upscaler.model.descriptor import ModelDescriptor
from tilestep.upscaler.model.network import NetworkConfig, TileNetwork
from tilestep.upscaler.training.calibration import calibrate
from tilestep.upscaler.training.crops import CropDataset, load_pictures
from tilestep.upscaler.training.interruption import Interruption, leave_ending_to_the_trainer
from tilestep.upscaler.training.precision import memory_format, training_dtype
from tilestep.upscaler.training.report import CurveLog, plot_curves, save_sheet
from tilestep.upscaler.training.settings import TrainSettings, load_extra_loss
from tilestep.upscaler.training.stages import CALIBRATE, Batch, ExtraLoss, stage_loss
from tilestep.upscaler.training.state import OTHER_FOLDER, STATE_NAME, TrainState, read_state
from tilestep.upscaler.training.validation import validate

CHECKPOINT_NAME = "model.safetensors"
WARMUP_STEPS = 40
DECAY_SHARE = 0.8
HELD_OUT_EVERY = 24
VALIDATION_CROPS = 32
CALIBRATION_TILES = 32
LOG_EVERY_STEPS = 20
FIRST_VALIDATION_SEED = 10_000


def learning_rate(peak: float, step: int, done_share: float) -> float:
    """Warm-up by steps, then flat, then linearly to zero over the last part of the stage's time."""
    warm = min(1.0, (step + 1) / WARMUP_STEPS)
    return peak * warm * min(1.0, max(1 - done_share, 0.0) / DECAY_SHARE)


class Trainer:
    """One run of `tilestep train`. `run()` returns the path of the checkpoint."""

    def __init__(self, settings: TrainSettings) -> None:
        self.settings = settings
        self.device = choose_device(settings.device)
        self.dtype = training_dtype(self.device)
        self.memory = memory_format(self.device, self.dtype)
        self.extra = self._extra_loss()
        self.descriptor = ModelDescriptor(network=settings.network)
        self.interruption = Interruption()
        self._whole = True
        self.state = self._initial_state()
        self.diffusion = ResidualDiffusion(self.descriptor.process)
        self._load_data()
        self.log = CurveLog(settings.out, fresh=not settings.resume)

    def run(self) -> Path:
        """Trains all stages that remain.

        On Ctrl-C or SIGTERM the step is finished and the state saved before KeyboardInterrupt goes on. A second one
        does not wait; if it comes while a step changes the weights, the state that was saved last is what stays.
        """
        with self.interruption.listening():
            try:
                for stage in self.settings.stages:
                    self.interruption.check()
                    if stage == CALIBRATE:
                        self._calibrate()
                    elif stage not in self.state.progress.finished:
                        self._run_stage(stage)
            finally:
                if self._whole:
                    self.save()
        return self.settings.out / CHECKPOINT_NAME

    def _run_stage(self, stage: str) -> None:
        state = self.state
        if state.progress.stage != stage or state.progress.step == 0:
            with self._changing():
                state.enter(stage)
        state.network.regressor.train(stage != "denoiser")
        print(f"stage {stage}: {self.dtype} on {self.device}", flush=True)
        with closing(self._batches()) as batches:
            self._train_on(batches, stage)
        state.progress.finished.append(stage)
        self._validate()

    def _train_on(self, batches: Iterator[Batch], stage: str) -> None:
        state, next_check = self.state, self.state.progress.seconds + 60 * self.settings.validate_minutes
        while (done := self._done_share()) < 1:
            started = time.perf_counter()
            losses = self._find_gradients(next(batches))
            with self._changing():
                self._take_step(done)
                state.progress.account(stage, time.perf_counter() - started, self.settings.batch_size)
            if state.progress.step % LOG_EVERY_STEPS == 0:
                self._log("loss", {name: float(value.detach()) for name, value in losses.items()})
            self.interruption.check()
            if state.progress.seconds >= next_check and self._done_share() < 1:
                next_check += 60 * self.settings.validate_minutes
                self._validate()

    def _calibrate(self) -> None:
        average = self.state.average
        model = LoadedModel(average, self.diffusion, self.descriptor, self.device, torch.float32)
        tiles = self._checks(self.descriptor.read_px, CALIBRATION_TILES)
        measure = self.extra.function if self.extra else None
        with self.interruption.at_once():
            found = calibrate(model, tiles, measure)
        self.descriptor = self.descriptor.with_calibration(found)
        print(f"calibrated on {CALIBRATION_TILES} held-out tiles: {self.descriptor.calibration}", flush=True)

    def _done_share(self) -> float:
        progress = self.state.progress
        return self.settings.done_share(progress.stage, progress.seconds, progress.step)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """What is left in the middle of this is no state to save: weights and counters do not belong together."""
        self._whole = False
        yield
        self._whole = True

    def _find_gradients(self, batch: Batch) -> dict[str, Tensor]:
        state, progress = self.state, self.state.progress
        generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + progress.samples)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            losses = stage_loss(progress.stage, state.network, self.diffusion, batch, generator, self.extra)
        for optimizer in state.optimizers:
            optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(torch.stack([*losses.values()]).sum())
        return losses

    def _take_step(self, done_share: float) -> None:
        progress = self.state.progress
        rate = learning_rate(self.settings.peak_rate(progress.stage, progress.trained), progress.step, done_share)
        for optimizer in self.state.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        self.state.update_average()

    def _batches(self) -> Generator[Batch, None, None]:
        """Crops from the sample that the state stands at, made in worker processes, which end when it is closed."""
        samples = range(self.state.progress.samples, 2**40)
        loader = DataLoader(
            self.crops,
            batch_size=self.settings.batch_size,
            sampler=samples,
            num_workers=self.settings.workers,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=leave_ending_to_the_trainer,
        )
        for items in loader:
            yield self._to_device(*items)

    def _to_device(self, high: Tensor, low: Tensor, corruption: Tensor) -> Batch:
        high, low, corruption = (x.to(self.device, non_blocking=True) for x in (high, low, corruption))
        return Batch(high / 255, (low / 255).contiguous(memory_format=self.memory), corruption)

    def _validate(self) -> None:
        progress = self.state.progress
        found = validate(self.state.average, self.diffusion, self.held_out, progress.stage, self.extra)
        self._log("validation", found.figures)
        save_sheet(found.pictures, self.held_out.high, self.settings.out / "samples.png")
        plot_curves(self.log.path, self.settings.out / "curves.png")
        self.save()
        words = ", ".join(f"{name} {value:.4g}" for name, value in found.figures.items())
        print(f"{progress.stage} step {progress.step}, {progress.seconds / 60:.1f} min: {words}", flush=True)

    def _log(self, kind: str, figures: dict[str, float]) -> None:
        progress = self.state.progress
        minutes = sum(total["minutes"] for total in progress.totals.values())
        self.log.add(minutes, progress.stage, progress.step, kind, figures)

    def save(self) -> None:
        """Writes the state to resume from and the checkpoint to use."""
        self.state.save(self.settings.out / STATE_NAME, self.descriptor)
        trained = replace(self.descriptor, trained=dict(self.state.progress.totals))
        save_checkpoint(self.settings.out / CHECKPOINT_NAME, self.state.average, trained)

    def _initial_state(self) -> TrainState:
        settings, path = self.settings, self.settings.out / STATE_NAME
        if path.exists() and not settings.resume:
            raise OptionError(f"{path} is of an earlier run: --resume goes on with it, or give another --out.")
        settings.out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(settings.seed)
        if settings.resume:
            return self._resumed(path)
        return self._new_state() if settings.start_from is None else self._started(settings.start_from)

    def _new_state(self) -> TrainState:
        network = TileNetwork(self.descriptor.network)
        return TrainState(network, self.settings.stages[0], self.device, self.memory)

    def _resumed(self, path: Path) -> TrainState:
        saved = read_state(path)
        try:
            self.descriptor = replace(self.descriptor, network=NetworkConfig(**saved["network_config"]))
            state = self._new_state()
            state.restore(saved)
        except Exception as error:  # what another program has written may fail in any way
            raise CheckpointError(f"{path} is no state of this `tilestep train`: {OTHER_FOLDER}.") from error
        state.progress.begin_again_if_finished(self.settings.stages)
        return state

    def _started(self, path: Path) -> TrainState:
        weights, descriptor = read_checkpoint(path)
        self.descriptor = replace(descriptor, shallow_read_px=self.descriptor.shallow_read_px)
        try:
            state = self._new_state()
            state.load_weights(weights, descriptor.trained)
        except Exception as error:  # as above
            raise CheckpointError(f"{path} does not fit its own description: train or download it again.") from error
        return state

    def _extra_loss(self) -> ExtraLoss | None:
        if self.settings.extra_loss is None:
            return None
        loss = load_extra_loss(self.settings.extra_loss, self.device, 2 * self.settings.low_px)
        return ExtraLoss(loss, self.settings.extra_weight)

    def _load_data(self) -> None:
        settings = self.settings
        pictures = load_pictures(settings.data, smallest_px=2 * settings.low_px + 32)
        for words in pictures.skipped:
            print(f"left out {words}", flush=True)
        training, held_out = pictures.items, pictures.items[::HELD_OUT_EVERY]
        if settings.val is not None:
            held_out = load_pictures(settings.val, smallest_px=2 * settings.low_px + 32).items
        elif len(training) > 1:
            training = tuple(p for i, p in enumerate(training) if i % HELD_OUT_EVERY)
        if not training:
            raise InputError(f"{settings.data} has too few pictures to train on and hold some out.")
        self.crops = CropDataset(training, settings.low_px, settings.seed)
        self.held_out_pictures = held_out
        self.held_out = self._checks(settings.low_px, VALIDATION_CROPS)

    def _checks(self, low_px: int, count: int) -> Batch:
        """The same crops of held-out pictures in every run."""
        crops = CropDataset(self.held_out_pictures, low_px, FIRST_VALIDATION_SEED)
        high, low, corruption = (torch.stack(c) for c in zip(*(crops[i] for i in range(count)), strict=True))
        return self._to_device(high, low, corruption)
