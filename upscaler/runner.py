"""Runs the network over slots: owns the device, decides nothing about whose turn it is.

Nothing here changes a slot before a whole step has succeeded. On a CPU the network sees one tile at a time: with more,
the library picks other kernels whose rounding depends on the number of tiles, and they are not faster.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tilestep.upscaler.budget import MemoryNeed
from tilestep.upscaler.diffusion.noise import noise_fields
from tilestep.upscaler.diffusion.uncertainty import core, tile_uncertainty
from tilestep.upscaler.model.checkpoint import LoadedModel
from tilestep.upscaler.model.inference import regress_core
from tilestep.upscaler.model.network import Regression
from tilestep.upscaler.model.projection import IMAGE_CHANNELS, SCALE, upsample_bicubic
from tilestep.upscaler.slots import Sampling, Slot
from tilestep.upscaler.tiling.fixed import FixedPixels, encode

OUT_OF_MEMORY_WORDS = ("not enough memory", "can't allocate memory", "out of memory", "alloc_failed")
ACTIVATIONS_ALIVE = 6
PICTURES_ALIVE = 12


@dataclass(frozen=True)
class Regressed:
    """What became of a slot: finished `pixels`, or a `sampling` to go on with for `budget` steps, or, while mirror
    images are left, the `mean` so far.
    """

    uncertainty: float = 0.0
    budget: int = 0
    pixels: FixedPixels | None = None
    sampling: Sampling | None = None
    mean: Tensor | None = None

    def commit(self, slot: Slot) -> None:
        """The slot takes it over."""
        slot.uncertainty, slot.budget, slot.sampling = self.uncertainty, self.budget, self.sampling
        slot.mean, slot.passes_done = self.mean, slot.passes_done + 1


@dataclass(frozen=True)
class Denoised:
    """What became of a slot: finished `pixels`, or else the next `z` and the newest clean estimate."""

    pixels: FixedPixels | None
    z: Tensor
    x0: Tensor

    def commit(self, slot: Slot) -> None:
        """The slot takes it over, without a new allocation."""
        slot.steps_done += 1
        if self.pixels is not None:
            slot.sampling = None
        elif slot.sampling:
            slot.sampling.z.copy_(self.z)
            slot.sampling.x0.copy_(self.x0)


class Stopwatch:
    """Seconds of the work between its start and `stop`: a GPU first ends what is queued, for others or from before."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._started = self._now()

    def stop(self) -> float:
        """Seconds since the start, once the device has finished."""
        return self._now() - self._started

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()
        return time.perf_counter()


class TileRunner:
    """The model, run on batches of slots."""

    def __init__(self, model: LoadedModel, network_batch: int | None = None) -> None:
        self._model = model
        self._network_batch = network_batch or (1 if model.device.type == "cpu" else None)
        self._halo = SCALE * model.descriptor.halo_px

    @property
    def trim_to(self) -> int:
        """Multiple to which the last tiles of a picture may be cut: only where tiles run one by one, else 0."""
        return self._model.descriptor.tile_multiple if self._network_batch == 1 else 0

    def stopwatch(self) -> Stopwatch:
        """Starts to measure what the device does."""
        return Stopwatch(self._model.device)

    def regress(self, slots: Sequence[Slot]) -> list[Regressed]:
        """A pass of the regressor over slots of one size and depth. Raises what the network raises."""
        return [result for chunk in self._chunks(slots) for result in self._regress(chunk)]

    def denoise(self, slots: Sequence[Slot]) -> list[Denoised]:
        """The next denoising step of each slot, each at its own time. Raises what the network raises."""
        return [result for chunk in self._chunks(slots) for result in self._denoise(chunk)]

    def memory_need(self) -> MemoryNeed:
        """Estimated from the sizes of the network: at the widest point a pass holds about `ACTIVATIONS_ALIVE` feature
        maps and `PICTURES_ALIVE` enlarged patches per tile (a quarter more than the profiler finds for the standard
        network, for what libraries take), and up to two batches of tiles are between steps.
        """
        config, item = self._model.network.config, self._model.dtype.itemsize
        facts = self._model.descriptor
        patch, waiting_patch = max(facts.read_px, facts.shallow_read_px) ** 2, facts.read_px**2
        picture_bytes = SCALE**2 * 4
        work = ACTIVATIONS_ALIVE * max(config.width, config.denoiser_width) * patch * item
        work += PICTURES_ALIVE * IMAGE_CHANNELS * picture_bytes * patch
        waiting = ((3 * IMAGE_CHANNELS + 1) * picture_bytes + config.denoiser_width * item) * waiting_patch
        weights = sum(p.numel() * p.element_size() for p in self._model.network.parameters())
        if self._network_batch is None:
            return MemoryNeed(weights, work + 2 * waiting)
        return MemoryNeed(weights + self._network_batch * work, 2 * waiting)

    def _chunks(self, slots: Sequence[Slot]) -> Iterator[Sequence[Slot]]:
        size = self._network_batch or len(slots)
        return (slots[start : start + size] for start in range(0, len(slots), size))

    def _regress(self, slots: Sequence[Slot]) -> list[Regressed]:
        lr = self._upload(np.stack([np.flip(slot.patch, slot.next_mirror) for slot in slots]).transpose(0, 3, 1, 2))
        corruption = self._upload(np.array([slot.corruption for slot in slots], np.float32))
        regressor = self._model.network.regressor
        if not slots[0].quality.takes_steps:
            with self._precision():
                cores = regress_core(regressor, lr, corruption, slots[0].quality.depth, self._halo // SCALE)
            return self._averaged(slots, cores.float())
        with self._precision():
            regression = regressor(lr, corruption)
        g = regression.g.float()
        enlarged = upsample_bicubic(lr)
        measured = tile_uncertainty(g, enlarged, self._halo).tolist()
        uncertainties = [u if slot.may_sample else 0.0 for u, slot in zip(measured, slots, strict=True)]
        budgets = [slot.budget_for(u) for slot, u in zip(slots, uncertainties, strict=True)]
        going_on = [i for i, budget in enumerate(budgets) if budget]
        samplings = self._begin([slots[i] for i in going_on], going_on, lr, corruption, regression, enlarged)
        ready = [i for i, budget in enumerate(budgets) if not budget]
        pixels = dict(zip(ready, self._download(core(g[ready], self._halo)), strict=True))
        begun = dict(zip(going_on, samplings, strict=True))
        return [Regressed(uncertainties[i], budgets[i], pixels.get(i), begun.get(i)) for i in range(len(slots))]

    def _averaged(self, slots: Sequence[Slot], cores: Tensor) -> list[Regressed]:
        """Adds a pass, cores (N, 3, H, W) of mirrored tiles, to the mean of each slot; the last one ends it."""
        means = []
        for slot, picture in zip(slots, cores, strict=True):
            share = picture.flip([1 + axis for axis in slot.next_mirror]) / slot.quality.mirrors
            means.append(share if slot.mean is None else slot.mean + share)
        ending = [i for i, slot in enumerate(slots) if slot.passes_done + 1 == slot.quality.mirrors]
        pixels = (
            dict(zip(ending, self._download(torch.stack([means[i] for i in ending])), strict=True)) if ending else {}
        )
        return [Regressed(pixels=pixels[i]) if i in pixels else Regressed(mean=mean) for i, mean in enumerate(means)]

    def _begin(
        self,
        slots: Sequence[Slot],
        which: list[int],
        lr: Tensor,
        corruption: Tensor,
        regression: Regression,
        enlarged: Tensor,
    ) -> list[Sampling]:
        """z_1 and everything that stays the same between the steps, of the tiles `which` of a batch."""
        if not slots:
            return []
        chosen = Regression(regression.g[which], regression.features[which])
        g = chosen.g.float()
        with self._precision():
            condition = self._model.network.denoiser.condition(lr[which], corruption[which], chosen)
        w = self._model.diffusion.noise_scale(g, enlarged[which])
        z = self._model.diffusion.start(self._noise(slots), w)
        parts = zip(g, w, condition, z, strict=True)
        return [Sampling(g.clone(), w.clone(), c.clone(), z.clone(), torch.zeros_like(z)) for g, w, c, z in parts]

    def _denoise(self, slots: Sequence[Slot]) -> list[Denoised]:
        samplings = [slot.sampling for slot in slots if slot.sampling]
        g, w, condition, z, before = (
            self._arranged(torch.stack([getattr(s, name) for s in samplings]))
            for name in ("g", "w", "condition", "z", "x0")
        )
        t, t_next = self._upload(np.array([slot.times for slot in slots], np.float32).T)
        with self._precision():
            x0 = self._model.network.denoiser(z, t, condition).float()
        diffusion = self._model.diffusion
        moved = core(diffusion.to_picture(x0, g, w) - diffusion.to_picture(before, g, w), self._halo)
        changes: list[float] = (moved.abs().mean((1, 2, 3)) * 255).tolist()
        ending = [i for i, (slot, change) in enumerate(zip(slots, changes, strict=True)) if slot.ends_with(change)]
        finished = core(diffusion.to_picture(x0[ending], g[ending], w[ending]), self._halo)
        pixels = dict(zip(ending, self._download(finished), strict=True))
        z_next = diffusion.step(z, x0, w, t, t_next)
        return [Denoised(pixels.get(i), z_next[i], x0[i]) for i in range(len(slots))]

    def _noise(self, slots: Sequence[Slot]) -> Tensor:
        places = [(s.owner.request.seed, _enlarged(s.tile.y.read), _enlarged(s.tile.x.read)) for s in slots]
        return noise_fields(places, IMAGE_CHANNELS, self._model.device)

    def _precision(self) -> torch.autocast:
        """Half precision inside the network, while pictures enter and leave it as float32."""
        dtype = self._model.dtype
        return torch.autocast(self._model.device.type, dtype, enabled=dtype != torch.float32)

    def _upload(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self._model.device.type == "cuda":
            tensor = tensor.pin_memory().to(self._model.device, non_blocking=True)
        return self._arranged(tensor)

    @staticmethod
    def _arranged(tensor: Tensor) -> Tensor:
        """Channels last, which convolutions like best."""
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor

    @staticmethod
    def _download(cores: Tensor) -> list[FixedPixels]:
        """Finished cores (N, 3, H, W), as arrays (H, W, 3)."""
        return list(encode(cores).permute(0, 2, 3, 1).contiguous().cpu().numpy())


def _enlarged(span: range) -> range:
    return range(SCALE * span.start, SCALE * span.stop)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, had no more memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in words for word in OUT_OF_MEMORY_WORDS)
