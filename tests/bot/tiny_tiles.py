"""A tile network small enough for a test, orders for it, and schedulers that run them."""

import numpy as np
import torch

from tilestep.bot.gpu import Flow, GpuScheduler, GpuSettings
from tilestep.bot.gpu.clock import HostClock
from tilestep.bot.gpu.device import Device
from tilestep.bot.gpu.task import UPSCALE
from tilestep.bot.tasks.upscale import TilePool, UpscaleOrder
from tilestep.upscaler.diffusion.process import ProcessConfig, ResidualDiffusion
from tilestep.upscaler.model.checkpoint import LoadedModel
from tilestep.upscaler.model.descriptor import ModelDescriptor
from tilestep.upscaler.model.network import NetworkConfig, TileNetwork
from tilestep.upscaler.quality import Quality
from tilestep.upscaler.tiling.rows import ArraySink, ArraySource

SMALL = NetworkConfig(width=8, shallow_blocks=1, deep_blocks=1, denoiser_width=8, outer_blocks=1, inner_blocks=1)
STEPS = Quality("steps", max_steps=2)
ONE, TWO = Flow("guild", 1), Flow("guild", 2)


def small_model():
    torch.manual_seed(7)
    network = TileNetwork(SMALL).eval().requires_grad_(False)
    descriptor = ModelDescriptor(SMALL, ProcessConfig(), read_px=32, shallow_read_px=32, halo_px=4, overlap_px=4)
    return LoadedModel(network, ResidualDiffusion(ProcessConfig()), descriptor, torch.device("cpu"), torch.float32)


MODEL = small_model()


def pixels(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def order(picture, scale=2, **options):
    height, width, channels = picture.shape
    sink = ArraySink(scale * height, scale * width, channels)
    return UpscaleOrder(ArraySource(picture), sink, options.pop("quality", STEPS), scale, **options)


def settings(**options):
    """On the CPU; waits for the thread whose turn it is however busy the machine is."""
    return GpuSettings(device="cpu", grace_ms=10_000, **options)


def pool_scheduler(clock=None, **options):
    return GpuScheduler(settings(**options), Device(clock=clock or HostClock()))


def add_pool(gpu, limits=None):
    """The scheduler upscales with the tiny network."""
    gpu.add_shared(UPSCALE, lambda gate: TilePool(MODEL, limits))
