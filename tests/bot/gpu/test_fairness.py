"""The policy in virtual time: who gets how much of the device, and how long anyone waits."""

from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilestep.bot.gpu.fairness import FairPolicy, FairSettings
from tilestep.bot.gpu.task import Claim, Flow

Q = 10


def policy(**options):
    return FairPolicy(FairSettings(quantum_us=Q, **{"slice_quanta": 1, **options}))


def backlog(fair, *claims):
    for claim in claims:
        fair.arrive(claim)


def claims_of(*flows, kind="image"):
    return [Claim(job, Flow(*flow), kind) for job, flow in enumerate(flows)]


def serve(fair, cost, steps):
    """Gives so many steps, each at cost(claim); yields the claims in order."""
    for _ in range(steps):
        claim = fair.pick()
        fair.charge(claim, cost(claim))
        yield claim


def served(fair, cost, steps, by):
    total = Counter()
    for claim in serve(fair, cost, steps):
        total[by(claim)] += cost(claim)
    return total


flows = st.lists(
    st.tuples(st.sampled_from(["image", "upscale"]), st.integers(0, 3), st.integers(1, 60)), min_size=1, max_size=12
)


@settings(deadline=None, max_examples=60)
@given(flows, st.integers(1, 30), st.integers(1, 4), st.data())
def test_at_every_level_shares_are_right_within_a_turn_plus_a_step(flows, quantum, slice_quanta, data):
    weights = data.draw(st.dictionaries(st.integers(0, 3), st.integers(1, 4)))
    kinds = data.draw(st.dictionaries(st.sampled_from(["image", "upscale"]), st.integers(1, 4)))
    fair = FairPolicy(FairSettings(kinds, weights, quantum_us=quantum, slice_quanta=slice_quanta))
    jobs = [Claim(job, Flow(guild, job), kind) for job, (kind, guild, _) in enumerate(flows)]
    backlog(fair, *jobs)
    total = defaultdict(Counter)
    for claim in serve(fair, lambda claim: flows[claim.job][2], 200):
        for level in ((), (claim.kind,), (claim.kind, claim.flow.guild)):
            key = {0: claim.kind, 1: claim.flow.guild, 2: claim.job}[len(level)]
            total[level][key] += flows[claim.job][2]
        longest = max(cost for _, _, cost in flows)
        for level, used in total.items():
            here = {job.kind for job in jobs}
            if level:
                here = {job.flow.guild for job in jobs if job.kind == level[0]}
            if len(level) == 2:
                here = {job.job for job in jobs if (job.kind, job.flow.guild) == level}
            weight = {0: kinds, 1: weights, 2: {}}[len(level)]
            normal = [used[key] / weight.get(key, 1) for key in here]
            turn = quantum if not level else quantum * slice_quanta
            assert max(normal) - min(normal) <= turn + longest


@settings(deadline=None, max_examples=60)
@given(flows, st.integers(0, 100))
def test_nobody_starves(flows, already):
    fair = policy()
    jobs = [Claim(job, Flow(guild, job), kind) for job, (kind, guild, _) in enumerate(flows)]
    backlog(fair, *jobs)
    cost = {job.job: flows[job.job][2] for job in jobs}
    cost["new"] = 1
    list(serve(fair, lambda claim: cost[claim.job], already))
    fair.arrive(Claim("new", Flow("new", "new")))
    waited = 0
    for claim in serve(fair, lambda claim: cost[claim.job], 10_000):
        if claim.job == "new":
            break
        waited += cost[claim.job]
    turns = Q + max(cost.values())
    assert waited <= 2 * (len(flows) + 1) * turns + 2 * turns


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 300), st.integers(1, 30), st.integers(1, 30))
def test_idle_flows_bank_nothing(idle_steps, cost, other_cost):
    fair = policy()
    steady, guest = claims_of(("g", "steady"), ("g", "guest"))
    costs = {steady: cost, guest: other_cost}
    backlog(fair, steady)
    list(serve(fair, costs.__getitem__, idle_steps))
    fair.arrive(guest)
    used = Counter()
    for claim in serve(fair, costs.__getitem__, 50):
        used[claim] += costs[claim]
        assert used[guest] - used[steady] <= Q + cost + other_cost


def test_one_member_beside_fifty_has_half():
    fair = policy()
    backlog(fair, *claims_of(("small", 0), *[("large", member) for member in range(1, 51)]))
    used = served(fair, lambda claim: 7, 4000, by=lambda claim: claim.flow.guild)
    assert abs(used["small"] - used["large"]) <= Q + 7


def test_tenfold_step_costs_do_not_change_the_shares():
    fair = policy()
    backlog(fair, *claims_of(("g", "cheap"), ("g", "dear")))
    cost = {"cheap": 3, "dear": 30}
    used = served(fair, lambda claim: cost[claim.flow.member], 4000, by=lambda claim: claim.flow.member)
    assert abs(used["cheap"] - used["dear"]) <= Q + 30


def test_kinds_of_work_are_weighted_by_the_operator():
    fair = policy(kind_weights={"image": 3})
    backlog(fair, Claim(0, Flow("g", 0)), Claim(1, Flow("g", 1), "upscale"))
    used = served(fair, lambda claim: 5, 4000, by=lambda claim: claim.kind)
    assert used["image"] == pytest.approx(3 * used["upscale"], rel=0.01)


def test_a_member_in_several_guilds_has_one_place():
    fair = policy()
    backlog(fair, *claims_of(("a", "busy"), ("b", "busy"), ("c", "busy"), ("a", "calm")))
    used = served(fair, lambda claim: 5, 1000, by=lambda claim: claim.flow.member)
    assert used["busy"] == pytest.approx(used["calm"], rel=0.02)


def test_a_members_place_moves_to_the_guild_of_the_work_that_is_left():
    fair = policy()
    backlog(fair, *claims_of(("a", "busy"), ("b", "busy"), ("a", "calm"), ("b", "other")))
    list(serve(fair, lambda claim: 5, 10))
    fair.leave(0)
    used = served(fair, lambda claim: 5, 1000, by=lambda claim: (claim.flow.guild, claim.flow.member))
    assert used["a", "calm"] == pytest.approx(2 * used["b", "busy"], rel=0.05)
    assert used["b", "busy"] == pytest.approx(used["b", "other"], rel=0.05)


def test_moving_to_another_guild_does_not_escape_a_debt():
    fair = policy()
    backlog(fair, *claims_of(("a", "busy"), ("b", "busy"), ("a", "calm"), ("b", "other")))
    claim = fair.pick()
    fair.charge(claim, 1000)
    fair.leave(0)
    assert fair.credit_us(Claim(1, Flow("b", "busy")))[2] == Q - 1000


def test_priority_orders_a_members_own_work_and_nothing_else():
    fair = policy()
    backlog(fair, Claim(0, Flow("g", "a")), Claim(1, Flow("g", "a"), priority=5), Claim(2, Flow("g", "b")))
    order = Counter(claim.job for claim in serve(fair, lambda claim: 5, 100))
    assert order[0] == 0
    assert order[1] == pytest.approx(order[2], abs=2)


def test_a_priority_that_changes_holds_from_the_next_step_on():
    fair = policy()
    first, second = Claim(0, Flow("g", "a"), priority=1), Claim(1, Flow("g", "a"))
    backlog(fair, first, second)
    assert set(serve(fair, lambda claim: Q, 4)) == {first}
    raised = Claim(1, Flow("g", "a"), priority=2)
    fair.reclaim(raised)
    assert set(serve(fair, lambda claim: Q, 4)) == {raised}


def test_work_that_has_waited_long_outranks_any_priority():
    fair = policy(aging_us=100)
    fair.arrive(Claim(0, Flow("g", "a")))
    waited = 0
    for job in range(1, 100):
        fair.arrive(Claim(job, Flow("g", "a"), priority=3))
        claim = fair.pick()
        fair.charge(claim, 20)
        fair.leave(claim.job)
        if claim.job == 0:
            break
        waited += 20
    assert waited == 300


def test_work_that_rode_along_is_charged_but_its_debt_is_bounded():
    fair = policy(rider_debt_quanta=2)
    owed, rider = claims_of(("a", 1), ("b", 2), kind="upscale")
    backlog(fair, owed, rider)
    for _ in range(100):
        fair.charge(rider, 15, rider=True)
    assert fair.credit_us(rider) == (-1500, -2 * Q, -2 * Q)
    assert fair.served_us == 1500


def test_shared_steps_can_leave_out_who_had_a_turn_too_much():
    fair = policy()
    small, *large = claims_of(("small", 0), ("large", 1), ("large", 2), kind="upscale")
    backlog(fair, small, *large)
    fair.pick()
    for claim in (small, *large):
        fair.charge(claim, 8, rider=True)
    assert fair.indebted("upscale") == {1, 2}
    assert fair.indebted("image") == frozenset()


def test_a_charge_that_comes_late_finds_the_flow():
    fair = policy()
    gone, here = claims_of(("g", 1), ("g", 2))
    backlog(fair, gone, here)
    fair.leave(gone.job)
    fair.charge(gone, 50)
    fair.arrive(gone)
    assert fair.credit_us(gone)[2] == -50


def test_an_idle_policy_picks_nobody():
    fair = policy()
    assert fair.pick() is None
    backlog(fair, *claims_of(("g", 1)))
    fair.leave(0)
    assert fair.pick() is None
    assert len(fair) == 0


def test_the_turn_can_change_while_work_is_waiting():
    fair = policy()
    backlog(fair, *claims_of(("a", 1), ("b", 2)))
    list(serve(fair, lambda claim: 5, 7))
    fair.set_quantum(1000)
    run = [claim.job for claim in serve(fair, lambda claim: 5, 600)]
    assert sum(one != two for one, two in pairwise(run)) == 3


def test_debts_within_a_kind_outlast_a_moment_in_which_it_is_suspended():
    fair = policy()
    here = claims_of(("g", 1), ("g", 2), kind="upscale")
    backlog(fair, *here, Claim(9, Flow("g", 3), "image"))
    fair.charge(here[0], 50)
    before = [fair.credit_us(claim)[1:] for claim in here]
    assert fair.suspend([0, 1])
    assert {claim.job for claim in serve(fair, lambda claim: 5, 20)} == {9}
    fair.resume(0)
    assert [fair.credit_us(claim)[1:] for claim in here] == before
    assert {claim.kind for claim in serve(fair, lambda claim: 5, 20)} == {"image", "upscale"}


def test_only_all_the_work_of_a_kind_can_be_suspended():
    fair = policy()
    backlog(fair, *claims_of(("g", 1), ("g", 2)))
    assert not fair.suspend([0])
    assert fair.suspend([0, 1])
    assert fair.pick() is None
    fair.leave(0)
    fair.arrive(Claim(5, Flow("g", 5)))
    assert fair.pick() is not None


def test_shares_are_right_though_the_turn_follows_steps_that_differ_tenfold():
    weights = {"dear": 1, "cheap": 2, "dear too": 3}
    cost = {"dear": 80_000, "cheap": 8_000, "dear too": 80_000}
    fair = policy(member_weights=weights, slice_quanta=4, follow_steps=True)
    backlog(fair, *claims_of(("g", "dear"), ("g", "cheap"), ("g", "dear too")))
    used = Counter()
    for claim in serve(fair, lambda claim: cost[claim.flow.member], 6000):
        used[claim.flow.member] += cost[claim.flow.member]
        fair.observe_step(cost[claim.flow.member])
    for member, weight in weights.items():
        assert used[member] / used.total() == pytest.approx(weight / 6, rel=0.02)


def test_weights_and_costs_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="weight"):
        FairSettings(kind_weights={"image": 0})
    with pytest.raises(ValueError, match="quantum"):
        FairSettings(quantum_us=0)
    with pytest.raises(ValueError, match="not negative"):
        policy().charge(Claim(0, Flow(1, 1)), -1)
