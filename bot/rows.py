"""Between a `Job` and its row: the columns have the fields' names; what is no plain value is JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from tilestep.bot.job import Job, ResultFile
from tilestep.bot.requests import ImagineOptions, Reply, UpscaleOptions

_FIELDS = frozenset(field.name for field in fields(Job))
_OPTIONS: Mapping[str, type[UpscaleOptions] | type[ImagineOptions]] = {
    "upscale": UpscaleOptions,
    "imagine": ImagineOptions,
}


def to_columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a job, all or some, as columns. Raises TypeError for a name that is none."""
    if unknown := values.keys() - _FIELDS:
        raise TypeError(f"a job has no {', '.join(sorted(unknown))}")
    columns = dict(values)
    for name in ("options", "reply"):
        if columns.get(name) is not None:
            columns[name] = asdict(columns[name])
    if "reply" in values:
        columns["reply_expires_at"] = values["reply"].expires_at if values["reply"] else None
    if "recipe" in values:
        columns["recipe"] = dict(values["recipe"])
    if "result" in values:
        columns["result"] = [asdict(file) for file in values["result"]]
    return columns


def job_columns(job: Job) -> dict[str, Any]:
    """A whole row."""
    return to_columns({name: getattr(job, name) for name in _FIELDS})


def job_from(row: Mapping[str, Any]) -> Job:
    """The job of a row; options that a newer version wrote and this one does not know are passed over."""
    values = {name: row[name] for name in _FIELDS}
    options = _OPTIONS[row["kind"]]
    known = {field.name for field in fields(options)}
    values["options"] = options(**{name: value for name, value in row["options"].items() if name in known})
    values["gpu_ms"] = float(row["gpu_ms"])
    values["reply"] = Reply(**row["reply"]) if row["reply"] else None
    values["result"] = tuple(ResultFile(**file) for file in row["result"])
    return Job(**values)
