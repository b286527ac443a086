"""Our own commands log lines for people or for machines, and a stranger's text stays data in both."""

import json
import logging

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
        import sys

        made = record("oops")
        made.exc_info = sys.exc_info()
    assert "ValueError: broken" in json.loads(JsonLines().format(made))["traceback"]


@pytest.mark.parametrize("formatter", [JsonLines(), PlainLines()])
def test_a_line_break_in_a_prompt_does_not_forge_a_second_line(formatter):
    assert len(formatter.format(record("prompt: a\n2026-01-01 ERROR forged\r\nb")).splitlines()) == 1
