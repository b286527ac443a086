"""`tilestep evaluate` as a person meets it."""

import argparse
import csv
import json
import shlex
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from tilestep.upscaler.__main__ import main
from tilestep.upscaler.errors import CheckpointError, OptionError, TilestepError
from tilestep.upscaler.evaluation import cli
from tilestep.upscaler.evaluation.compare import compare
from tilestep.upscaler.evaluation.methods import Enlargement
from tilestep.upscaler.evaluation.presets import preset_methods
from tilestep.upscaler.evaluation.resize import BICUBIC
from tilestep.upscaler.model.checkpoint import save_checkpoint
from tilestep.upscaler.model.descriptor import ModelDescriptor
from tilestep.upscaler.model.network import NetworkConfig, TileNetwork
from tilestep.upscaler.quality import PRESET_NAMES

FAILING = f"broken={shlex.quote(sys.executable)} -c 'raise SystemExit(\"no card\")' {{input}} {{output}}"


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(2):
        picture = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{seed}.png")
    return folder


def presets_like_bicubic(choice):
    return [Enlargement(name, BICUBIC) for name in choice.names]


def evaluate(*words, make_presets=presets_like_bicubic):
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return compare(parser.parse_args([str(word) for word in words]), make_presets)


def test_a_table_per_condition_compares_presets_with_the_baselines(pictures, capsys):
    assert evaluate(pictures) == 0
    clean, jpeg, jpeg_png, legend = capsys.readouterr().out.strip().split("\n\n")
    assert clean.startswith("clean (2 pictures)\nmethod")
    assert [line.split()[0] for line in clean.splitlines()[2:]] == ["bicubic", "Lanczos", *PRESET_NAMES]
    assert jpeg.startswith("jpeg75 (2 pictures)")
    assert jpeg_png.startswith("jpeg75-png (2 pictures)")
    assert "higher is better: PSNR, SSIM, HaarPSI" in legend


def test_columns_are_aligned(pictures, capsys):
    evaluate(pictures, "--conditions", "clean")
    lines = capsys.readouterr().out.splitlines()[1:8]
    assert len({len(line) for line in lines}) == 1


def test_presets_get_weights_device_and_seed(pictures):
    seen = []
    evaluate(pictures, "--presets", "best, fast", "--checkpoint", "w.safetensors", "--device", "cpu", "--seed", "7",
             "--limit", "1", make_presets=lambda choice: seen.append(choice) or [])  # fmt: skip
    (choice,) = seen
    assert (choice.names, choice.checkpoint.name, choice.device, choice.seed) == (
        ("best", "fast"),
        "w.safetensors",
        "cpu",
        7,
    )


def test_no_model_is_loaded_when_no_preset_is_compared(pictures, capsys):
    def refuse(choice):
        raise CheckpointError("There are no weights.")

    assert evaluate(pictures, "--presets", "none", "--limit", "1", make_presets=refuse) == 0
    assert "clean (1 picture)" in capsys.readouterr().out
    with pytest.raises(CheckpointError):
        evaluate(pictures, "--presets", "fast", make_presets=refuse)


def test_reports_and_contact_sheets_are_written(pictures, tmp_path):
    out = tmp_path / "new" / "out"
    evaluate(pictures, "--presets", "none", "--conditions", "jpeg75,clean", "--out", out)
    assert "| bicubic |" in (out / "results.md").read_text()
    with (out / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 2 * 2 * 2
    report = json.loads((out / "results.json").read_text())
    assert report["about"]["pictures"] == 2
    first = report["summary"][0]
    assert (first["condition"], first["method"]) == ("jpeg75", "bicubic")
    psnr = [float(line["PSNR"]) for line in lines if (line["condition"], line["method"]) == ("jpeg75", "bicubic")]
    assert first["means"]["PSNR"] == pytest.approx(sum(psnr) / 2, abs=1e-3)
    assert sorted(path.name for path in (out / "sheets").iterdir()) == ["0.png.png", "1.png.png"]


def test_a_failing_command_has_a_row_that_says_so_and_the_others_are_done(pictures, tmp_path, capsys):
    assert (
        evaluate(pictures, "--presets", "none", "--command", FAILING, "--conditions", "clean", "--out", tmp_path) == 2
    )
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "failed on 2 of 2" in rows["broken"]
    assert "no card" in rows["broken"]
    assert "failed" not in rows["bicubic"]
    report = json.loads((tmp_path / "results.json").read_text())
    assert report["summary"][-1]["seconds_per_megapixel"] is None


def test_a_broken_picture_among_good_ones_is_named_and_the_others_are_done(pictures, capsys):
    (pictures / "1a.png").write_bytes((pictures / "1.png").read_bytes()[:90])
    assert evaluate(pictures, "--presets", "none") == 2
    captured = capsys.readouterr()
    assert "clean (2 pictures)" in captured.out
    assert "1a.png cannot be read as a picture" in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--conditions", "gif"], "There is no condition 'gif'"),
        (["--presets", "great"], "There is no preset 'great'"),
        (["--conditions", ","], "A list of names is empty"),
        (["--command", "x=prog"], "does not say where .input. goes"),
        (["--command", "bicubic=prog {input} {output}"], "two methods called 'bicubic'"),
        (["--measure", "x"], "not of the form"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_before_any_work(pictures, capsys, words, message):
    with pytest.raises(OptionError, match=message):
        evaluate(pictures, *words)
    assert capsys.readouterr().out == ""


def test_directories_that_cannot_be_used_are_refused_in_words(pictures, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").write_text("no picture")
    (tmp_path / "file").touch()
    for words, message in (
        ([tmp_path / "nowhere"], "does not exist"),
        ([tmp_path / "bad"], "No picture in"),
        ([pictures, "--out", tmp_path / "file" / "out"], "cannot be written"),
    ):
        with pytest.raises(TilestepError, match=message):
            evaluate(*words, "--presets", "none")


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    config = NetworkConfig(
        width=8, shallow_blocks=1, deep_blocks=1, denoiser_width=8, outer_blocks=1, inner_blocks=1, time_features=8
    )
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, TileNetwork(config), ModelDescriptor(network=config, read_px=32))
    return path


def test_our_presets_are_measured_with_their_steps(pictures, weights, tmp_path, capsys):
    words = ("--conditions", "clean", "--presets", "fast,balanced", "--limit", "1", "--checkpoint", weights)
    assert evaluate(pictures, *words, "--device", "cpu", "--out", tmp_path, make_presets=preset_methods) == 0
    report = json.loads((tmp_path / "results.json").read_text())
    steps = {row["method"]: row["steps"] for row in report["summary"]}
    assert steps == {"bicubic": None, "Lanczos": None, "fast": 0, "balanced": 4}
    assert "failed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--checkpoint", "nowhere.safetensors"], "no checkpoint at nowhere"),
        (["--device", "abacus"], "'abacus'"),
        (["--limit", "0"], "'0' is not a whole number"),
    ],
)
def test_the_program_names_what_it_cannot_use_in_one_line(pictures, capsys, words, message):
    try:
        code = main(["evaluate", str(pictures), *words])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_the_program_evaluates(pictures, capsys):
    assert main(["evaluate", str(pictures), "--presets", "none", "--conditions", "clean", "--limit", "1"]) == 0
    assert "clean (1 picture)" in capsys.readouterr().out
