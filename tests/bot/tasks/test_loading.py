"""Loading by folder, file or id: laid out for the budget, and every failure in one line of words."""

import json
import logging
import re
import subprocess
import sys

import numpy as np
import pytest
import tiny_pipelines
import torch
from diffusers import ModelMixin, PixArtTransformer2DModel, StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from single_files import write_single_file
from small_hub import Hub, small_hub
from tiny_pipelines import FAMILIES, call_arguments
from transformers import CLIPConfig, CLIPImageProcessorPil

from tilestep.bot.gpu.errors import DoesNotFit
from tilestep.bot.gpu.gate import RecordingGate, TaskCancelled
from tilestep.bot.tasks.errors import ModelError
from tilestep.bot.tasks.loading import load_text_to_image
from tilestep.bot.tasks.measure import measure_need
from tilestep.bot.tasks.pipeline import run_pipeline

GIB = 2**30
CLOSED = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folders of saved pipelines by family."""
    root = tmp_path_factory.mktemp("models")
    for family in ("stable diffusion", "pixart"):
        FAMILIES[family]().save_pretrained(root / family)
    return root


def picture(pipe, family: str) -> np.ndarray:
    return np.array(run_pipeline(pipe, RecordingGate(), call_arguments(family, 2), 5)[0])


def refusal(model, **options) -> str:
    """The one line in which loading is refused."""
    with pytest.raises(ModelError) as error:
        load_text_to_image(model, "cpu", GIB, **options)
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("family", ["stable diffusion", "pixart"])
def test_a_saved_pipeline_makes_the_same_pictures_after_loading(saved, family) -> None:
    gate = RecordingGate()
    loaded = load_text_to_image(saved / family, "cpu", GIB, gate=gate)
    original = FAMILIES[family]()
    assert np.array_equal(picture(loaded, family), picture(original, family))
    assert set(gate.phases) == {"load"}
    assert loaded.plan.dtype == "float32"
    assert loaded.pipe.vae.use_tiling
    assert loaded.sizes.denoiser == sum(
        tensor.numel() for tensor in (getattr(original, "unet", None) or original.transformer).parameters()
    )


def test_the_need_of_a_loaded_model_grows_with_the_picture(saved) -> None:
    loaded = load_text_to_image(saved / "stable diffusion", "cpu", GIB)
    assert loaded.need().weights == loaded.weights
    assert loaded.weights.startswith(loaded.model)
    assert loaded.need(64, 64).peak_bytes > loaded.need().peak_bytes
    assert measure_need(loaded).need == loaded.need()


def test_a_smaller_budget_takes_a_smaller_number_format(saved) -> None:
    whole = load_text_to_image(saved / "stable diffusion", "cpu", GIB).need().alone_bytes
    loaded = load_text_to_image(saved / "stable diffusion", "cpu", whole * 2 // 3)
    assert loaded.plan.dtype == "bfloat16"
    assert loaded.pipe.unet.dtype == torch.bfloat16
    assert picture(loaded, "stable diffusion").std() > 0


def test_a_still_smaller_budget_stores_the_denoiser_in_8_bits(saved) -> None:
    half = load_text_to_image(saved / "pixart", "cpu", GIB).need().alone_bytes // 2
    loaded = load_text_to_image(saved / "pixart", "cpu", half - 1)
    assert loaded.plan.float8_weights
    assert torch.float8_e4m3fn in {tensor.dtype for tensor in loaded.pipe.transformer.parameters()}
    assert picture(loaded, "pixart").std() > 0


def test_8_bit_weights_are_8_bit_before_they_go_to_the_device(saved, monkeypatch) -> None:
    moved = []

    def to(module, *args, **kwargs):
        if any(isinstance(value, (str, torch.device)) for value in args):
            moved.append(sum(weight.nbytes for weight in module.parameters()))
        return ModelMixin.to(module, *args, **kwargs)

    monkeypatch.setattr(PixArtTransformer2DModel, "to", to)
    half = load_text_to_image(saved / "pixart", "cpu", GIB).need().alone_bytes // 2
    moved.clear()
    loaded = load_text_to_image(saved / "pixart", "cpu", half - 1)
    assert moved
    assert set(moved) == {sum(weight.nbytes for weight in loaded.pipe.transformer.parameters())}


def test_two_loads_of_a_model_are_told_apart(saved) -> None:
    one, two = (load_text_to_image(saved / "stable diffusion", "cpu", GIB) for _ in range(2))
    assert one.need().weights != two.need().weights


def test_memory_that_runs_out_while_loading_is_said_in_words(saved, monkeypatch) -> None:
    def to(module, *args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of")

    monkeypatch.setattr(PixArtTransformer2DModel, "to", to)
    text = refusal(saved / "pixart")
    assert "the memory ran out" in text
    assert "capacity" not in text


def test_a_model_that_cannot_fit_is_refused_with_the_numbers(saved) -> None:
    with pytest.raises(DoesNotFit, match=r"needs .* MiB .* the budget has 0\.0 MiB left") as error:
        load_text_to_image(saved / "stable diffusion", "cpu", 1000)
    assert error.value.budget_bytes == 1000


def test_loading_can_be_cancelled_between_components(saved) -> None:
    gate = RecordingGate(cancel_after=2)
    with pytest.raises(TaskCancelled):
        load_text_to_image(saved / "stable diffusion", "cpu", GIB, gate=gate)
    assert gate.phases == ["load"] * 2


def test_a_pipeline_of_another_task_is_loaded_as_text_to_image(saved, tmp_path) -> None:
    original = tiny_pipelines.stable_diffusion()
    other = StableDiffusionImg2ImgPipeline(**original.components, requires_safety_checker=False)
    other.save_pretrained(tmp_path / "img2img")
    loaded = load_text_to_image(tmp_path / "img2img", "cpu", GIB)
    assert np.array_equal(picture(loaded, "stable diffusion"), picture(original, "stable diffusion"))


def test_what_makes_no_pictures_from_text_is_refused(tmp_path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"]}')
    assert "is a DDPMPipeline, not a text-to-image model" in refusal(tmp_path)
    (tmp_path / "model_index.json").write_text('{"_class_name": "KandinskyV22Pipeline"}')
    assert "several repositories" in refusal(tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path) -> None:
    assert "has no model_index.json" in refusal(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"unet": 1}'])
def test_a_broken_index_is_refused(tmp_path, text) -> None:
    (tmp_path / "model_index.json").write_text(text)
    assert "is broken" in refusal(tmp_path)


@pytest.mark.parametrize("keep", [0, 8, 5000])
def test_broken_weights_are_refused(saved, tmp_path, keep) -> None:
    tiny_pipelines.stable_diffusion().save_pretrained(tmp_path / "model")
    weights = tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    text = refusal(tmp_path / "model")
    assert "broken" in text or "cannot be loaded" in text


def test_a_path_that_is_not_there_is_no_id() -> None:
    assert "There is no model at ./models/fox" in refusal("./models/fox")
    assert "There is no model at a/b/c" in refusal("a/b/c")


def test_a_file_that_is_not_safetensors_is_refused(tmp_path) -> None:
    (tmp_path / "model.ckpt").write_bytes(b"pickle")
    assert "convert it" in refusal(tmp_path / "model.ckpt")
    (tmp_path / "model.safetensors").write_bytes(b"no header at all")
    assert "is broken" in refusal(tmp_path / "model.safetensors")


def test_a_single_file_is_loaded_with_the_configuration_of_what_it_descends_from(saved, tmp_path) -> None:
    original = tiny_pipelines.stable_diffusion()
    write_single_file(original, tmp_path / "fox.safetensors")
    with small_hub(Hub({"stable-diffusion-v1-5/stable-diffusion-v1-5": saved / "stable diffusion"})) as hub:
        gate = RecordingGate()
        where = {"endpoint": hub.endpoint, "cache_dir": tmp_path, "gate": gate}
        loaded = load_text_to_image(tmp_path / "fox.safetensors", "cpu", GIB, **where)
        assert not [name for name in hub.served if name.endswith(".safetensors")]
    assert set(gate.phases) == {"load"}
    assert np.array_equal(picture(loaded, "stable diffusion"), picture(original, "stable diffusion"))


def test_a_single_file_without_network_says_what_it_lacks(tmp_path) -> None:
    write_single_file(tiny_pipelines.stable_diffusion(), tmp_path / "fox.safetensors")
    text = refusal(tmp_path / "fox.safetensors", endpoint=CLOSED, cache_dir=tmp_path)
    assert "cannot be reached" in text


def test_the_16_bit_variant_and_a_safety_checker_are_loaded_too(tmp_path) -> None:
    original = with_safety_checker().to(torch.bfloat16)
    original.save_pretrained(tmp_path, variant="fp16")
    loaded = load_text_to_image(tmp_path, "cpu", GIB)
    assert isinstance(loaded.pipe.safety_checker, StableDiffusionSafetyChecker)
    assert loaded.sizes.other == sum(tensor.numel() for tensor in original.safety_checker.parameters())
    assert np.array_equal(picture(loaded, "stable diffusion"), picture(original.to(torch.float32), "stable diffusion"))


def with_safety_checker() -> StableDiffusionPipeline:
    layers = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**layers, "image_size": 30, "patch_size": 15}
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, text_config=layers, projection_dim=8))
    size = {"size": {"shortest_edge": 30}, "crop_size": 30}
    parts = tiny_pipelines.stable_diffusion().components
    parts |= {"safety_checker": checker.eval(), "feature_extractor": CLIPImageProcessorPil(**size)}
    return StableDiffusionPipeline(**parts)


def test_a_model_comes_from_the_hub_and_then_from_the_cache(saved, tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO, "tilestep")
    where = {"cache_dir": tmp_path / "cache"}
    with small_hub(Hub({"org/tiny": saved / "stable diffusion"})) as hub:
        loaded = load_text_to_image("org/tiny", "cpu", GIB, endpoint=hub.endpoint, **where)
        expected = picture(loaded, "stable diffusion")
        assert len(hub.served) == len(set(hub.served)) > 5
        hub.failing = 503
        again = load_text_to_image("org/tiny", "cpu", GIB, endpoint=hub.endpoint, **where)
    assert np.array_equal(picture(again, "stable diffusion"), expected)
    lines = [record.getMessage() for record in caplog.records]
    assert any(re.fullmatch(r"Fetching org/tiny: 100 % \(0\.\d of 0\.\d MB, .* MB/s\)", line) for line in lines)
    assert any("loaded from the cache" in line for line in lines)
    assert "Loaded unet of org/tiny" in lines
    assert not [line for line in lines if "\x1b" in line or "Reconstruct" in line]


def test_a_long_download_is_told_while_it_goes_on(saved, tmp_path, caplog, monkeypatch) -> None:
    caplog.set_level(logging.INFO, "tilestep")
    monkeypatch.setattr("tilestep.bot.tasks.download.LOG_EVERY_S", 0.0)
    with small_hub(Hub({"org/tiny": saved / "stable diffusion"})) as hub:
        load_text_to_image("org/tiny", "cpu", GIB, endpoint=hub.endpoint, cache_dir=tmp_path)
    told = [record.getMessage() for record in caplog.records if "%" in record.getMessage()]
    assert any("100 %" not in line for line in told)
    assert all(line.startswith("Fetching org/tiny: ") for line in told)


def test_a_connection_that_breaks_off_is_said_in_words(saved, tmp_path) -> None:
    with small_hub(Hub({"org/tiny": saved / "stable diffusion"}, breaking_off=True)) as hub:
        text = refusal("org/tiny", endpoint=hub.endpoint, cache_dir=tmp_path)
    assert "cannot be reached" in text


def test_a_model_too_large_is_refused_before_its_weights_are_fetched(saved, tmp_path) -> None:
    with small_hub(Hub({"org/tiny": saved / "stable diffusion"})) as hub:
        with pytest.raises(DoesNotFit, match="org/tiny needs"):
            load_text_to_image("org/tiny", "cpu", 1000, endpoint=hub.endpoint, cache_dir=tmp_path)
        assert not [name for name in hub.served if name.endswith(".safetensors")]


def test_a_wrong_id_is_said_to_be_wrong(tmp_path) -> None:
    with small_hub(Hub({})) as hub:
        assert "There is no model org/typo on Hugging Face" in refusal(
            "org/typo", endpoint=hub.endpoint, cache_dir=tmp_path
        )
    assert "neither a folder" in refusal("two words", endpoint=CLOSED, cache_dir=tmp_path)


def test_a_gated_model_says_how_to_get_in_and_a_token_opens_it(saved, tmp_path) -> None:
    hub = Hub({"org/tiny": saved / "stable diffusion"}, gated=frozenset({"org/tiny"}))
    with small_hub(hub):
        where = {"endpoint": hub.endpoint, "cache_dir": tmp_path}
        text = refusal("org/tiny", **where)
        assert "accept its terms at https://huggingface.co/org/tiny" in text
        load_text_to_image("org/tiny", "cpu", GIB, token=hub.token, **where)


def test_no_network_is_said_in_words(tmp_path) -> None:
    text = refusal("org/tiny", endpoint=CLOSED, cache_dir=tmp_path)
    assert "cannot be reached" in text


def test_a_hub_that_is_down_is_said_in_words(tmp_path) -> None:
    with small_hub(Hub({}, failing=503)) as hub:
        assert "answered 503" in refusal("org/tiny", endpoint=hub.endpoint, cache_dir=tmp_path)


def test_a_token_that_is_refused_is_said_to_be(tmp_path) -> None:
    with small_hub(Hub({}, failing=403)) as hub:
        assert "check HF_TOKEN" in refusal("org/tiny", token="old", endpoint=hub.endpoint, cache_dir=tmp_path)


def test_importing_the_tasks_imports_neither_torch_nor_diffusers() -> None:
    code = (
        "import sys, tilestep.bot.tasks.pipeline, tilestep.bot.tasks.loading, tilestep.bot.tasks.measure;"
        "print([name for name in ('torch', 'diffusers', 'transformers', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.replace("'", '"')) == []
