"""Logging of `tilestep run` and the demo: lines for people, or one JSON object a line for machines.

Called by our own commands only; a host bot's logging is its own.
"""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
QUIET = ("discord.gateway", "discord.client", "discord.http", "alembic", "sqlalchemy", "pyvips", "PIL", "httpx")

ONLY_ERRORS = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
}
"""These libraries write to standard error past `logging`: progress bars, and warnings that quote prompts. They read
the variables when they are imported; what the operator has set stays."""


class JsonLines(logging.Formatter):
    """Time (UTC), level, logger, message, what was passed as `extra`, and a traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update({name: value for name, value in vars(record).items() if name not in STANDARD})
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


class PlainLines(logging.Formatter):
    """The same for people; line breaks in what strangers wrote are shown as such."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = record.message.replace("\r", "\\r").replace("\n", "\\n")
        return super().formatMessage(record)


def configure_logs(level: str, style: str) -> None:
    """Sends all logs, Python's warnings among them, to standard error. `style`: text or json. Before heavy imports."""
    for name, value in ONLY_ERRORS.items():
        os.environ.setdefault(name, value)
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if style == "json" else PlainLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
