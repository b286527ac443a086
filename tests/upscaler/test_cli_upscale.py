"""`tilestep upscale` as a person uses it."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Captured, draw, lines, names, upscale
from PIL import Image

from tilestep.upscaler.__main__ import main
from tilestep.upscaler.cli import upscale as command
from tilestep.upscaler.cli.files import find_pictures, name_results
from tilestep.upscaler.cli.values import byte_count, count
from tilestep.upscaler.passes import SCALES
from tilestep.upscaler.quality import MOST_STEPS, PRESET_NAMES


class TestNames:
    def test_the_result_lies_beside_the_picture_as_png(self, folder: Path, checkpoint: Path, capsys: Captured) -> None:
        draw("a.jpg")
        assert upscale(checkpoint, "a.jpg") == 0
        assert names(folder) == ["a.jpg", "a_2x.png"]
        line = capsys.readouterr().out
        assert "a.jpg -> a_2x.png: 9x7 -> 18x14, 1 tile, 0.00 steps a tile" in line
        assert line.count("\n") == 1

    def test_a_file_or_a_folder_may_be_named(self, folder: Path, checkpoint: Path) -> None:
        draw("a.png")
        Path("out").mkdir()
        assert upscale(checkpoint, "a.png", "-o", "b.webp") == 0
        assert upscale(checkpoint, "a.png", "-o", "out", "--format", "jpg", "--scale", "4") == 0
        assert names(folder) == ["a.png", "b.webp", "out", "out/a_4x.jpg"]
        with Image.open("out/a_4x.jpg") as picture:
            assert (picture.format, picture.size) == ("JPEG", (36, 28))

    def test_a_folder_means_its_pictures_and_a_pattern_what_it_matches(self, folder: Path) -> None:
        Path("in/deeper").mkdir(parents=True)
        for name in ("in/b.png", "in/a.jpg", "in/a_2x.png", "in/deeper/c.png", "z_4x.png"):
            draw(name)
        draw("in/no-suffix.png")
        Path("in/no-suffix.png").rename("in/no-suffix")
        Path("in/notes.txt").write_text("no picture")
        Path("in/broken.webp").write_text("named like a picture")
        found, errors = find_pictures(["in", "*.png", "in/b.png"])
        assert [str(path) for path in found] == ["in/a.jpg", "in/b.png", "in/broken.webp", "in/no-suffix", "z_4x.png"]
        assert errors == []

    def test_pictures_that_differ_in_suffix_get_results_of_their_own(self) -> None:
        pictures = [Path("a.png"), Path("a.jpg"), Path("sub/a.png")]
        targets = name_results(pictures, None, 2, None)
        assert targets == [Path("a_png_2x.png"), Path("a_jpg_2x.png"), Path("sub/a_2x.png")]

    def test_a_second_run_over_a_folder_finds_nothing_new(
        self, folder: Path, checkpoint: Path, capsys: Captured
    ) -> None:
        draw("a.png")
        assert upscale(checkpoint, ".") == 0
        assert upscale(checkpoint, ".", "--force") == 0
        assert names(folder) == ["a.png", "a_2x.png"]

    def test_maps_of_several_pictures_go_into_a_folder(self, folder: Path, checkpoint: Path) -> None:
        for name in ("a.png", "b.png"):
            draw(name)
        Path("maps").mkdir()
        assert upscale(checkpoint, "a.png", "b.png", "--map", "maps") == 0
        assert names(folder / "maps") == ["a_2x_map.png", "b_2x_map.png"]


class TestFailures:
    def test_other_pictures_are_still_done(self, folder: Path, checkpoint: Path, capsys: Captured) -> None:
        draw("a.png")
        draw("c.png", 20, 20)
        Path("b.png").write_bytes(Path("c.png").read_bytes()[:300])
        assert upscale(checkpoint, "a.png", "b.png", "gone.png", "no*.png", "c.png") == 2
        assert names(folder) == ["a.png", "a_2x.png", "b.png", "c.png", "c_2x.png"]
        captured = capsys.readouterr()
        assert len(captured.err.splitlines()) == 3
        assert captured.out.splitlines()[-1].startswith("2 upscaled, 3 failed")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["gone.png"], "No such file"),
            (["empty"], "holds no PNG, JPEG, WebP or TIFF"),
            (["a.png", "-o", "gone/x.png"], "no folder gone"),
            (["a.png", "-o", "gone/"], "not a folder"),
            (["a.png", "b.png", "-o", "x.png"], "not a folder"),
            (["a.png", "-o", "x.bmp"], "does not tell the format"),
            (["a.png", "-o", "/dev/full"], "not an ordinary file"),
            (["a.png", "-o", "a.png", "--force"], "one of the pictures"),
            (["a.png", "b.png", "--map", "x.png"], "give a folder"),
            (["a.png", "empty/../a.png", "c/a.png", "-o", "empty"], "a.png and c/a.png would both be written"),
            (["a.png", "c/a.png", "--map", "empty"], "both be written"),
            (["a.png", "--max-memory", "1K"], "weights and one tile need"),
            (["a.png", "--max-pixels", "62"], "more than the limit"),
            (["a.png", "--checkpoint", "a.png"], "safetensors"),
            (["a.png", "--checkpoint", "gone"], "no checkpoint"),
            (["a.png", "--device", "abacus"], "no device 'abacus'"),
        ],
    )
    def test_what_is_wrong_is_one_line(
        self, folder: Path, checkpoint: Path, capsys: Captured, arguments: list[str], words: str
    ) -> None:
        draw("a.png")
        draw("b.png")
        Path("empty").mkdir()
        assert upscale(checkpoint, *arguments) == 2
        (line,) = lines(capsys)
        assert line.startswith("tilestep upscale: ")
        assert words in line
        assert names(folder) == ["a.png", "b.png", "empty"]

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--scale", "3"],
            ["--dejpeg", "1.5"],
            ["--deblur", "much"],
            ["--steps", "51"],
            ["--steps", "two"],
            ["--seed", "-1"],
            ["--max-memory", "2 pints"],
            ["--format", "bmp"],
            ["--quality", "superb"],
            ["--bogus"],
        ],
    )
    def test_wrong_options_are_one_line(self, capsys: Captured, arguments: list[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            main(["upscale", "a.png", *arguments])
        assert caught.value.code == 2
        (line,) = lines(capsys)
        assert line.startswith("tilestep upscale: ")

    def test_no_command_shows_the_commands(self, capsys: Captured) -> None:
        assert main([]) == 2
        shown = capsys.readouterr().out
        assert all(name in shown for name in ("upscale", "train", "evaluate"))


class TestValues:
    @pytest.mark.parametrize(("text", "size"), [("2G", 2**31), ("512m", 2**29), ("1.5GiB", 3 * 2**29), ("1000", 1000)])
    def test_sizes(self, text: str, size: int) -> None:
        assert byte_count(text) == size

    @pytest.mark.parametrize(("text", "number"), [("1G", 10**9), ("0.5M", 500_000), ("77", 77)])
    def test_counts(self, text: str, number: int) -> None:
        assert count(text) == number

    def test_the_choices_are_those_of_the_library(self) -> None:
        assert (command.QUALITIES, command.SCALES, command.MOST_STEPS) == (PRESET_NAMES, SCALES, MOST_STEPS)


class TestProcess:
    def test_help_needs_no_torch(self) -> None:
        script = (
            "import sys\n"
            "from tilestep.upscaler.__main__ import main\n"
            "try: main(['upscale', '--help'])\n"
            "finally: print('torch' in sys.modules, file=sys.stderr)"
        )
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
        assert "--dejpeg auto|0..1" in run.stdout
        assert run.stderr == "False\n"

    @pytest.mark.parametrize("signal_name", ["SIGINT", "SIGHUP", "SIGTERM"])
    def test_an_interruption_and_another_shows_no_traceback_and_leaves_no_half_file(
        self, folder: Path, checkpoint: Path, signal_name: str
    ) -> None:
        fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))
        draw("a.png", 3000, 3000)
        terminal, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
        options = ["--checkpoint", str(checkpoint), "--device", "cpu", "--dejpeg", "0", "--deblur", "0"]
        command_line = [sys.executable, "-m", "tilestep.upscaler", "upscale", "a.png", *options]
        number = getattr(signal, signal_name)
        before = signal.signal(number, lambda *_: None)  # a job in the background ignores it, and so would its child
        process = subprocess.Popen(
            command_line, stderr=side, stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        signal.signal(number, before)
        os.close(side)
        shown = b""
        while b"tiles" not in shown:
            shown += os.read(terminal, 4096)
        process.send_signal(number)
        shown = b""
        while not shown.endswith(b"stopped\r\n"):
            shown += os.read(terminal, 4096)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        os.set_blocking(terminal, False)
        with contextlib.suppress(OSError):  # nothing more, or nobody left to say it
            shown += os.read(terminal, 4096)
        os.close(terminal)
        assert process.returncode == 130
        assert output == b""
        assert shown.endswith(b"tilestep upscale: stopped\r\n")
        assert names(folder) == ["a.png"]
