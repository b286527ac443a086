"""The panel of `/tilestep limits`: a list to choose from, then a page for one limit.

It keeps no state: each control reads the limits anew, and checks again that whoever uses it manages the server.

| custom id | does |
| --- | --- |
| `tilestep:limits:menu` | a limit is chosen |
| `tilestep:limits:type:<limit>` | opens a modal to type the value |
| `tilestep:limits:set:<limit>` | a value, roles or channels are chosen |
| `tilestep:limits:reset:<limit>` | back to the default |
| `tilestep:limits:resetall`, `tilestep:limits:reallyall` | the same for all, after asking |
| `tilestep:limits:back` | the list |
"""

from __future__ import annotations

from typing import Any

import discord

from tilestep.bot.errors import NoSuchJob
from tilestep.bot.guild_limits import GuildLimits
from tilestep.bot.limit_fields import FIELDS
from tilestep.bot.settings import Settings
from tilestep.cogs import changes, pages, words
from tilestep.cogs.context import Interaction, answering, ask, runtime_of
from tilestep.cogs.controls import Control, template
from tilestep.cogs.views import control, custom_id, still

ROLES, CHANNELS = "allowed_role_ids", "allowed_channel_ids"
MOST_VALUES = 25
CHANNEL_TYPES = [
    discord.ChannelType.text,
    discord.ChannelType.news,
    discord.ChannelType.voice,
    discord.ChannelType.forum,
    discord.ChannelType.media,
]
Page = dict[str, Any]


class PanelControl(Control, template=template("limits")):
    """Any control of the panel."""

    async def used(self, interaction: Interaction) -> None:
        changes.admin_guild_id(interaction)
        what, _, name = self.rest.partition(":")
        if what == "type":
            await ask(interaction, ValueModal(changes.known(name), await _limits(interaction)))
            return
        await interaction.response.defer()
        await interaction.edit_original_response(**await self._next(interaction, what, name))

    async def _next(self, interaction: Interaction, what: str, name: str) -> Page:
        if what == "menu" and self.values:
            name = changes.known(str(self.values[0]))
            return one_page(await _limits(interaction), name, runtime_of(interaction).settings)
        if what == "set":
            return await _list(interaction, await self._set(interaction, changes.known(name)))
        if what == "reset":
            return await _list(interaction, await changes.reset(interaction, changes.known(name)))
        if what == "resetall":
            return sure_page()
        if what == "reallyall":
            return await _list(interaction, await changes.reset(interaction))
        if what == "back":
            return await _list(interaction)
        raise NoSuchJob(words.STRAY)

    async def _set(self, interaction: Interaction, name: str) -> str:
        if name in (ROLES, CHANNELS):
            return await changes.change(interaction, {name: frozenset(chosen.id for chosen in self.values)})
        return await changes.set_text(interaction, name, str(self.values[0]) if self.values else "")


class ValueModal(discord.ui.Modal):
    """A value to type; what is no value is told, and the panel stays as it is."""

    def __init__(self, name: str, limits: GuildLimits) -> None:
        super().__init__(title=words.clip(changes.label(name), 45))
        self._name = name
        value = getattr(limits, name)
        long = isinstance(value, tuple)
        typed = "\n".join(value) if value and long else FIELDS[name].show(value)
        self.value: discord.ui.TextInput[Any] = discord.ui.TextInput(
            style=discord.TextStyle.paragraph if long else discord.TextStyle.short,
            default=typed,
            max_length=4000 if long else 20,
            required=not long,
        )
        unit = FIELDS[name].unit
        self.add_item(discord.ui.Label(text=words.VALUE, description=unit or None, component=self.value))

    async def on_submit(self, interaction: Interaction) -> None:
        async with answering(interaction):
            await interaction.response.defer()
            said = await changes.set_text(interaction, self._name, self.value.value)
            await interaction.edit_original_response(**await _list(interaction, said))


def list_page(limits: GuildLimits, settings: Settings, said: str = "") -> Page:
    """All limits with their values. `said`: what has just been changed."""
    embed = discord.Embed(title=words.LIMITS_TITLE, description=pages.limits_list(limits, settings))
    embed.set_footer(text=words.LIMITS_FOOTER)
    menu: discord.ui.Select[Any] = discord.ui.Select(
        custom_id=custom_id("limits", "menu"), placeholder=words.LIMITS_HINT
    )
    for name, field in FIELDS.items():
        menu.add_option(
            label=words.clip(field.label, 100), description=words.clip(_brief(limits, name), 100), value=name
        )
    reset = control("limits", "resetall", label="Reset all", style=discord.ButtonStyle.danger)
    return {"content": said or None, "embed": embed, "view": still(menu, reset)}


def one_page(limits: GuildLimits, name: str, settings: Settings) -> Page:
    """One limit: what it is now, what it would be by default, and the way to change it."""
    embed = discord.Embed(title=changes.label(name), description=pages.one_limit(limits, name, settings))
    items = [_chooser(limits, name)]
    items.append(control("limits", "reset", name, label="Reset"))
    items.append(control("limits", "back", label="Back"))
    return {"content": None, "embed": embed, "view": still(*items)}


def sure_page() -> Page:
    """Before everything is put back."""
    embed = discord.Embed(title=words.LIMITS_TITLE, description=words.SURE_RESET)
    yes = control("limits", "reallyall", label="Reset all", style=discord.ButtonStyle.danger)
    return {"content": None, "embed": embed, "view": still(yes, control("limits", "back", label="Back"))}


def _chooser(limits: GuildLimits, name: str) -> discord.ui.Item[Any]:
    """What fits the kind of value: roles, channels, a list of choices, or a button that opens a modal."""
    key, hint = custom_id("limits", "set", name), words.HINTS.get(name)
    if name == ROLES:
        chosen = _chosen(limits.allowed_role_ids, discord.SelectDefaultValueType.role)
        return discord.ui.RoleSelect(
            custom_id=key, placeholder=hint, min_values=0, max_values=MOST_VALUES, default_values=chosen
        )
    if name == CHANNELS:
        chosen = _chosen(limits.allowed_channel_ids, discord.SelectDefaultValueType.channel)
        return discord.ui.ChannelSelect(
            custom_id=key,
            placeholder=hint,
            min_values=0,
            max_values=MOST_VALUES,
            default_values=chosen,
            channel_types=CHANNEL_TYPES,
        )
    choices = FIELDS[name].choices
    if choices is None:
        return control("limits", "type", name, label="Change", style=discord.ButtonStyle.primary)
    now = FIELDS[name].show(getattr(limits, name))
    select: discord.ui.Select[Any] = discord.ui.Select(custom_id=key)
    for choice in choices:
        select.add_option(label=choice, value=choice, default=choice == now)
    return select


def _chosen(ids: frozenset[int], kind: discord.SelectDefaultValueType) -> list[discord.SelectDefaultValue]:
    return [discord.SelectDefaultValue(id=number, type=kind) for number in sorted(ids)[:MOST_VALUES]]


def _brief(limits: GuildLimits, name: str) -> str:
    """For where Discord shows no mentions."""
    value = getattr(limits, name)
    return f"{len(value)} chosen" if isinstance(value, frozenset) and value else changes.shown(limits, name)


async def _limits(interaction: Interaction) -> GuildLimits:
    return await runtime_of(interaction).guilds.limits(interaction.guild_id)


async def _list(interaction: Interaction, said: str = "") -> Page:
    return list_page(await _limits(interaction), runtime_of(interaction).settings, said)
