"""What the operator sees: health and metrics, the doctor's findings, and words where the bot cannot start."""

import aiohttp
import discord
import pytest
from pydantic import SecretStr

from tilestep.bot import __main__ as command
from tilestep.bot.client import PERMISSIONS, TilestepBot
from tilestep.bot.doctor import examine
from tilestep.bot.errors import SettingsError
from tilestep.bot.http import serve_http
from tilestep.bot.run import serve
from tilestep.bot.runtime import Runtime, bot_runtime, gpu_settings, release_runtime
from tilestep.bot.settings import load_settings


@pytest.fixture
def settings(tmp_path):
    return load_settings(data_dir=tmp_path / "data", device="cpu", min_free_disk_mib=0)


@pytest.fixture
async def runtime(settings):
    client = discord.Client(intents=discord.Intents(guilds=True))
    async with Runtime(settings, client) as runtime:
        await runtime.start()
        yield runtime


async def get(url):
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_health_is_good_while_jobs_are_taken_and_bad_while_paused(runtime):
    async with serve_http(runtime, "127.0.0.1", 0) as port:
        url = f"http://127.0.0.1:{port}/healthz"
        assert (await get(url))[0] == 200
        runtime.service.pause()
        status, body = await get(url)
        assert status == 503
        assert "Paused" in body


async def test_metrics_count_jobs_and_describe_the_gpu(runtime):
    async with serve_http(runtime, "127.0.0.1", 0) as port:
        status, body = await get(f"http://127.0.0.1:{port}/metrics")
    assert status == 200
    for name in ("tilestep_jobs", "tilestep_disk_free_bytes", "tilestep_gpu_jobs_waiting", "tilestep_wait_seconds"):
        assert f"# TYPE {name} gauge" in body


async def test_a_port_that_is_taken_is_told_in_words(runtime):
    async with serve_http(runtime, "127.0.0.1", 0) as port:
        with pytest.raises(SettingsError, match="TILESTEP_HTTP_PORT"):
            async with serve_http(runtime, "127.0.0.1", port):
                pass


async def test_the_doctor_finds_what_is_good_and_what_is_missing(settings):
    findings = {finding.what: finding for finding in await examine(settings)}
    assert findings["disk"].good
    assert findings["database"].good
    assert findings["upscaler"].good
    assert findings["model"].good is None
    assert findings["token"].good is False
    assert "discord.com/developers" in findings["token"].words


async def test_the_doctor_says_how_much_disk_space_is_missing(settings):
    wants_more = settings.model_copy(update={"min_free_disk_mib": 10**9})
    disk = next(f for f in await examine(wants_more) if f.what == "disk")
    assert disk.good is False
    assert "TILESTEP_MIN_FREE_DISK_MIB" in disk.words


async def test_the_doctor_goes_on_when_a_check_fails(settings, tmp_path):
    broken = settings.model_copy(update={"checkpoint": tmp_path / "none.safetensors", "model": str(tmp_path / "no")})
    findings = {finding.what: finding for finding in await examine(broken)}
    assert findings["upscaler"].good is False
    assert findings["model"].good is False
    assert findings["disk"].good


async def test_without_a_token_the_bot_says_where_to_get_one(settings):
    with pytest.raises(SettingsError, match="TILESTEP_TOKEN is not set"):
        await serve(settings)


@pytest.mark.parametrize(
    "token", ["nonsense", "a.b", "a.b.c.d", "a b.c.d", "a.b.c\r\nX-Header: 1", "Bot a.b.c", "ä.b.c"]
)
async def test_what_cannot_be_a_token_is_told_before_discord_is_asked(settings, token):
    wrong = settings.model_copy(update={"token": SecretStr(token)})
    with pytest.raises(SettingsError, match="three parts") as caught:
        await serve(wrong)
    assert token not in str(caught.value)


def test_the_command_line_tells_a_wrong_setting_in_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("TILESTEP_QUEUE_LIMIT", "none")
    code = command.main(["doctor", "--env-file", str(tmp_path / ".env")])
    error = capsys.readouterr().err
    assert code == 2
    assert error.count("\n") == 1
    assert "TILESTEP_QUEUE_LIMIT" in error


def test_every_command_can_be_asked_for_help(capsys):
    assert command.main([]) == 2
    listed = capsys.readouterr().out
    for name in ("demo", "run", "doctor", "upscale", "train", "evaluate"):
        assert name in listed
    with pytest.raises(SystemExit):
        command.main(["run", "--help"])
    assert "--env-file" in capsys.readouterr().out


def test_the_bot_asks_for_no_privileged_intent_and_few_permissions(settings):
    bot = TilestepBot(settings)
    assert bot.intents == discord.Intents(guilds=True)
    allowed = {name for name, granted in PERMISSIONS if granted}
    assert not allowed & {"administrator", "manage_guild", "manage_messages", "manage_roles"}


def test_the_settings_reach_the_gpu_scheduler(settings):
    chosen = settings.model_copy(update={"vram_budget_mib": 9000, "image_weight": 3, "queue_limit": 7})
    gpu = gpu_settings(chosen)
    assert gpu.budget_bytes == 9000 * 2**20
    assert gpu.fairness.kind_weights["image"] == 3
    assert gpu.limits.total == 7


async def test_a_host_bots_runtime_ends_with_its_last_extension(settings, monkeypatch):
    monkeypatch.setenv("TILESTEP_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("TILESTEP_DEVICE", "cpu")
    bot = TilestepBot(settings)
    first = await bot_runtime(bot)
    assert await bot_runtime(bot) is first
    await release_runtime(bot)
    assert await bot_runtime(bot) is first
    await release_runtime(bot)
    await release_runtime(bot)
    second = await bot_runtime(bot)
    assert second is not first
    await release_runtime(bot)


def test_the_demo_needs_its_extra(monkeypatch, capsys):
    import builtins

    real = builtins.__import__

    def without_simcord(name, *rest, **named):
        if name == "simcord":
            raise ModuleNotFoundError("No module named 'simcord'", name="simcord")
        return real(name, *rest, **named)

    monkeypatch.delitem(__import__("sys").modules, "tilestep.bot.demo", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_simcord)
    assert command.main(["demo"]) == 2
    assert "pip install 'tilestep[demo]'" in capsys.readouterr().err
