"""Dockerfile, compose file and systemd unit name what is there. No engine is needed: they are read, not run."""

import configparser
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import yaml

from tilestep.bot.__main__ import BOT_COMMANDS
from tilestep.bot.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
VARIABLES = {PREFIX + name.upper() for name in Settings.model_fields}


def instructions():
    """(keyword, rest) of each line, with continued lines joined."""
    joined = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def test_the_image_gets_every_folder_of_the_package_and_nothing_that_is_not_there():
    copied = {source for word, rest in instructions() if word == "COPY" for source in rest.split()[:-1]}
    assert all((ROOT / source).exists() for source in copied), copied
    folders = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-dir"]
    assert set(folders.values()) | {"pyproject.toml"} <= copied
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert not copied & set(ignored)


def test_the_image_runs_the_bot_and_asks_after_its_health_where_it_answers():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert set(re.findall(r"TILESTEP_[A-Z_]+", text)) <= VARIABLES
    assert 'CMD ["tilestep", "run"]' in text
    port = re.search(r"TILESTEP_HTTP_PORT=(\d+)", text)[1]
    assert f"http://127.0.0.1:{port}/healthz" in text


def test_both_profiles_build_the_same_image_and_keep_the_same_data():
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    arguments = {rest.split("=")[0] for word, rest in instructions() if word == "ARG"}
    volumes = {rest for word, rest in instructions() if word == "VOLUME"}
    assert sorted(service["profiles"] for service in compose["services"].values()) == [["cpu"], ["cuda"]]
    for service in compose["services"].values():
        assert set(service["build"]["args"]) == arguments
        assert service["env_file"] == ".env"
        (mount,) = service["volumes"]
        volume, inside = mount.split(":")
        assert volume in compose["volumes"]
        assert inside in volumes


def test_the_unit_runs_a_command_that_there_is(tmp_path):
    unit = (ROOT / "docs" / "tilestep.service").read_text(encoding="utf-8")
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.read_string(unit)
    program, command = shlex.split(parsed["Service"]["ExecStart"])
    assert Path(program).name == "tilestep"
    assert command in BOT_COMMANDS
    assert set(re.findall(r"TILESTEP_[A-Z_]+", unit)) <= VARIABLES
    if shutil.which("systemd-analyze"):
        copy = tmp_path / "tilestep.service"
        copy.write_text(unit.replace(program, shutil.which("true")), encoding="utf-8")
        checked = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
