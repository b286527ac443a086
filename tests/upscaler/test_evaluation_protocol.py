"""What upscalers are given, and what becomes of their answers."""

import shlex
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from tilestep.upscaler.errors import InputError, OptionError
from tilestep.upscaler.evaluation.measures import parse_measure, with_plugged_in
from tilestep.upscaler.evaluation.methods import Command, MethodError, baselines, parse_command
from tilestep.upscaler.evaluation.protocol import (
    CONDITIONS,
    choose_conditions,
    find_pictures,
    fit_output,
    load_sample,
    read_picture,
)
from tilestep.upscaler.evaluation.resize import LANCZOS3, enlarge, halve
from tilestep.upscaler.evaluation.runner import evaluate_sample
from tilestep.upscaler.evaluation.sheets import contact_sheet, hardest_area


def texture(height=41, width=50, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def sample(tmp_path):
    Image.fromarray(texture()).save(tmp_path / "picture.png")
    return load_sample(tmp_path / "picture.png")


def python(code):
    return f"NAME={shlex.quote(sys.executable)} -c {shlex.quote(code)} {{input}} {{output}}"


def test_a_picture_is_cropped_to_even_sides_and_halved(sample):
    assert np.array_equal(sample.original, texture()[:40, :50])
    assert np.array_equal(sample.small, halve(texture()[:40, :50]))


def test_the_clean_condition_hands_over_the_halved_pixels(sample, tmp_path):
    path = choose_conditions(["clean"])[0].write(sample.small, tmp_path, "in")
    assert path.suffix == ".png"
    assert np.array_equal(read_picture(path), sample.small)


def test_the_jpeg_condition_hands_over_a_jpeg_file_of_quality_75(sample, tmp_path):
    path = choose_conditions(["jpeg75"])[0].write(sample.small, tmp_path, "in")
    Image.fromarray(sample.small).save(tmp_path / "expected.jpg", quality=75)
    assert path.read_bytes() == (tmp_path / "expected.jpg").read_bytes()


def test_the_png_after_jpeg_has_the_same_pixels_and_no_quantisation_tables(sample, tmp_path):
    jpeg, png = (
        condition.write(sample.small, tmp_path, "in") for condition in choose_conditions(["jpeg75", "jpeg75-png"])
    )
    assert np.array_equal(read_picture(jpeg), read_picture(png))
    with Image.open(png) as image:
        assert image.format == "PNG"
        assert not hasattr(image, "quantization")


def test_all_conditions_are_meant_when_none_is_named():
    assert choose_conditions(None) == list(CONDITIONS)
    with pytest.raises(OptionError, match="choose from clean, jpeg75, jpeg75-png"):
        choose_conditions(["jpeg9"])


def test_only_picture_files_are_found_in_the_order_of_their_names(tmp_path):
    for name in ("b.PNG", "a.webp", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in find_pictures(tmp_path)] == ["a.webp", "b.PNG"]
    assert [path.name for path in find_pictures(tmp_path, 1)] == ["a.webp"]


def test_a_directory_that_is_missing_a_file_or_empty_is_refused_in_words(tmp_path):
    (tmp_path / "file.png").touch()
    (tmp_path / "empty").mkdir()
    for path, words in (("nowhere", "does not exist"), ("file.png", "is a file"), ("empty", "holds no picture")):
        with pytest.raises(InputError, match=words):
            find_pictures(tmp_path / path)


def test_pictures_that_cannot_be_measured_are_refused_in_words(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    Image.fromarray(texture(12, 60)).save(tmp_path / "small.png")
    Image.fromarray(np.zeros((32, 32), np.uint16)).save(tmp_path / "deep.png")
    for name, words in (("broken", "cannot be read"), ("small", "too small"), ("deep", "8 bits")):
        with pytest.raises(InputError, match=words):
            load_sample(tmp_path / f"{name}.png")


def test_a_decompression_bomb_is_refused_in_words(tmp_path, monkeypatch):
    Image.fromarray(texture()).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    with pytest.raises(InputError, match="too many pixels"):
        load_sample(tmp_path / "bomb.png")


def test_the_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(texture(30, 40)).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(load_sample(tmp_path / "turned.png").original, np.rot90(texture(30, 40), -1))


def test_answers_too_large_by_a_power_of_two_are_halved():
    picture = texture(40, 80)
    assert fit_output(picture, (40, 80))[1] == ""
    output, note = fit_output(picture, (20, 40))
    assert np.array_equal(output, halve(picture))
    assert note == "4x, halved"
    with pytest.raises(InputError, match="gave 80x40 px where 41x20 are due"):
        fit_output(picture, (20, 41))


def test_the_baselines_are_plain_enlargements(sample, tmp_path):
    path = CONDITIONS[0].write(sample.small, tmp_path, "in")
    for method, kernel in zip(baselines(), ({}, {"kernel": LANCZOS3}), strict=True):
        method(path, tmp_path / "out.png")
        assert np.array_equal(read_picture(tmp_path / "out.png"), enlarge(sample.small, **kernel))


def test_a_command_is_given_its_files_without_a_shell(tmp_path):
    method = parse_command(python("import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"))
    source, target = tmp_path / "a $HOME b.png", tmp_path / "c; d.png"
    source.write_bytes(b"bytes")
    method(source, target)
    assert target.read_bytes() == b"bytes"


@pytest.mark.parametrize(
    ("code", "words"),
    [("raise SystemExit('no GPU here')", "ended with code 1: no GPU here"), ("pass", "wrote no .png file")],
)
def test_a_command_that_fails_says_so_in_words(tmp_path, code, words):
    with pytest.raises(MethodError, match=words):
        parse_command(python(code))(tmp_path / "in.png", tmp_path / "out.png")


def test_a_command_that_does_not_exist_says_so_in_words(tmp_path):
    with pytest.raises(MethodError, match="cannot be started"):
        Command("x", ("no-such-program-anywhere",))(tmp_path, tmp_path)


@pytest.mark.parametrize("text", ["x", "=prog {input} {output}", "x=prog {input}", "x=prog {output}", "x='prog", "x="])
def test_a_command_of_another_form_is_refused(text):
    with pytest.raises(OptionError, match="--command"):
        parse_command(text)


@pytest.fixture
def measure_module(monkeypatch):
    module = types.ModuleType("somebodys_measures")

    class Distance:
        def __call__(self, a, b):
            assert a.shape[1] == 3
            assert -1 <= a.min() <= a.max() <= 1
            return (a - b).abs().mean((1, 2, 3))

    def crash(a, b):
        raise RuntimeError("out of memory")

    module.Distance, module.crash, module.number = Distance, crash, 3
    monkeypatch.setitem(sys.modules, "somebodys_measures", module)


@pytest.mark.usefixtures("measure_module")
def test_a_measure_plugs_in_by_name_and_sees_the_whole_picture():
    measure = parse_measure("L1=somebodys_measures:Distance:higher")
    black, white = np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 255, np.uint8)
    framed = black.copy()
    framed[0] = 255
    assert (measure.name, measure.better) == ("L1", "higher")
    assert measure(black, white, 2) == pytest.approx(2)
    assert measure(black, framed, 2) == pytest.approx(0.1)
    assert parse_measure("L1=somebodys_measures:Distance").better == "lower"


@pytest.mark.usefixtures("measure_module")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("L1", "not of the form"),
        ("L1=somebodys_measures", "not of the form"),
        ("=somebodys_measures:Distance", "not of the form"),
        ("L1=somebodys_measures:Distance:best", "say :higher or :lower"),
        ("L1=no_such_module:Distance", "set PYTHONPATH"),
        ("L1=somebodys_measures:nothing", "cannot be loaded"),
        ("L1=somebodys_measures:number", "not a function"),
        ("PSNR=somebodys_measures:Distance", "two measures called 'PSNR'"),
    ],
)
def test_a_measure_that_cannot_be_had_is_refused_in_words(text, words):
    with pytest.raises(OptionError, match=words):
        with_plugged_in([text])


@pytest.mark.usefixtures("measure_module")
def test_a_measure_that_crashes_leaves_the_others(sample):
    (result, *_) = evaluate_sample(sample, CONDITIONS[:1], baselines(), with_plugged_in(["X=somebodys_measures:crash"]))
    assert np.isnan(result.values["X"])
    assert result.values["PSNR"] > 0
    assert "X could not be measured (out of memory)" in result.problem


def test_each_method_runs_in_each_condition(sample):
    results = list(evaluate_sample(sample, CONDITIONS, baselines(), with_plugged_in([])))
    assert [(r.condition, r.method) for r in results] == [(c.name, m.name) for c in CONDITIONS for m in baselines()]
    clean, jpeg = results[0].values, results[2].values
    assert clean["PSNR"] > jpeg["PSNR"]
    assert results[2].values == results[4].values
    assert all(result.megapixels == pytest.approx(40 * 50 / 1e6) for result in results)


def test_a_picture_of_the_wrong_size_is_a_failure_in_words(sample):
    same = parse_command(python("import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"))
    text = parse_command(python("import sys; open(sys.argv[2], 'w').write('text')"))
    wrong_size, no_picture = evaluate_sample(sample, CONDITIONS[:1], [same, text], with_plugged_in([]))
    assert wrong_size.failed
    assert "gave 25x20 px where 50x40 are due" in wrong_size.problem
    assert "cannot be read as an 8-bit picture" in no_picture.problem


def test_a_method_that_crashes_is_named_and_leaves_the_others(sample):
    class Crash:
        name = "crash"

        def __call__(self, input_path, output_path):
            raise RuntimeError("CUDA error: device lost\nand more")

    methods = [Crash(), *baselines()]
    crashed, *others = evaluate_sample(sample, CONDITIONS[:1], methods, with_plugged_in([]))
    assert crashed.failed
    assert crashed.problem == "CUDA error: device lost"
    assert [result.values["PSNR"] > 0 for result in others] == [True] * len(baselines())


def test_the_hardest_area_is_where_bicubic_fails_most(tmp_path):
    picture = np.full((300, 200, 3), 128, np.uint8)
    picture[190:230, 20:60] = texture(40, 40)
    Image.fromarray(picture).save(tmp_path / "picture.png")
    area = hardest_area(load_sample(tmp_path / "picture.png"))
    assert (area.height, area.width) == (128, 128)
    assert area.top <= 190
    assert area.top + 128 >= 230
    assert area.left <= 20


def test_a_contact_sheet_shows_original_and_methods_at_twice_the_size(sample):
    broken = Command("broken", ("no-such-program-anywhere",))
    results = list(evaluate_sample(sample, CONDITIONS[:2], [*baselines(), broken], with_plugged_in([])))
    sheet = np.asarray(contact_sheet(sample, results))
    assert sheet.shape == (2 * (2 * 40 + 26), 4 * (2 * 50 + 4), 3)
    assert np.array_equal(sheet[22 : 22 + 80 : 2, :100:2], sample.original)
    assert np.array_equal(sheet[22 : 22 + 80 : 2, 104:204:2], results[0].output)


def test_measures_see_float_tensors_on_the_scale_they_expect():
    seen = []
    module = types.ModuleType("seen_measure")
    module.look = lambda a, b: (seen.append((a, b)), torch.zeros(1))[1]
    sys.modules["seen_measure"] = module
    try:
        parse_measure("L=seen_measure:look")(texture(20, 30), texture(20, 30, 1), 2)
    finally:
        del sys.modules["seen_measure"]
    assert seen[0][0].shape == (1, 3, 20, 30)
    assert seen[0][0].dtype == torch.float32
