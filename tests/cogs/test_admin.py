"""/tilestep: the panel of limits, plain options, blocks, the audit, the operator's commands, a member's data."""

import asyncio

import pytest
from discord_world import buttons, picture_bytes

from tilestep.cogs import context


async def limits(world):
    return await world.runtime.guilds.limits(world.guild.id)


async def test_the_panel_changes_a_choice(world):
    shown = await world.admin.slash(world.channel, "tilestep limits")
    panel = shown.response
    assert panel.ephemeral
    assert "17 megapixels" in panel.embeds[0].description
    await world.admin.select(panel, ["max_scale"], custom_id="tilestep:limits:menu")
    await world.admin.select(panel, ["2x"], custom_id="tilestep:limits:set:max_scale")
    assert (await limits(world)).max_scale == 2
    assert "2x" in panel.content


async def test_the_panel_takes_a_typed_value_and_says_what_will_not_do(world):
    panel = (await world.admin.slash(world.channel, "tilestep limits")).response
    await world.admin.select(panel, ["max_output_megapixels"], custom_id="tilestep:limits:menu")
    for typed, kept in (("9.5", 9.5), ("a lot", 9.5)):
        page = panel if buttons(panel).get("Change") else None
        if page is None:
            await world.admin.select(panel, ["max_output_megapixels"], custom_id="tilestep:limits:menu")
        modal = await world.admin.click(panel, label="Change")
        (field,) = [c["component"]["custom_id"] for c in modal.modal["components"]]
        answered = await world.admin.submit_modal(modal, {field: typed})
        assert (await limits(world)).max_output_megapixels == kept
    assert "a lot" in world.words(answered)


async def test_the_panel_chooses_roles_and_channels(world):
    panel = (await world.admin.slash(world.channel, "tilestep limits")).response
    for name, chosen in (("allowed_role_ids", world.artists), ("allowed_channel_ids", world.other_channel)):
        await world.admin.select(panel, [name], custom_id="tilestep:limits:menu")
        await world.admin.select(panel, [chosen], custom_id=f"tilestep:limits:set:{name}")
        assert getattr(await limits(world), name) == {chosen.id}
    await world.admin.select(panel, ["allowed_role_ids"], custom_id="tilestep:limits:menu")
    await world.admin.click(panel, label="Reset")
    assert not (await limits(world)).allowed_role_ids


async def test_everything_is_reset_after_asking(world):
    await world.limit(max_scale=2, jobs_at_once=1)
    panel = (await world.admin.slash(world.channel, "tilestep limits")).response
    await world.admin.click(panel, label="Reset all")
    await world.admin.click(panel, label="Back")
    assert (await limits(world)).max_scale == 2
    await world.admin.click(panel, label="Reset all")
    await world.admin.click(panel, label="Reset all")
    assert (await limits(world)).max_scale == 4


async def test_the_panel_works_after_a_restart_and_not_for_who_lost_the_right(world):
    panel = (await world.admin.slash(world.channel, "tilestep limits")).response
    await world.restart()
    await world.admin.select(panel, ["max_scale"], custom_id="tilestep:limits:menu")
    await world.take_role(world.admin, world.admins)
    refused = await world.admin.select(panel, ["2x"], custom_id="tilestep:limits:set:max_scale")
    assert "Manage Server" in world.words(refused)
    assert (await limits(world)).max_scale == 4


async def test_a_long_list_of_words_is_kept_and_told_in_short(world):
    listed = [f"{number:02}{'x' * 48}" for number in range(60)]
    for _ in range(2):
        panel = (await world.admin.slash(world.channel, "tilestep limits")).response
        await world.admin.select(panel, ["blocked_words"], custom_id="tilestep:limits:menu")
        modal = await world.admin.click(panel, label="Change")
        (field,) = [c["component"] for c in modal.modal["components"]]
        assert len(field.get("value") or "") <= 4000
        await world.admin.submit_modal(modal, {field["custom_id"]: ",".join(listed)})
        assert (await limits(world)).blocked_words == tuple(listed)
        assert "Blocked words: 00xx" in panel.content


async def test_a_form_from_before_a_restart_says_so(world, monkeypatch):
    panel = (await world.admin.slash(world.channel, "tilestep limits")).response
    await world.admin.select(panel, ["max_output_megapixels"], custom_id="tilestep:limits:menu")
    modal = await world.admin.click(panel, label="Change")
    await world.restart()
    monkeypatch.setattr(context, "_THIS_RUN", "another")
    (field,) = [c["component"]["custom_id"] for c in modal.modal["components"]]
    answered = await world.admin.submit_modal(modal, {field: "9"})
    assert "before the bot was started again" in world.words(answered)


async def test_servers_that_removed_the_bot_while_it_was_away_are_forgotten(world):
    await world.limit(max_scale=2)
    await world.runtime.guilds.set_limits(77, {"max_scale": 2}, by=1)
    await world.runtime.guilds.block(78, 5, by=1)
    assert await world.runtime.service.guild_ids() >= {world.guild.id, 77, 78}
    await world.restart()
    while await world.runtime.service.guild_ids() & {77, 78}:
        await asyncio.sleep(0.01)
    assert (await limits(world)).max_scale == 2


async def test_plain_options_show_set_and_reset_one_limit(world):
    async def limit(**options):
        return world.words(await world.admin.slash(world.channel, "tilestep limits", **options))

    assert "by default" not in await limit(setting="jobs_at_once")
    assert "5" in await limit(setting="jobs_at_once", value="5")
    assert "by default 3" in await limit(setting="jobs_at_once")
    assert "nonsense" in await limit(setting="jobs_at_once", value="nonsense")
    assert "default" in await limit(setting="jobs_at_once", reset=True) or (await limits(world)).jobs_at_once == 3
    assert "setting with the value" in await limit(value="5")
    assert (await limits(world)).jobs_at_once == 3


async def test_every_change_is_in_the_audit_with_who_and_when(world):
    assert "Nobody" in world.words(await world.admin.slash(world.channel, "tilestep audit"))
    await world.admin.slash(world.channel, "tilestep limits", setting="max_scale", value="2x")
    await world.admin.slash(world.channel, "tilestep block", member=world.ben)
    said = world.words(await world.admin.slash(world.channel, "tilestep audit"))
    assert f"<@{world.admin.id}>" in said
    assert "4x → 2x" in said
    assert f"blocked <@{world.ben.id}>" in said
    assert "<t:" in said


async def test_every_way_to_change_a_limit_is_in_the_audit(world):
    panel = (await world.admin.slash(world.channel, "tilestep limits")).response
    await world.admin.select(panel, ["max_scale"], custom_id="tilestep:limits:menu")
    await world.admin.select(panel, ["2x"], custom_id="tilestep:limits:set:max_scale")
    await world.admin.slash(world.channel, "tilestep limits", setting="jobs_at_once", value="5")
    await world.admin.slash(world.channel, "tilestep limits", setting="jobs_at_once", reset=True)
    await world.admin.slash(world.channel, "tilestep limits", reset=True)
    await world.admin.slash(world.channel, "tilestep block", member=world.ben)
    await world.admin.slash(world.channel, "tilestep unblock", member=world.ben)
    ben = str(world.ben.id)
    entries = await world.runtime.guilds.audit(world.guild.id)
    assert [(entry.setting, entry.before, entry.after) for entry in reversed(entries)] == [
        ("max_scale", "4x", "2x"),
        ("jobs_at_once", "3", "5"),
        ("jobs_at_once", "5", "3"),
        ("max_scale", "2x", "4x"),
        ("blocked member", "", ben),
        ("blocked member", ben, ""),
    ]
    assert {entry.by for entry in entries} == {world.admin.id}


async def test_where_the_operators_limit_is_lower_the_admin_is_told(alone):
    async with alone(max_scale=2) as world:
        said = world.words(await world.admin.slash(world.channel, "tilestep limits", setting="max_scale", value="8x"))
        assert "8x (the bot's operator allows 2x)" in said
        panel = (await world.admin.slash(world.channel, "tilestep limits")).response
        assert "8x (the bot's operator allows 2x)" in panel.embeds[0].description


@pytest.mark.parametrize(
    ("command", "options"), [("limits", {}), ("block", {"member"}), ("unblock", {"member"}), ("audit", {})]
)
async def test_members_without_manage_server_are_refused(world, command, options):
    answered = await world.mod.slash(world.channel, f"tilestep {command}", **dict.fromkeys(options, world.ben))
    assert "Manage Server" in world.words(answered)


@pytest.mark.parametrize("command", ["pause", "resume", "model"])
async def test_the_operators_commands_are_the_operators(world, command):
    assert "owner" in world.words(await world.admin.slash(world.channel, f"tilestep {command}"))


async def test_the_operator_pauses_and_resumes(world):
    world.bot.owner_id = world.admin.id
    assert "Paused" in world.words(await world.admin.slash(world.channel, "tilestep pause"))
    assert "paused" in world.words(await world.upscale())
    assert "again" in world.words(await world.admin.slash(world.channel, "tilestep resume"))
    assert "Accepted" in world.words(await world.upscale())
    assert "no text-to-image model" in world.words(await world.admin.slash(world.channel, "tilestep model"))
    await world.done()


async def test_limits_hold_at_once_for_what_waits(world):
    async with world.busy():
        await world.upscale(scale=4)
        said = world.words(await world.admin.slash(world.channel, "tilestep limits", setting="max_scale", value="2x"))
        assert "1 waiting job" in said
        (job,) = await world.jobs()
        assert job.state == "cancelled"


async def test_blocking_a_member_cancels_what_they_have_under_way(world):
    async with world.busy():
        await world.upscale()
        await world.admin.slash(world.channel, "tilestep block", member=world.alice)
        await world.done()
        (job,) = await world.jobs()
        assert job.state == "cancelled"


async def test_forget_me_erases_everything_after_asking(world):
    await world.result()
    asked = await world.alice.slash(world.channel, "tilestep forget-me")
    (job,) = await world.jobs()
    await world.alice.click(asked.response, label="Erase everything")
    assert "are erased" in asked.response.content
    assert not await world.jobs()
    assert job.id not in world.runtime.files.job_ids()


async def test_removing_the_bot_erases_everything_of_the_server(world):
    await world.limit(max_scale=2)
    await world.result()
    await world.bot.get_guild(world.guild.id).leave()
    await world.env.settle()
    assert not await world.jobs()
    assert (await limits(world)).max_scale == 4


async def test_help_and_privacy_are_for_everybody_and_only_for_who_asks(alone):
    async with alone(keep_jobs_days=5, command_names={"queue": "waiting"}) as world:
        said = world.words(await world.ben.slash(world.channel, "tilestep help"))
        assert "/waiting" in said
        said = world.words(await world.ben.slash(world.channel, "tilestep privacy"))
        assert "5 days" in said
        assert "forget-me" in said


async def test_a_full_disk_stops_new_jobs_with_a_word(alone):
    async with alone(min_free_disk_mib=10**9) as world:
        answered = await world.alice.slash(world.channel, "upscale", image=("in.png", picture_bytes()))
        assert "disk" in world.words(answered)
