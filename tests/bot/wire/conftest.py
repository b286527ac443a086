"""The small server for one run of the tests, empty for each of them, and discord.py's own client pointed to it."""

import discord
import pytest
from wire.process import Wire, serving


@pytest.fixture(scope="session")
def wire_port():
    with serving() as port:
        yield port


@pytest.fixture
async def wire(wire_port):
    async with Wire.at(wire_port) as wire:
        await wire.reset()
        yield wire


@pytest.fixture
async def client(wire, monkeypatch):
    """Logged in, without a gateway: nothing is in its cache."""
    monkeypatch.setattr(discord.http.Route, "BASE", wire.base)
    async with discord.Client(intents=discord.Intents.none()) as client:
        await client.login("any")
        yield client
