"""Our own commands log lines for people or for machines, and a stranger's text stays data in both."""

import json
import logging
import os
import subprocess
import sys

import pytest

from tilestep.bot.logs import JsonLines, PlainLines


def record(message, **extra):
    made = logging.LogRecord("tilestep.bot.service", logging.WARNING, "service.py", 7, message, (), None)
    vars(made).update(extra)
    return made


def test_json_lines_hold_what_was_passed_as_extra():
    entry = json.loads(JsonLines().format(record("job failed", job="abc", gpu_ms=1.5)))
    assert (entry["level"], entry["message"], entry["job"], entry["gpu_ms"]) == ("WARNING", "job failed", "abc", 1.5)
    assert entry["time"].endswith("+00:00")


def test_json_lines_hold_the_traceback():
    try:
        raise ValueError("broken")
    except ValueError:
        made = record("oops")
        made.exc_info = sys.exc_info()
    assert "ValueError: broken" in json.loads(JsonLines().format(made))["traceback"]


@pytest.mark.parametrize("formatter", [JsonLines(), PlainLines()])
def test_a_line_break_in_a_prompt_does_not_forge_a_second_line(formatter):
    assert len(formatter.format(record("prompt: a\n2026-01-01 ERROR forged\r\nb")).splitlines()) == 1


NOISY = """
import logging, warnings
from tilestep.bot.logs import configure_logs
configure_logs("INFO", "json")
import tqdm
for _ in tqdm.tqdm(range(3), desc="Loading weights"):
    pass
logging.getLogger("httpx").info("HTTP Request: GET https://huggingface.co")
warnings.warn("something is old")
logging.getLogger("tilestep.bot.run").info("ready")
"""


def test_nothing_but_our_own_lines_is_written():
    usual = {name: value for name, value in os.environ.items() if not name.startswith("TQDM")}
    ran = subprocess.run([sys.executable, "-c", NOISY], env=usual, capture_output=True, text=True, check=True)
    warned, ready = map(json.loads, ran.stderr.splitlines())
    assert "something is old" in warned["message"]
    assert (ready["logger"], ready["message"]) == ("tilestep.bot.run", "ready")


def test_loading_the_cogs_waits_for_no_heavy_import():
    modules = "tilestep.bot.run, tilestep.cogs.upscale, tilestep.cogs.imagine, tilestep.cogs.queue, tilestep.cogs.admin"
    heavy = "torch", "tqdm", "diffusers", "transformers"
    code = f"import sys, {modules}; print([name for name in {heavy} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
