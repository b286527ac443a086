"""Names of files and the words that describe a picture: made from what strangers wrote, safe to hand on."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

MAX_NAME_CHARS = 60
MAX_DESCRIPTION_CHARS = 1024
_FALLBACK = "picture"
_RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(10))})
_PREFIX = "SPOILER_"


def safe_name(name: str) -> str:
    """A file name of ASCII letters, digits, `_`, `-` and `.`: no path, no leading dot, nothing reserved, never empty.

    At most 60 characters; the suffix stays where it is short. Discord's spoiler mark is taken away, as the caller says
    it anew.
    """
    plain = unicodedata.normalize("NFKD", name[:4096]).replace("\\", "/").rstrip("/ .").rpartition("/")[2]
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", plain.encode("ascii", "ignore").decode())
    plain = re.sub(r"\.{2,}", ".", plain)
    while (plain := plain.lstrip("._-")).upper().startswith(_PREFIX):
        plain = plain[len(_PREFIX) :]
    stem, dot, suffix = plain.strip("._-").rpartition(".")
    if not dot or len(suffix) > 8:
        stem, dot, suffix = f"{stem}{dot}{suffix}", "", ""
    stem = stem[: MAX_NAME_CHARS - len(dot + suffix)].strip("._-") or _FALLBACK
    if stem.partition(".")[0].lower() in _RESERVED:
        stem = f"{_FALLBACK}_{stem}"[: MAX_NAME_CHARS - len(dot + suffix)]
    return stem + dot + suffix


def result_name(source: str | None, job_id: str, ending: str, mark: str = "") -> str:
    """The name of a posted file: the source's, a mark such as `2x`, and the job's id, by which it is found again.

    `ending` is "png", "webp" or "jpeg".
    """
    tail = (f"_{mark}" if mark else "") + f"-{job_id}.{'jpg' if ending == 'jpeg' else ending}"
    stem = safe_name(source or _FALLBACK)
    stem = stem.rpartition(".")[0] or stem
    return stem[: MAX_NAME_CHARS - len(tail)].rstrip("._-") + tail


def describe_upscale(scale: int, width_px: int, height_px: int, source_description: str | None = None) -> str:
    """Alt text of an enlarged picture: that of the source where it had one."""
    size = f"enlarged {scale}x to {width_px} by {height_px} pixels"
    return _fitting(f"{plain_text(source_description)} ({size})" if source_description else f"A picture {size}")


def describe_image(prompt: str, number: int = 1, count: int = 1) -> str:
    """Alt text of a generated picture, or with `number` 0 of the grid of all of them."""
    if not number:
        return _fitting(f"{count} generated pictures: {plain_text(prompt)}")
    which = f" {number} of {count}" if count > 1 else ""
    return _fitting(f"Generated picture{which}: {plain_text(prompt)}")


def plain_text(text: str | None) -> str:
    """Text on one line, without control and direction-changing characters."""
    kept = "".join(c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else " " for c in text or "")
    return " ".join(kept.split())


def without_paths(text: str, folder: Path) -> str:
    """A sentence for members, without where files below `folder` lie on the operator's disk."""
    path = rf"{re.escape(str(folder))}[^\s:]*"
    text = re.sub(path, "The picture", re.sub(rf"^{path}: ", "", text))
    return text[:1].upper() + text[1:]


def _fitting(text: str) -> str:
    text = text.rstrip(": ")
    return text if len(text) <= MAX_DESCRIPTION_CHARS else text[: MAX_DESCRIPTION_CHARS - 1] + "…"
