"""Which files of a repository are fetched, and what weight files say of themselves."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from tilestep.bot.tasks.errors import ModelError
from tilestep.bot.tasks.files import WeightCount, choose_files, count_of_pickle, parse_index, read_header

COMPONENTS = ("unet", "vae", "tokenizer", "scheduler")
REPOSITORY = [
    "README.md",
    "model_index.json",
    "model.safetensors",
    "v1-5-pruned.ckpt",
    "scheduler/scheduler_config.json",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.fp16.bin",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "unet/openvino_model.bin",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "vae_encoder/model.onnx",
]


def test_one_set_of_weights_is_chosen_for_each_component_and_the_small_files() -> None:
    chosen = choose_files(REPOSITORY, COMPONENTS, half=True)
    assert chosen.weights == {
        "unet": ("unet/diffusion_pytorch_model.fp16.safetensors",),
        "vae": ("vae/diffusion_pytorch_model.safetensors",),
    }
    assert chosen.half == {"unet"}
    assert set(chosen.small) == {name for name in REPOSITORY if name.endswith((".json", ".txt"))}


def test_full_precision_is_taken_where_it_is_asked_for() -> None:
    chosen = choose_files(REPOSITORY, COMPONENTS, half=False)
    assert chosen.weights["unet"] == ("unet/diffusion_pytorch_model.safetensors",)
    assert chosen.half == frozenset()


def test_pieces_of_one_model_stay_together_and_pickles_are_the_last_resort() -> None:
    names = [f"transformer/diffusion_pytorch_model-0000{piece}-of-00002.safetensors" for piece in (2, 1)]
    chosen = choose_files([*names, "text_encoder/pytorch_model.bin"], ["transformer", "text_encoder"], half=True)
    assert chosen.weights["transformer"] == tuple(sorted(names))
    assert chosen.weights["text_encoder"] == ("text_encoder/pytorch_model.bin",)


@given(st.lists(st.text("abc./-0", max_size=20)), st.lists(st.sampled_from(COMPONENTS)), st.booleans())
@settings(deadline=None)
def test_nothing_outside_the_components_is_ever_chosen(names, components, half) -> None:
    chosen = choose_files(names, components, half)
    every = [*chosen.small, *(name for files in chosen.weights.values() for name in files)]
    assert all(name == "model_index.json" or name.rpartition("/")[0] in components for name in every)


def test_a_header_counts_the_values_without_reading_them(tmp_path) -> None:
    save_file({"a": torch.zeros(3, 4), "b": torch.zeros(5), "c": torch.zeros(())}, tmp_path / "w.safetensors")
    assert read_header(tmp_path / "w.safetensors") == WeightCount(18, 12)
    assert WeightCount(18, 12) + WeightCount(2, 20) == WeightCount(20, 20)


def test_a_pickle_is_reckoned_from_its_size() -> None:
    assert count_of_pickle("pytorch_model.bin", 4000).values == 1000
    assert count_of_pickle("pytorch_model.fp16.bin", 4000).values == 2000


@pytest.mark.parametrize("content", [b"", b"\x02\0\0\0\0\0\0\0[]", b"\xff" * 8, b'\x05\0\0\0\0\0\0\0{"a":'])
def test_a_broken_header_is_said_to_be_broken(tmp_path, content) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="is broken"):
        read_header(tmp_path / "w.safetensors")


def test_an_index_names_what_the_pipeline_has() -> None:
    text = '{"_class_name": "P", "unet": ["diffusers", "U"], "image_encoder": [null, null], "flag": true}'
    index = parse_index(text, "a model")
    assert index.class_name == "P"
    assert index.components == {"unet": ("diffusers", "U")}
