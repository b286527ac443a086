"""Time left: the book of costs, and the device divided by weights."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilestep.bot.gpu.fairness import FairPolicy, FairSettings
from tilestep.bot.gpu.forecast import MOST_TURNS, Ahead, CostBook, forecast, turns
from tilestep.bot.gpu.gate import Progress
from tilestep.bot.gpu.task import Claim, Flow


def ahead(*jobs):
    return [
        Ahead(Claim(number, Flow(guild, member), kind), left) for number, (guild, member, kind, left) in enumerate(jobs)
    ]


def everything(kind):
    return 1000


def test_nothing_is_said_of_work_of_which_nothing_is_known():
    assert CostBook().left_ms("model", 1, 0, Progress()) is None


def test_the_first_jobs_tell_what_the_next_will_cost_by_their_size():
    book = CostBook()
    book.note("model", size=2, gpu_ms=100)
    assert book.left_ms("model", 3, 0, Progress()) == 150
    assert book.left_ms("model", 3, 40, Progress()) == 110


def test_a_job_tells_by_its_own_pace_the_further_it_is():
    book = CostBook()
    assert book.left_ms("model", 1, 30, Progress(3, 10, "denoise")) == pytest.approx(70)
    book.note("model", 1, 200)
    assert book.left_ms("model", 1, 50, Progress(5, 10, "denoise")) == pytest.approx(75)
    assert book.left_ms("model", 1, 100, Progress(10, 10, "denoise")) == 0


def test_a_picture_that_is_being_decoded_is_nearly_done():
    book = CostBook()
    assert book.left_ms("model", 1, 90, Progress(1, 9, "decode")) is None
    book.note("model", 1, 100)
    assert book.left_ms("model", 1, 90, Progress(1, 9, "decode")) == 10
    assert book.left_ms("model", 1, 5, Progress(1, 2, "encode")) == 95


def test_equal_flows_share_and_the_shorter_ends_first():
    ends = forecast(ahead(("a", 1, "image", 100), ("b", 2, "image", 300)), FairSettings(), everything)
    assert ends == {0: pytest.approx(200), 1: pytest.approx(400)}


def test_a_members_jobs_follow_one_another():
    jobs = ahead(("a", 1, "image", 100), ("a", 1, "image", 100), ("a", 2, "image", 100))
    assert forecast(jobs, FairSettings(), everything) == {0: 200, 2: 200, 1: 300}


def test_what_may_not_start_yet_waits():
    jobs = ahead(*[("a", member, "image", 100) for member in range(3)])
    assert forecast(jobs, FairSettings(), lambda kind: 1) == {0: 100, 1: 200, 2: 300}


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 5), st.sampled_from(["image", "upscale"]), st.integers(100, 800)),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 3),
)
def test_the_forecast_is_what_the_policy_does_within_a_few_turns(jobs, weight):
    options = FairSettings(kind_weights={"image": weight}, guild_weights={1: weight}, quantum_us=1000, slice_quanta=1)
    queue = ahead(*((guild, 10 * guild + member, kind, left) for guild, member, kind, left in jobs))
    ends = forecast(queue, options, everything)
    fair = FairPolicy(options)
    left = {job.claim.job: job.left_ms for job in queue}
    for job in queue:
        fair.arrive(job.claim)
    while claim := fair.pick():
        fair.charge(claim, 1000)
        left[claim.job] -= 1
        if not left[claim.job]:
            fair.leave(claim.job)
            assert fair.served_us / 1000 == pytest.approx(ends[claim.job], rel=0.1, abs=50)


def crowd(count, members, shape=lambda number: 1000 + 7919 * number % 9000):
    return ahead(*[(number % 20, number % members, "image", shape(number)) for number in range(count)])


@pytest.mark.parametrize("count", [100, 1000])
@pytest.mark.parametrize("members", [1, 7, 1000])
@pytest.mark.parametrize("places", [1, 8])
def test_the_forecast_of_a_crowd_takes_few_turns(count, members, places):
    assert len(list(turns(crowd(count, members), FairSettings(), lambda kind: places))) <= MOST_TURNS


def test_shares_and_sizes_however_uneven_do_not_make_it_take_more():
    options = FairSettings(member_weights={member: 1 << member // 20 for member in range(1000)})
    queue = crowd(1000, 1000, lambda number: 1.5 ** (number % 40))
    ended = list(turns(queue, options, everything))
    assert len(ended) <= MOST_TURNS
    assert sum(len(jobs) for jobs in ended) == 1000


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 400), st.integers(1, 50), st.integers(1, 20))
def test_the_last_of_a_crowd_is_done_when_all_work_is(count, members, places):
    queue = crowd(count, members)
    ends = forecast(queue, FairSettings(), lambda kind: places)
    assert max(ends.values()) == pytest.approx(sum(job.left_ms for job in queue))
    assert ends.keys() == {job.claim.job for job in queue}


@pytest.mark.parametrize("places", [1, 8])
def test_the_times_of_a_crowd_are_nearly_those_of_all_its_jobs_one_by_one(places, monkeypatch):
    queue = crowd(300, 100)
    rough = forecast(queue, FairSettings(), lambda kind: places)
    monkeypatch.setattr("tilestep.bot.gpu.forecast.EXACT_JOBS", 300)
    monkeypatch.setattr("tilestep.bot.gpu.forecast.MOST_TURNS", 1000)
    exact = forecast(queue, FairSettings(), lambda kind: places)
    errors = sorted(abs(rough[job] / exact[job] - 1) for job in exact)
    assert errors[150] < 0.1
    assert errors[285] < 0.35
