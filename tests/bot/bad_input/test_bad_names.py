"""Names, alt texts and recipes that strangers wrote: whatever they are, what comes out is safe."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

import pytest
from plain_words import check_nothing_left
from strange_pictures import chunk, noise, png

from tilestep.bot.disk import ResultFiles
from tilestep.bot.images import describe_image, describe_upscale, plain_text, read_recipe, result_name, safe_name

JOB = "0123456789abcdefghij"
HOSTILE = [
    "",
    ".",
    "..",
    "...",
    "/",
    "\\",
    "~",
    "~root",
    "../../etc/passwd",
    "..\\..\\windows\\system32\\config",
    "/etc/passwd",
    "C:\\secret.png",
    "a/../../b.png",
    "a/b/c.png",
    ".env",
    ".hidden.png",
    "-rf",
    "_SPOILER_x.png",
    "__spoiler_x.png",
    "SPOILER__SPOILER_x.png",
    "--help.png",
    "$(reboot).png",
    "`id`.png",
    "a;rm -rf /.png",
    "a\nb.png",
    "a\r\nX-Header: 1.png",
    "a\0b.png",
    "\u202egnp.exe",
    "a\u200bb.png",
    "@everyone.png",
    "<@123456789>.png",
    "name with spaces.png",
    "ümläut ß ñ.png",
    "日本語.png",
    "🙂.png",
    "🙂🙂🙂",
    "a" * 5000 + ".png",
    "a." + "b" * 5000,
    "." * 5000,
    "con",
    "CON.png",
    "nul.tar.gz",
    "aux.",
    "LPT1.webp",
    "com0.jpg",
    "SPOILER_",
    "SPOILER_SPOILER_x.png",
    "spoiler_x.png",
    "a.png.",
    "a.png ",
    "a..png",
    "a.p/ng",
    "%2e%2e%2f.png",
    "\ud800.png",
    "\uff0e\uff0e\uff0fa.png",
    "file.exe",
    "-",
    "_",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_becomes_one_that_every_system_takes(name: str, tmp_path: Path) -> None:
    safe = safe_name(name)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", safe)
    assert len(safe) <= 60
    assert ".." not in safe
    assert safe.partition(".")[0].lower() not in ("con", "prn", "aux", "nul", "lpt1", "com0")
    assert not safe.upper().startswith("SPOILER_")
    assert safe_name(safe) == safe
    assert ResultFiles(tmp_path).path(JOB, safe).parent == tmp_path / "results" / JOB


@pytest.mark.parametrize("name", HOSTILE)
def test_a_posted_file_bears_the_jobs_id_whatever_the_source_was_called(name: str) -> None:
    posted = result_name(name, JOB, "jpeg", "2x")
    assert posted.endswith(f"_2x-{JOB}.jpg")
    assert len(posted) <= 60
    assert safe_name(posted) == posted


@pytest.mark.parametrize("name", [name for name in HOSTILE if safe_name(name) != name])
def test_files_are_kept_under_safe_names_only(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not the name of a result"):
        ResultFiles(tmp_path).write(JOB, name, b"x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("job_id", [name for name in HOSTILE if not re.fullmatch("[0-9a-z]{1,40}", name)])
def test_a_folder_is_made_for_ids_of_jobs_only(job_id: str, tmp_path: Path) -> None:
    files = ResultFiles(tmp_path)
    for use in (files.folder, files.delete):
        with pytest.raises(ValueError, match="is not the id of a job"):
            use(job_id)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", [*HOSTILE, "a\u2028b", "x" * 3000, "\x1b[31mred", "\u2066\u2067a\u2069"])
def test_alt_text_is_one_line_without_tricks(text: str) -> None:
    for words in (describe_image(text), describe_image(text, 2, 4), describe_upscale(2, 20, 10, text)):
        assert len(words) <= 1024
        assert words == words.strip()
        assert not {unicodedata.category(letter) for letter in words} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert plain_text(plain_text(text)) == plain_text(text)


RECIPES = {
    "empty": b"",
    "not json": b"{prompt: 1}",
    "a list": b"[1, 2]",
    "a number": b"1e999",
    "null": b"null",
    "a string": b'"x"',
    "cut short": b'{"prompt": "a',
    "not utf-8": b'{"prompt": "\xff\xfe"}',
    "utf-16": '{"prompt": 1}'.encode("utf-16"),
    "zero bytes": bytes(40),
    "deep lists": b"[" * 60_000,
    "deep objects": b'{"a":' * 10_000,
    "too long": json.dumps({"prompt": "x" * 70_000}).encode(),
    "a long number": b"1" * 60_000,
    "a long number inside": b'{"seed": ' + b"1" * 60_000 + b"}",
    "two values": b'{"a": 1} {"b": 2}',
    "a comment": b'{"a": 1} // x',
    "a mark before": b'\xef\xbb\xbf{"a": 1}',
    "single quotes": b"{'a': 1}",
    "python": b"__import__('os').system('id')",
}


@pytest.mark.parametrize("text", RECIPES.values(), ids=RECIPES.keys())
async def test_a_recipe_that_makes_no_sense_counts_as_none(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(png(noise(4, 4), chunk(b"iTXt", b"tilestep\0\0\0\0\0" + text)))
    assert await read_recipe(path) is None
    path.unlink()
    await check_nothing_left(tmp_path)
