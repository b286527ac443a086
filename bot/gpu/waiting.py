"""Who may wait, and who starts next: a bounded queue in a fair order. Knows neither torch, nor asyncio, nor a clock."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from heapq import heappop, heappush

from tilestep.bot.gpu.errors import QueueFull
from tilestep.bot.gpu.fairness import REMEMBERED_FLOWS, FairSettings, Guild, Member
from tilestep.bot.gpu.task import Claim


@dataclass(frozen=True)
class QueueLimits:
    """Bounds of jobs that are accepted and not over. `overtakes`: how often one that waits for memory is passed by."""

    total: int = 500
    per_guild: int = 200
    per_member: int = 10
    overtakes: int = 8


@dataclass
class _Entry:
    claim: Claim
    since_us: int
    running: bool = False
    overtaken: int = 0


class WaitingRoom:
    """Jobs from being accepted to being over.

    Who starts next is, within a kind: the guild that has the fewest jobs running for its weight, of these the one whose
    turn was longest ago; in it the member by the same rule; and of that member's own jobs the first by priority, which
    rises with age.
    """

    def __init__(self, limits: QueueLimits | None = None, settings: FairSettings | None = None) -> None:
        self.limits = limits or QueueLimits()
        self._settings = settings or FairSettings()
        self._entries: dict[int, _Entry] = {}
        self._guild_stamps: defaultdict[str, _Stamps] = defaultdict(_Stamps)
        self._member_stamps: defaultdict[str, _Stamps] = defaultdict(_Stamps)

    def __len__(self) -> int:
        return len(self._entries)

    def enter(self, claim: Claim, now_us: int) -> None:
        """Raises QueueFull, in words for the member."""
        flow = claim.flow
        entries = self._entries.values()
        if sum(e.claim.flow.member == flow.member for e in entries) >= self.limits.per_member:
            jobs = _jobs(self.limits.per_member)
            raise QueueFull(f"You have {jobs} in the queue already: wait until one is done, or cancel one.")
        if sum(e.claim.flow.guild == flow.guild for e in entries) >= self.limits.per_guild:
            raise QueueFull(f"This server has {_jobs(self.limits.per_guild)} in the queue already: try again later.")
        if len(entries) >= self.limits.total:
            raise QueueFull(f"The queue is full ({_jobs(self.limits.total)}): try again in a few minutes.")
        self._entries[claim.job] = _Entry(claim, now_us)

    def running(self, kind: str | None = None) -> int:
        """Jobs of a kind, or of any, that have started and are not over."""
        return sum(e.running and kind in (None, e.claim.kind) for e in self._entries.values())

    def waiting(self) -> int:
        """Jobs that have not started."""
        return len(self) - self.running()

    def order(self, kind: str, now_us: int) -> Iterator[Claim]:
        """Waiting jobs of a kind in the order in which they start if nothing else comes and all take equally long."""
        entries = [e for e in self._entries.values() if e.claim.kind == kind]
        busy = [e.claim.flow for e in entries if e.running]
        at_guild, at_member = Counter(f.guild for f in busy), Counter(f.member for f in busy)
        jobs: dict[Guild, dict[Member, list[tuple[int, int]]]] = {}
        for entry in entries:
            if not entry.running:
                flow = entry.claim.flow
                rank = self._urgency(entry, now_us), entry.claim.job
                jobs.setdefault(flow.guild, {}).setdefault(flow.member, []).append(rank)
        guild_stamps, member_stamps = self._guild_stamps[kind].copy(), self._member_stamps[kind].copy()
        guilds = _Turns(guild_stamps, at_guild, self._settings.guild_weights)
        members = {guild: _Turns(member_stamps, at_member, self._settings.member_weights) for guild in jobs}
        for guild, here in jobs.items():
            guilds.add(guild)
            for member, own in here.items():
                own.sort(reverse=True)
                members[guild].add(member)
        while guilds:
            guild = guilds.take()
            member = members[guild].take()
            own = jobs[guild][member]
            yield self._entries[own.pop()[1]].claim
            if own:
                members[guild].add(member)
            if members[guild]:
                guilds.add(guild)

    def _urgency(self, entry: _Entry, now_us: int) -> int:
        return -(entry.claim.priority + (now_us - entry.since_us) // self._settings.aging_us)

    def next(
        self,
        kinds: Collection[str],
        now_us: int,
        fits: Callable[[Claim], bool],
        weighs: Callable[[Claim], bool],
    ) -> Claim | None:
        """Who starts now, of these kinds: the first that fits into memory.

        A job that does not fit is passed by `overtakes` times; then nobody starts whose work `weighs` anything, until
        it fits.
        """
        held = False
        passed: list[_Entry] = []
        for kind in kinds:
            for claim in self.order(kind, now_us):
                entry = self._entries[claim.job]
                if held and weighs(claim):
                    continue
                if fits(claim):
                    for other in passed if weighs(claim) else ():
                        other.overtaken += 1
                    return claim
                passed.append(entry)
                held = held or entry.overtaken >= self.limits.overtakes
        return None

    def start(self, job: int) -> None:
        """The job runs from now on."""
        entry = self._entries[job]
        entry.running = True
        self._guild_stamps[entry.claim.kind].stamp(entry.claim.flow.guild)
        self._member_stamps[entry.claim.kind].stamp(entry.claim.flow.member)

    def finish(self, job: int) -> None:
        """The job is over, started or not; unknown ones are ignored."""
        self._entries.pop(job, None)

    def set_priority(self, job: int, priority: int) -> Claim:
        """The job's claim with its new priority."""
        entry = self._entries[job]
        entry.claim = replace(entry.claim, priority=priority)
        return entry.claim


class _Stamps:
    """When each one's turn was, as a count of turns; those that had theirs longest ago may be forgotten."""

    def __init__(self, turns: Mapping[int | str, int] | None = None, count: int = 0) -> None:
        self._turns = dict(turns or {})
        self._count = count

    def copy(self) -> _Stamps:
        return _Stamps(self._turns, self._count)

    def of(self, key: int | str) -> int:
        return self._turns.get(key, 0)

    def stamp(self, key: int | str) -> None:
        self._count += 1
        self._turns.pop(key, None)
        self._turns[key] = self._count
        if len(self._turns) > REMEMBERED_FLOWS:
            del self._turns[next(iter(self._turns))]


class _Turns:
    """Guilds, or members, in the order of their turns: fewest running for their weight, then longest not served.

    `stamps` and `running` are shared with others and only ever rise, so an entry that has aged is put back.
    """

    def __init__(self, stamps: _Stamps, running: Counter[int | str], weights: Mapping[int | str, int]) -> None:
        self._stamps, self._running, self._weights = stamps, running, weights
        self._places: dict[int | str, int] = {}
        self._heap: list[tuple[float, int, int, int | str]] = []

    def __bool__(self) -> bool:
        return bool(self._heap)

    def add(self, key: int | str) -> None:
        self._places.setdefault(key, len(self._places))
        heappush(self._heap, self._rank(key))

    def take(self) -> int | str:
        while (entry := heappop(self._heap)) != self._rank(entry[3]):
            heappush(self._heap, self._rank(entry[3]))
        self._running[entry[3]] += 1
        self._stamps.stamp(entry[3])
        return entry[3]

    def _rank(self, key: int | str) -> tuple[float, int, int, int | str]:
        running = self._running[key] / self._weights.get(key, 1)
        return running, self._stamps.of(key), self._places[key], key


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"
