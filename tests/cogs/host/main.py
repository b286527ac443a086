"""Somebody else's bot, with packages named `bot` and `cogs` of its own, that has Tilestep as a plugin."""

import discord
from discord.ext import commands

from bot import GREETING


class HostBot(commands.Bot):
    def __init__(self) -> None:
        super().__init__(command_prefix="!", intents=discord.Intents.default())
        self.greeting = GREETING

    async def setup_hook(self) -> None:
        await self.tree.sync()


async def make_bot() -> HostBot:
    bot = HostBot()
    await bot.load_extension("cogs.drawing")
    await bot.load_extension("tilestep.cogs.upscale")
    return bot


async def main(token: str) -> None:
    async with await make_bot() as bot:
        await bot.start(token)
