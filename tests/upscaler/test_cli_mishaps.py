"""`tilestep upscale` with names, options and pictures that are meant to trip it up."""

from __future__ import annotations

import io
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import Captured, draw, lines, names, upscale
from PIL import Image, PngImagePlugin

from tilestep.upscaler.cli.progress import TileBar
from tilestep.upscaler.cli.upscale import Job, upscale_all
from tilestep.upscaler.cli.words import brief, printable
from tilestep.upscaler.handle import Progress
from tilestep.upscaler.model.checkpoint import load_model
from tilestep.upscaler.upscale import UpscaleOptions

LONG = "n" * 300 + ".png"
FORGED = "a\x1b[31m.png -> b.png\nc.png -> d.png"


def only_line(capsys: Captured) -> str:
    (line,) = lines(capsys)
    assert line.startswith("tilestep upscale: ")
    assert len(line) < 400
    return line


class TestOthersAreStillDone:
    def test_after_a_fault_that_nobody_foresaw(self, folder: Path, checkpoint: Path, capsys: Captured) -> None:
        options = UpscaleOptions(quality="fast", dejpeg=0.0, deblur=0.0)
        unforeseen = replace(options, dejpeg="much")  # type: ignore[arg-type]
        for name in ("a.png", "b.png", "c.png"):
            draw(name)
        jobs = [
            Job(Path("a.png"), Path("a_2x.png"), options),
            Job(Path("b.png"), Path("b_2x.png"), unforeseen),
            Job(Path("c.png"), Path("c_2x.png"), options),
        ]
        assert upscale_all(jobs, load_model(checkpoint)) == 2
        assert "b.png: something went wrong that should not" in (line := only_line(capsys))
        assert "TypeError: " in line
        assert names(folder) == ["a.png", "a_2x.png", "b.png", "c.png", "c_2x.png"]

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            (LONG, "name too long. Check the name"),
            ("loop.png", "Too many levels of symbolic links"),
            ("loop.png/a.png", "Too many levels of symbolic links"),
            ("", "An empty name names no picture"),
        ],
    )
    def test_after_a_name_that_leads_nowhere(
        self, folder: Path, checkpoint: Path, capsys: Captured, name: str, words: str
    ) -> None:
        draw("a.png")
        Path("loop.png").symlink_to("loop.png")
        assert upscale(checkpoint, name, "a.png") == 2
        assert words in only_line(capsys)
        assert names(folder) == ["a.png", "a_2x.png", "loop.png"]

    def test_after_a_name_too_long_to_add_to(self, folder: Path, checkpoint: Path, capsys: Captured) -> None:
        draw("n" * 250 + ".png")
        draw("a.png")
        assert upscale(checkpoint, ".") == 2
        assert "name too long. Choose another folder or name" in lines(capsys)[0]
        assert names(folder) == ["a.png", "a_2x.png", "n" * 250 + ".png"]

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is closed to root")
    @pytest.mark.parametrize("name", ["closed", "closed/b.png"])
    def test_after_a_folder_that_is_closed(self, folder: Path, checkpoint: Path, capsys: Captured, name: str) -> None:
        draw("a.png")
        Path("closed").mkdir(mode=0)
        assert upscale(checkpoint, name, "a.png") == 2
        assert "Ask for the right to read it" in only_line(capsys)
        assert names(folder) == ["a.png", "a_2x.png", "closed"]

    def test_a_map_that_would_lie_on_another_picture(self, folder: Path, checkpoint: Path, capsys: Captured) -> None:
        for name in ("a.png", "a_2x_map.png"):
            draw(name)
        before = Path("a_2x_map.png").read_bytes()
        assert upscale(checkpoint, "a.png", "a_2x_map.png", "--map", ".", "--force") == 2
        assert "a_2x_map.png is one of the pictures: choose another folder for the maps" in only_line(capsys)
        assert Path("a_2x_map.png").read_bytes() == before
        assert names(folder) == ["a.png", "a_2x_map.png", "a_2x_map_2x.png", "a_2x_map_2x_map.png"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "loop.png"], "Too many levels of symbolic links"),
        (["-o", LONG], "name too long"),
        (["-o", f"{LONG}/b.png"], "name too long"),
        (["--map", "loop.png"], "Too many levels of symbolic links"),
        (["--map", LONG], "name too long"),
        (["--checkpoint", LONG], "name too long"),
        (["-o", "b.jpg", "--format", "png"], "b.jpg ends in .jpg, but --format says PNG"),
        (["--device", "cuda:" + "9" * 5000], "no device"),
    ],
)
def test_what_leads_nowhere_is_one_line(
    folder: Path, checkpoint: Path, capsys: Captured, arguments: list[str], words: str
) -> None:
    draw("a.png")
    Path("loop.png").symlink_to("loop.png")
    assert upscale(checkpoint, "a.png", *arguments) == 2
    line = lines(capsys)[0]
    assert line.startswith("tilestep upscale: ")
    assert words in line
    assert names(folder) == ["a.png", "loop.png"]


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_format_that_agrees_with_the_name_or_gives_it_a_meaning_is_taken(
    folder: Path, checkpoint: Path, suffix: str
) -> None:
    draw("a.png")
    assert upscale(checkpoint, "a.png", "-o", f"b.{suffix}", "--format", suffix) == 0
    assert upscale(checkpoint, "a.png", "-o", "c", "--format", suffix) == 0
    assert names(folder) == ["a.png", f"b.{suffix}", "c"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", ""],
        ["--map", ""],
        ["--checkpoint", ""],
        ["--max-memory", "9" * 400],
        ["--max-memory", "9" * 5000 + "G"],
        ["--max-pixels", "9" * 400],
        ["--steps", "9" * 5000],
        ["--seed", "0" * 5000],
        ["--scale", "9" * 5000],
        ["--dejpeg", "9" * 5000],
        ["--format", "9" * 5000],
        ["--\x1b[31m"],
    ],
)
def test_wrong_values_are_one_short_line(
    folder: Path, checkpoint: Path, capsys: Captured, arguments: list[str]
) -> None:
    draw("a.png")
    with pytest.raises(SystemExit) as caught:
        upscale(checkpoint, "a.png", *arguments)
    assert caught.value.code == 2
    assert only_line(capsys).isprintable()
    assert names(folder) == ["a.png"]


@pytest.mark.parametrize("more", [[], ["--map", "."]])
def test_a_second_run_passes_over_all_that_the_first_one_made(folder: Path, checkpoint: Path, more: list[str]) -> None:
    for name in ("a.png", "a.jpg", "b.png"):
        draw(name)
    assert upscale(checkpoint, ".", *more) == 0
    made = names(folder)
    assert len(made) == (9 if more else 6)
    assert upscale(checkpoint, ".", "--force", *more) == 0
    assert names(folder) == made


def test_a_map_is_no_picture_where_results_are_enlarged_again(folder: Path, checkpoint: Path) -> None:
    for name in ("b_2x.png", "b_2x_map.png", "c_map.png"):
        draw(name)
    assert upscale(checkpoint, ".") == 0
    assert names(folder) == ["b_2x.png", "b_2x_2x.png", "b_2x_map.png", "c_map.png", "c_map_2x.png"]


class TestTerminal:
    def test_a_name_cannot_forge_a_line_of_a_result(self, folder: Path, checkpoint: Path, capsys: Captured) -> None:
        draw("a.png")
        Path(name := FORGED.replace("/", "")).write_bytes(Path("a.png").read_bytes())
        assert upscale(checkpoint, name, "-o", "b.png") == 0
        captured = capsys.readouterr()
        assert captured.out.startswith("a\\x1b[31m.png -> b.png\\nc.png -> d.png -> b.png: 9x7 -> 18x14")
        assert captured.out.count("\n") == 1
        assert upscale(checkpoint, name, "-o", "b.png") == 2
        assert upscale(checkpoint, f"gone\x1b[31m{name}") == 2
        assert all(line.isprintable() for line in lines(capsys))

    def test_png_text_cannot_forge_a_note(self, folder: Path, checkpoint: Path, capsys: Captured) -> None:
        text = PngImagePlugin.PngInfo()
        for number in range(9):
            text.add(b"tEXt", b"\x1b[31m%d\nfake.png -> ok" % number + b"k" * 3000 + b"\0value")
        Image.new("L", (4, 4)).save("a.png", pnginfo=text)
        assert upscale(checkpoint, "a.png", "-o", "a.jpg") == 0
        _, note = capsys.readouterr().out.splitlines()
        assert note.isprintable()
        assert "PNG text (\\x1b[31m0\\nfake.png" in note
        assert ", 4 more) was left out" in note
        assert len(note) < 800

    def test_the_bar_shows_a_name_escaped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        monkeypatch.setattr(sys, "stderr", terminal := Terminal())
        with TileBar(FORGED) as bar:
            bar(Progress(1, 2, 3, 4))
        assert r"a\x1b[31m.png" in terminal.getvalue()
        assert "\x1b[31m" not in terminal.getvalue()

    def test_letters_of_all_languages_are_shown_and_control_characters_are_not(self) -> None:
        assert printable("ein Kätzchen 猫 🐈") == "ein Kätzchen 猫 🐈"
        assert printable("\x07\x9b\u202e\ud800") == r"\x07\x9b\u202e\ud800"

    def test_long_words_lose_their_middle(self) -> None:
        assert brief("short words stay") == "short words stay"
        assert len(brief("9" * 5000)) == 61
