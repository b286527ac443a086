"""Weights that wait in host memory, and what text encoders answered lately."""

import numpy as np
import pytest
import tiny_pipelines
import torch
from tiny_pipelines import call_arguments

from tilestep.bot.gpu.gate import RecordingGate
from tilestep.bot.tasks.encode import EmbeddingCache
from tilestep.bot.tasks.loaded import LoadedPipeline
from tilestep.bot.tasks.pipeline import run_pipeline
from tilestep.bot.tasks.placement import HostWeights, stream_weights
from tilestep.bot.tasks.trees import NotATree, first_tensor, map_tensors, tree_bytes, tree_key

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipelines.stable_diffusion_3()


def picture(pipe, prompt: str = "a red fox", seed: int = 3) -> np.ndarray:
    arguments = call_arguments("stable diffusion 3", 2, prompt=prompt)
    return np.array(run_pipeline(pipe, RecordingGate(), arguments, seed)[0])


def places(module) -> list[int]:
    """Where in memory a module's weights lie: the CPU stands for both sides here."""
    return [tensor.data_ptr() for tensor in (*module.parameters(), *module.buffers())]


def test_weights_lie_elsewhere_between_bring_and_evict_and_are_unchanged() -> None:
    module = tiny_pipelines.clip_encoder()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    weights = HostWeights([module], CPU)
    host = places(module)
    weights.bring()
    assert not set(places(module)) & set(host)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    weights.evict()
    assert places(module) == host
    assert weights.bytes >= sum(tensor.nbytes for tensor in module.parameters())


def test_weights_may_come_and_go_in_inference_mode() -> None:
    module = tiny_pipelines.clip_encoder()
    weights = HostWeights([module], CPU)
    with torch.inference_mode():
        weights.bring()
        assert not any(tensor.is_inference() for tensor in module.parameters())
        weights.evict()
    assert not any(tensor.is_inference() for tensor in module.parameters())


@pytest.mark.parametrize("make", [tiny_pipelines.t5_encoder, tiny_pipelines.clip_encoder])
def test_a_streamed_encoder_answers_as_before(make) -> None:
    torch.manual_seed(0)
    module = make()
    tokens = torch.arange(3, 11)[None]
    with torch.inference_mode():
        expected = module(tokens)[0]
        largest = stream_weights(module, CPU)
        assert torch.equal(module(tokens)[0], expected)
    total = sum(tensor.nbytes for tensor in module.parameters())
    assert 0 < largest < total / 2


def test_a_streamed_layer_is_brought_only_while_it_runs() -> None:
    layers = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
    stream_weights(layers, CPU)
    host = places(layers)
    moved = []

    def look(*_) -> None:
        moved.append([place != at_rest for place, at_rest in zip(places(layers), host, strict=True)])

    layers[0].register_forward_hook(look)
    layers[1].register_forward_pre_hook(look)
    layers(torch.ones(1, 4))
    assert moved == [[False] * 4, [False, False, True, True]]
    assert places(layers) == host


def test_a_streamed_layer_that_fails_is_moved_out_all_the_same() -> None:
    layer = torch.nn.Linear(4, 4)
    stream_weights(layer, CPU)
    host = places(layer)
    with pytest.raises(RuntimeError):
        layer(torch.ones(1, 5))
    assert places(layer) == host


def test_the_same_prompt_is_encoded_once_and_the_picture_is_the_same(pipe) -> None:
    expected = picture(pipe)
    cache = EmbeddingCache()
    loaded = LoadedPipeline(pipe, cache=cache)
    first = picture(loaded)
    asked = cache.hits
    assert np.array_equal(first, expected)
    assert np.array_equal(picture(loaded), expected)
    assert cache.hits - asked == 6
    assert not np.array_equal(picture(loaded, "blue sea"), expected)


def test_the_cache_keeps_within_its_bytes_and_forgets_the_oldest() -> None:
    cache = EmbeddingCache(max_bytes=100)
    for key in "abc":
        cache.put(key, (torch.zeros(10),))
    assert cache.get("a") is None
    assert cache.get("b") is not None
    cache.put("d", (torch.zeros(10),))
    assert cache.get("c") is None
    assert cache.get("b") is not None
    cache.put("e", (torch.zeros(1000),))
    assert cache.get("e") is None


def test_what_is_cached_is_a_copy() -> None:
    cache = EmbeddingCache()
    tensor = torch.zeros(3)
    cache.put("key", {"embedding": tensor})
    tensor += 1
    assert torch.equal(cache.get("key")["embedding"], torch.zeros(3))


def test_trees_of_tensors_keep_their_structure_and_are_told_apart_by_contents() -> None:
    tree = {"a": (torch.zeros(2), [torch.ones(3, dtype=torch.bfloat16), None]), "b": 1}
    doubled = map_tensors(tree, lambda tensor: tensor * 2)
    assert torch.equal(doubled["a"][1][0], torch.full((3,), 2.0, dtype=torch.bfloat16))
    assert doubled["b"] == 1
    assert tree_bytes(tree) == 8 + 6
    assert tree_key(tree) == tree_key(map_tensors(tree, torch.clone))
    assert tree_key(tree) != tree_key(doubled)
    assert first_tensor(tree) is tree["a"][0]


def test_what_is_no_tree_is_said_so() -> None:
    with pytest.raises(NotATree):
        tree_key({"cache": object()})
    with pytest.raises(NotATree):
        map_tensors([object()], torch.clone)
    with pytest.raises(NotATree):
        first_tensor(["text"])
