"""For all tests of the cogs: the real bot in an in-memory Discord, on a tiny network."""

import sys
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "bot")]

OF_DIFFUSERS = (
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning",
    "ignore:`upcast_vae` is deprecated:FutureWarning",
)


def pytest_configure(config) -> None:
    for line in OF_DIFFUSERS:
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A tile model of a few thousand weights, as a file."""
    from tiny_tiles import small_model

    from tilestep.upscaler.model.checkpoint import save_checkpoint

    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    model = small_model()
    save_checkpoint(path, model.network, model.descriptor)
    return path


@pytest.fixture(scope="session")
def image_model(tmp_path_factory):
    """A text-to-image model of a few thousand weights, as a folder."""
    import tiny_pipelines

    path = tmp_path_factory.mktemp("models") / "tiny"
    tiny_pipelines.stable_diffusion().save_pretrained(path)
    return path


def make_settings(data_dir, checkpoint, **values):
    from tilestep.bot.settings import load_settings

    usual = {"data_dir": data_dir, "device": "cpu", "checkpoint": checkpoint, "min_free_disk_mib": 0}
    return load_settings(None, **{**usual, **values})


@pytest.fixture
def settings(tmp_path, checkpoint):
    """Makes settings for a bot of the test's own."""
    return partial(make_settings, tmp_path / "data", checkpoint)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def town(tmp_path_factory, checkpoint):
    """One bot for all tests that need no settings of their own: starting one takes longer than most tests."""
    from discord_world import Town

    async with Town(make_settings(tmp_path_factory.mktemp("town"), checkpoint)) as town:
        yield town


@pytest_asyncio.fixture(loop_scope="session")
async def world(town):
    """A server of the test's own, with that bot in it."""
    from discord_world import World

    world = World(town)
    yield world
    town.runtime.service.resume()
    await world.cancel_everything()
    errors, town.env._errors[:] = list(town.env.errors), []
    assert not errors


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def art_town(tmp_path_factory, checkpoint, image_model):
    """One for all tests of a file, with a model for new pictures; its operator allows no more than 4x."""
    from discord_world import Town, World

    folder = tmp_path_factory.mktemp("art")
    async with Town(make_settings(folder, checkpoint, model=str(image_model), max_scale=4)) as town:
        await World(town).model_loaded()
        yield town


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gallery(art_town):
    """A server for all tests of limits, in which nothing that is accepted is begun."""
    from discord_world import Gallery

    world = Gallery(art_town)
    await world.hang_up_a_picture()
    art_town.runtime.gpu.pause()
    yield world
    await world.fresh()
    art_town.runtime.gpu.resume()


@pytest.fixture
def alone(settings):
    """Makes a server with a bot of its own, for settings of its own."""
    from discord_world import Town, World

    @asynccontextmanager
    async def make(**values):
        async with Town(settings(**values)) as town:
            yield World(town)

    return make


def pytest_collection_modifyitems(items):
    """What shares the bot shares its event loop."""
    for item in items:
        for fixture, scope in (("town", "session"), ("art_town", "module")):
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.asyncio(loop_scope=scope), append=False)
