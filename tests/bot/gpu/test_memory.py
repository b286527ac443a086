"""Admission within a budget of bytes, in virtual steps."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilestep.bot.gpu.errors import DoesNotFit
from tilestep.bot.gpu.memory import Admission, MemoryNeed, default_budget

GIB = 1 << 30


def image(weights="sd15", resident=4, denoise=2, decode=3, held=0):
    return MemoryNeed(resident * GIB, {"denoise": denoise * GIB, "decode": decode * GIB}, weights, held * GIB)


needs = st.builds(
    MemoryNeed,
    resident_bytes=st.integers(0, 60),
    phase_peaks=st.dictionaries(st.sampled_from(["encode", "denoise", "decode"]), st.integers(0, 60)),
    weights=st.sampled_from([None, "a", "b"]),
    held_bytes=st.integers(0, 10),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(needs, max_size=12), st.data())
def test_whatever_is_admitted_no_step_of_it_leaves_the_budget(wanted, data):
    admission = Admission(100)
    admitted = {}
    for job, need in enumerate(wanted):
        if admission.fits(need):
            admission.admit(job, need)
            admitted[job] = need
        elif admitted and data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(sorted(admitted)))
            admission.release(gone)
            del admitted[gone]
        shared = {need.weights: 0 for need in admitted.values() if need.weights}
        for need in admitted.values():
            if need.weights:
                shared[need.weights] = max(shared[need.weights], need.resident_bytes)
        stays = sum(shared.values()) + sum(
            need.held_bytes + (0 if need.weights else need.resident_bytes) for need in admitted.values()
        )
        for need in admitted.values():
            for peak in need.phase_peaks.values():
                assert stays + peak <= 100


def test_jobs_of_one_model_share_its_weights_and_peaks_never_add_up():
    admission = Admission(10 * GIB)
    for job in range(3):
        admission.admit(job, image(held=1))
    taken = admission.statistics()
    assert (taken.resident_bytes, taken.held_bytes, taken.largest_phase_bytes) == (4 * GIB, 3 * GIB, 3 * GIB)
    assert taken.planned_bytes == 10 * GIB
    assert not admission.fits(image(held=1))


def test_work_that_can_never_fit_is_refused_with_the_numbers():
    numbers = r"needs 13\.00 GiB .*10\.00 GiB to stay, 3\.00 GiB .* decode.* budget is 9\.00 GiB"
    with pytest.raises(DoesNotFit, match=numbers) as no:
        Admission(9 * GIB).check(image(resident=10), "Big model")
    assert (no.value.needed_bytes, no.value.budget_bytes) == (13 * GIB, 9 * GIB)


def test_what_is_pinned_counts_against_everybody():
    admission = Admission(8 * GIB)
    admission.keep("upscaler", MemoryNeed(2 * GIB, {"tiles": GIB}), pinned=True)
    with pytest.raises(DoesNotFit, match=r"2\.00 GiB are taken for good"):
        admission.check(image(), "Model")
    admission.check(image(resident=3), "Model")


def test_what_is_pinned_again_takes_the_place_of_what_it_was():
    admission = Admission(9 * GIB)
    for resident in (3, 4):
        admission.keep("upscaler", MemoryNeed(resident * GIB, {"tiles": 3 * GIB}, held_bytes=GIB), pinned=True)
    admission.keep("model", image(resident=1), pinned=True)
    assert admission.pinned().planned_bytes == 9 * GIB
    assert admission.pinned(but="upscaler").planned_bytes == 4 * GIB


def test_a_released_job_makes_room():
    admission = Admission(8 * GIB)
    admission.admit(1, image())
    assert not admission.fits(image(weights="other"))
    admission.release(1)
    admission.release(1)
    assert admission.fits(image(weights="other"))


def test_idle_weights_make_room_least_recently_used_first():
    admission = Admission(20 * GIB)
    for name in ("old", "used", "new"):
        admission.keep(name, MemoryNeed(4 * GIB))
    admission.admit(1, image(weights="old", resident=4))
    admission.release(1)
    assert admission.to_evict(image(weights="big", resident=9)) == ("used",)
    assert admission.to_evict(image(weights="big", resident=12)) == ("used", "new")
    assert admission.to_evict(image(weights="big", resident=18)) is None


def test_weights_in_use_are_not_evicted():
    admission = Admission(9 * GIB)
    admission.keep("busy", MemoryNeed(4 * GIB))
    admission.admit(1, image(weights="busy"))
    assert admission.to_evict(image(weights="other")) is None


def test_dropped_weights_no_longer_count():
    admission = Admission(8 * GIB)
    admission.keep("idle", MemoryNeed(4 * GIB))
    assert not admission.fits(image())
    admission.drop("idle")
    assert admission.fits(image())


def test_without_a_budget_everything_fits():
    admission = Admission(None)
    admission.check(image(resident=1000), "Huge")
    assert admission.fits(image(resident=1000))
    assert admission.to_evict(image(resident=1000)) == ()


def test_admitting_beyond_the_budget_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="does not fit"):
        Admission(GIB).admit(1, image())


def test_the_default_budget_leaves_a_reserve():
    assert default_budget(10 * GIB) == 9 * GIB
    assert default_budget(GIB // 2) == 0
