"""The layout of a model for a budget: the best that fits, or a refusal with the numbers."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilestep.bot.gpu.errors import DoesNotFit
from tilestep.bot.gpu.memory import Admission
from tilestep.bot.tasks.files import WeightCount
from tilestep.bot.tasks.memory import LAYOUTS, MemoryPlan, ModelSizes, estimate_need, plan_memory
from tilestep.bot.tasks.roles import component_role
from tilestep.bot.tasks.sizes import model_sizes

MIB, GIB = 2**20, 2**30
MILLION = 10**6

STABLE_DIFFUSION = model_sizes(
    {
        "unet": WeightCount(860 * MILLION, 20 * MILLION),
        "text_encoder": WeightCount(123 * MILLION, 38 * MILLION),
        "vae": WeightCount(84 * MILLION, MILLION),
    },
    {"unet": "denoiser", "text_encoder": "text encoder", "vae": "vae"},
    {
        "unet": {"sample_size": 64, "block_out_channels": [320, 640, 1280, 1280]},
        "text_encoder": {"hidden_size": 768},
        "vae": {"block_out_channels": [128, 256, 512, 512], "force_upcast": True},
    },
)
PIXART = model_sizes(
    {
        "transformer": WeightCount(611 * MILLION, 5 * MILLION),
        "text_encoder": WeightCount(4762 * MILLION, 132 * MILLION),
        "vae": WeightCount(84 * MILLION, MILLION),
    },
    {"transformer": "denoiser", "text_encoder": "text encoder", "vae": "vae"},
    {
        "transformer": {"sample_size": 128, "num_attention_heads": 16, "attention_head_dim": 72},
        "text_encoder": {"d_model": 4096},
        "vae": {"block_out_channels": [128, 256, 512, 512]},
    },
)

counts = st.integers(0, 20 * 10**9)
small_counts = st.integers(0, 10**9)
any_sizes = st.builds(
    ModelSizes,
    denoiser=counts,
    text_encoders=counts,
    vae=small_counts,
    other=small_counts,
    largest_layer=small_counts,
    transformer=st.booleans(),
    vae_upcast=st.booleans(),
    encode_values=small_counts,
    denoise_values=small_counts,
    decode_values_per_px=st.integers(0, 4096),
    held_values=small_counts,
)
budgets = st.integers(0, 160 * GIB)
devices = st.sampled_from(["cpu", "cuda", "cuda:1"])


def rank(plan: MemoryPlan) -> tuple[bool, int, int]:
    """Smaller is better."""
    return plan.float8_weights, -int(plan.dtype == "float32"), LAYOUTS.index((plan.text_encoders, plan.vae_tile_px))


def planned(sizes: ModelSizes, budget: int, device: str, beside: int = 0) -> MemoryPlan | DoesNotFit:
    try:
        return plan_memory(sizes, budget, device, beside_bytes=beside)
    except DoesNotFit as refusal:
        return refusal


@given(any_sizes, budgets, devices)
@settings(deadline=None)
def test_a_plan_keeps_within_the_budget_and_a_refusal_says_what_is_missing(sizes, budget, device) -> None:
    plan = planned(sizes, budget, device)
    if isinstance(plan, DoesNotFit):
        assert plan.needed_bytes > plan.budget_bytes == budget
    else:
        assert plan.need.alone_bytes <= budget
        assert plan.need == estimate_need(sizes, plan)


@given(any_sizes, budgets, budgets, devices)
@settings(deadline=None)
def test_a_larger_budget_never_gives_a_worse_layout(sizes, budget, more, device) -> None:
    plan = planned(sizes, budget, device)
    if isinstance(plan, MemoryPlan):
        assert rank(plan_memory(sizes, budget + more, device)) <= rank(plan)


@given(any_sizes, budgets, budgets, devices)
@settings(deadline=None)
def test_a_plan_leaves_room_for_the_largest_step_of_other_work(sizes, budget, beside, device) -> None:
    plan = planned(sizes, budget, device, beside)
    if isinstance(plan, DoesNotFit):
        assert plan.needed_bytes > budget
    else:
        assert plan.need.resident_bytes + plan.need.held_bytes + max(plan.need.peak_bytes, beside) <= budget


@given(any_sizes, st.integers(16, 2048), st.integers(1, 4))
@settings(deadline=None)
def test_larger_and_more_pictures_never_need_less(sizes, side, images) -> None:
    plan = MemoryPlan("float16")
    small = estimate_need(sizes.at(side, side), plan)
    large = estimate_need(sizes.at(side, side + 8, images), plan)
    assert large.alone_bytes >= small.alone_bytes


def test_a_model_on_the_cpu_is_not_moved_about_and_is_in_float32() -> None:
    plan = plan_memory(STABLE_DIFFUSION, 64 * GIB, "cpu")
    assert (plan.dtype, plan.text_encoders) == ("float32", "resident")
    assert plan_memory(STABLE_DIFFUSION, 4 * GIB, "cpu").dtype == "bfloat16"


def test_stable_diffusion_is_whole_on_a_card_of_10_gb() -> None:
    plan = plan_memory(STABLE_DIFFUSION, 9 * GIB)
    assert (plan.dtype, plan.text_encoders, plan.vae_tile_px) == ("float16", "resident", 512)
    assert not plan.text_encoders_offloaded
    assert plan.vae_tiled


def test_a_text_encoder_larger_than_the_card_is_streamed_through_it() -> None:
    plan = plan_memory(PIXART, 9 * GIB)
    assert (plan.dtype, plan.text_encoders, plan.float8_weights) == ("bfloat16", "streamed", False)


def test_between_the_two_it_is_swapped() -> None:
    assert plan_memory(PIXART, 11 * GIB).text_encoders == "swapped"
    assert plan_memory(PIXART, 16 * GIB).text_encoders == "resident"


def test_a_denoiser_that_is_too_large_in_16_bits_is_stored_in_8() -> None:
    large = replace(PIXART, denoiser=6000 * MILLION)
    plan = plan_memory(large, 9 * GIB)
    assert plan.float8_weights
    assert "float8" in plan.describe()


def test_the_refusal_names_the_model_and_the_numbers() -> None:
    with pytest.raises(DoesNotFit) as refusal:
        plan_memory(replace(PIXART, denoiser=12000 * MILLION), 9 * GIB, name="big/model")
    text = str(refusal.value)
    assert text.startswith("big/model needs 1")
    assert "the budget has 9.0 GiB left" in text
    assert "\n" not in text


def test_a_vae_that_is_cast_while_it_decodes_is_counted_in_float32() -> None:
    plan = MemoryPlan("float16")
    cast = estimate_need(replace(STABLE_DIFFUSION, vae_upcast=True), plan)
    plain = estimate_need(STABLE_DIFFUSION, plan)
    assert cast.phase_peaks["decode"] == 2 * plain.phase_peaks["decode"]


def test_the_float32_copy_that_requests_decode_with_is_counted_once_among_the_weights() -> None:
    plan = MemoryPlan("float16")
    cast = replace(estimate_need(replace(STABLE_DIFFUSION, vae_upcast=True), plan), weights="sd")
    plain = replace(estimate_need(STABLE_DIFFUSION, plan), weights="sd")
    copy_bytes = 4 * STABLE_DIFFUSION.vae
    assert cast.resident_bytes == plain.resident_bytes + copy_bytes
    admission = Admission(100 * GIB)
    for job in range(8):
        admission.admit(job, cast)
    taken = admission.statistics()
    assert taken.resident_bytes + taken.held_bytes == cast.resident_bytes + 8 * plain.held_bytes


def test_pictures_of_one_request_are_decoded_together_unless_the_vae_slices_them() -> None:
    plan = MemoryPlan("float16")
    one, four = (estimate_need(STABLE_DIFFUSION.at(1024, 1024, images), plan) for images in (1, 4))
    sliced = estimate_need(STABLE_DIFFUSION.at(1024, 1024, 4), replace(plan, vae_sliced=True))
    assert four.phase_peaks["decode"] == 4 * one.phase_peaks["decode"]
    assert one.phase_peaks["decode"] < sliced.phase_peaks["decode"] < 2 * one.phase_peaks["decode"]
    assert four.held_bytes == 4 * one.held_bytes


@pytest.mark.parametrize(
    ("name", "library", "role"),
    [
        ("unet", "diffusers", "denoiser"),
        ("transformer_2", "diffusers", "denoiser"),
        ("vae", "diffusers", "vae"),
        ("movq", "diffusers", "vae"),
        ("text_encoder_3", "transformers", "text encoder"),
        ("text_encoder", "kolors", "text encoder"),
        ("vision_language_encoder", "transformers", "text encoder"),
        ("safety_checker", "stable_diffusion", "other"),
        ("tokenizer_2", "transformers", "other"),
        ("prior_text_encoder", "transformers", "text encoder"),
    ],
)
def test_what_a_component_is_for_is_told_from_its_name_and_library(name, library, role) -> None:
    assert component_role(name, library) == role
