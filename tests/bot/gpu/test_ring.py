"""Deficit round robin with costs that are known only afterwards."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tilestep.bot.gpu.ring import Ring

children = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 400)), min_size=2, max_size=6)


def serve(ring, costs, steps):
    """Gives so many steps; yields who had them."""
    for _ in range(steps):
        key = ring.head()
        ring.charge(key, costs[key])
        yield key


@settings(deadline=None, max_examples=60)
@given(children, st.integers(1, 100), st.integers(1, 300))
def test_backlogged_children_share_by_weight_within_a_quantum_plus_a_step(children, quantum, steps):
    ring = Ring(quantum)
    for key, (weight, _) in enumerate(children):
        ring.join(key, weight)
    costs = {key: cost for key, (_, cost) in enumerate(children)}
    served = dict.fromkeys(costs, 0)
    bound = quantum + max(cost / weight for weight, cost in children)
    for key in serve(ring, costs, steps):
        served[key] += costs[key]
        normal = [served[key] / weight for key, (weight, _) in enumerate(children)]
        assert max(normal) - min(normal) <= bound


@settings(deadline=None, max_examples=60)
@given(children, st.integers(1, 100), st.integers(0, 50))
def test_everyone_is_served_before_anyone_could_have_had_two_turns(children, quantum, already):
    ring = Ring(quantum)
    for key, (weight, _) in enumerate(children):
        ring.join(key, weight)
    costs = {key: cost for key, (_, cost) in enumerate(children)}
    list(serve(ring, costs, already))
    ring.join("new", 1)
    costs["new"] = 1
    longest = sum(quantum * weight + cost for weight, cost in children)
    waited = 0
    for key in serve(ring, costs, 10_000):
        if key == "new":
            break
        waited += costs[key]
    assert waited <= longest


def test_an_idle_child_banks_nothing():
    ring = Ring(10)
    ring.join("steady", 1)
    ring.join("guest", 1)
    costs = {"steady": 10, "guest": 10}
    ring.head()
    ring.leave("guest")
    list(serve(ring, costs, 100))
    ring.join("guest", 1)
    assert list(serve(ring, costs, 10)).count("guest") == 5


def test_a_long_step_is_paid_back_before_the_next():
    ring = Ring(10)
    ring.join("long", 1)
    ring.join("short", 1)
    order = list(serve(ring, {"long": 100, "short": 10}, 24))
    assert order.count("long") == 3
    assert order[1:11] == ["short"] * 10


def test_leaving_does_not_escape_a_debt():
    ring = Ring(10)
    ring.join("long", 1)
    ring.join("short", 1)
    costs = {"long": 100, "short": 10}
    assert next(serve(ring, costs, 1)) == "long"
    ring.leave("long")
    list(serve(ring, costs, 3))
    ring.join("long", 1)
    order = list(serve(ring, costs, 8))
    assert order.index("long") == 7


def test_a_debt_that_others_have_outlived_is_forgotten():
    ring = Ring(10)
    ring.join("long", 1)
    ring.join("short", 1)
    costs = {"long": 100, "short": 10}
    next(serve(ring, costs, 1))
    ring.leave("long")
    list(serve(ring, costs, 30))
    ring.join("long", 1)
    assert "long" in list(serve(ring, costs, 2))


def test_nobody_owes_anything_to_an_empty_ring():
    ring = Ring(10)
    ring.join("alone", 1)
    next(serve(ring, {"alone": 1000}, 1))
    ring.leave("alone")
    ring.join("alone", 1)
    assert ring.deficit_us("alone") == 0


def test_leaving_in_mid_turn_does_not_cost_the_next_one_its_turn():
    ring = Ring(10)
    for key in "abc":
        ring.join(key, 1)
    assert ring.head() == "a"
    ring.leave("a")
    assert ring.head() == "b"


@settings(deadline=None, max_examples=60)
@given(children, st.integers(1, 50))
def test_debts_of_as_many_rounds_each_are_paid_off_at_once(children, quantum):
    deep = Ring(quantum)
    free = Ring(quantum)
    for key, (weight, _) in enumerate(children):
        deep.join(key, weight, debt_us=10**6 * quantum * weight)
        free.join(key, weight)
    costs = {key: cost for key, (_, cost) in enumerate(children)}
    assert list(serve(deep, costs, 20)) == list(serve(free, costs, 20))
