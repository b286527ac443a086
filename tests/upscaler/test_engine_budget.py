"""The batch size follows memory and time."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilestep.upscaler.budget import FIRST_BATCH, STEPS_TO_RECOVER, BatchBudget, EngineLimits, MemoryNeed, Room

NEED = MemoryNeed(fixed_bytes=100, tile_bytes=10)


def budget(**limits) -> BatchBudget:
    return BatchBudget(EngineLimits(**limits), NEED)


def after(steps: int, policy: BatchBudget, seconds_per_tile: float, kind: str = "denoise") -> int:
    for _ in range(steps):
        size = policy.size(kind)
        policy.observe(kind, size, size * seconds_per_tile)
    return policy.size(kind)


def test_it_settles_where_a_step_takes_about_the_quantum() -> None:
    assert after(20, budget(max_batch=500, quantum_seconds=0.5), 0.005) == 100


def test_it_grows_to_at_most_twice_the_last_batch() -> None:
    policy = budget(max_batch=500, quantum_seconds=1e9)
    sizes = [after(1, policy, 0.001) for _ in range(5)]
    assert sizes == [FIRST_BATCH * 2**n for n in range(1, 6)]


def test_one_slow_step_does_not_undo_what_was_learnt() -> None:
    policy = budget(max_batch=500, quantum_seconds=0.5)
    after(20, policy, 0.005)
    policy.observe("denoise", 100, 1.0)
    assert 50 < policy.size("denoise") < 100
    assert after(20, policy, 0.005) >= 99


def test_a_tile_slower_than_the_quantum_runs_alone() -> None:
    assert after(3, budget(quantum_seconds=0.01), 5.0) == 1


def test_kinds_of_steps_are_judged_apart() -> None:
    policy = budget(max_batch=100, quantum_seconds=0.5)
    assert after(20, policy, 0.1, "deep") == 5
    assert after(20, policy, 0.01, "denoise") == 50
    assert policy.size("deep") == 5


def test_another_quantum_changes_the_sizes_at_once_and_keeps_what_was_measured() -> None:
    policy = budget(max_batch=500, quantum_seconds=0.5)
    after(20, policy, 0.005)
    policy.set_quantum(0.2)
    assert policy.size("denoise") == 40
    policy.set_quantum(0.8)
    assert policy.size("denoise") == 160


def test_a_longer_quantum_grows_the_batch_to_at_most_twice_the_last() -> None:
    policy = budget(max_batch=500, quantum_seconds=0.05)
    after(20, policy, 0.01)
    for seconds in (1.0, 2.0, 1e9):
        policy.set_quantum(seconds)
        assert policy.size("denoise") == 10


def test_a_kind_that_was_never_measured_begins_small_whatever_the_quantum() -> None:
    policy = budget()
    policy.set_quantum(1e9)
    assert policy.size("deep") == FIRST_BATCH


def test_a_quantum_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        budget().set_quantum(0.0)


def begun(room: Room, owner: str) -> int:
    number = 0
    while room.admits(owner):
        room.take(owner)
        number += 1
    return number


def test_below_a_batch_everybody_may_begin_tiles() -> None:
    assert begun(Room(Counter(one=7), batch=8, most=15, sharing=2), "one") == 8


def test_above_a_batch_those_who_have_nothing_may_begin_their_part_of_one() -> None:
    room = Room(Counter(one=8), batch=8, most=15, sharing=2)
    assert [begun(room, owner) for owner in ("one", "two", "three")] == [0, 4, 3]


def test_a_batch_that_had_too_few_tiles_says_nothing_of_the_pace() -> None:
    policy = budget(max_batch=64, quantum_seconds=1.0)
    assert after(20, policy, 0.02) == 50
    policy.observe("denoise", 1, 0.5)
    assert policy.size("denoise") == 50


@given(st.integers(0, 10_000))
def test_memory_is_never_planned_beyond_its_limit_except_for_one_tile(limit) -> None:
    size = after(20, budget(max_batch=64, max_memory_bytes=limit, quantum_seconds=1e9), 0.001)
    assert size == 1 or NEED.fixed_bytes + size * NEED.tile_bytes <= limit
    assert size == min(64, max(1, (limit - 100) // 10))


def test_running_out_of_memory_halves_the_batch_and_it_recovers_slowly() -> None:
    policy = budget(max_batch=32, quantum_seconds=1e9)
    after(10, policy, 0.001)
    policy.out_of_memory(32)
    assert policy.size("denoise") == policy.size("deep") * 4 == 16
    assert after(STEPS_TO_RECOVER - 1, policy, 0.001) == 16
    assert 16 < after(1, policy, 0.001) <= 20
    assert after(10 * STEPS_TO_RECOVER, policy, 0.001) == 32


@pytest.mark.parametrize("limits", [{"max_batch": 0}, {"quantum_seconds": 0.0}, {"network_batch": -1}])
def test_limits_of_nothing_are_refused(limits) -> None:
    with pytest.raises(ValueError, match="above 0"):
        EngineLimits(**limits)
