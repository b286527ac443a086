"""The bot's own process lets torch's segments grow, where the operator has not said otherwise."""

import subprocess
import sys

import pytest

from tilestep.bot.tasks.allocator import NAMES, let_segments_grow

GROWING = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}


def test_segments_grow_by_default_on_linux_alone() -> None:
    for platform, expected in (("linux", GROWING), ("win32", {}), ("darwin", {})):
        environ: dict[str, str] = {}
        let_segments_grow(environ, platform)
        assert environ == expected


@pytest.mark.parametrize("name", NAMES)
def test_what_the_operator_has_set_stays(name) -> None:
    environ = {name: "max_split_size_mb:64"}
    let_segments_grow(environ, "linux")
    assert environ == {name: "max_split_size_mb:64"}


@pytest.mark.skipif(sys.platform != "linux", reason="torch has it on Linux only")
def test_the_bot_says_so_before_torch_is_there_and_the_plugin_never_does(tmp_path) -> None:
    code = (
        "import argparse, os, pathlib, sys, tilestep.bot.run as bot, tilestep.cogs.upscale\n"
        "assert 'PYTORCH_CUDA_ALLOC_CONF' not in os.environ\n"
        "try: bot.run(argparse.Namespace(env_file=pathlib.Path('none.env')))\n"
        "except bot.SettingsError: pass\n"
        "sys.exit('torch' in sys.modules or os.environ['PYTORCH_CUDA_ALLOC_CONF'] != 'expandable_segments:True')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path, env={"PATH": ""})
    assert done.returncode == 0
