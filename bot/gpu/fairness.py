"""Whose step comes next: deficit round robin over kinds of work, their guilds, and the guilds' members.

    root ring -> kind ("image", "upscale") -> guild -> member -> the member's jobs by priority and age

Costs are integer microseconds of the device, told after the step (`charge`). A kind's turn is one quantum, about one
denoising step, so that neither kind waits long for the other; a guild's and a member's turn within a kind is a slice of
several quanta, so that a few images are finished soon instead of many late. A member has one place per kind, however
many guilds the work comes from: in the guild of the oldest work there. Priority and age order a member's own work and
gain nothing against others.

This module knows neither torch, nor asyncio, nor a clock: age is counted in microseconds of the device.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from tilestep.bot.gpu.ring import Ring
from tilestep.bot.gpu.task import Claim, Flow

Guild = int | str
Member = int | str

REMEMBERED_FLOWS = 4096
SHORTEST_QUANTUM_US = 1_000
LONGEST_QUANTUM_US = 1_000_000


@dataclass(frozen=True)
class FairSettings:
    """Weights are integers of at least 1; what is not named has weight 1.

    `slice_quanta`: length of a guild's and a member's turn. `aging_us`: device time after which a waiting job counts as
    one priority higher. `rider_debt_quanta`: how far work that rode along in another's step may go into debt.
    `follow_steps`: the quantum follows the cost of denoising steps.
    """

    kind_weights: Mapping[str, int] = field(default_factory=dict)
    guild_weights: Mapping[Guild, int] = field(default_factory=dict)
    member_weights: Mapping[Member, int] = field(default_factory=dict)
    quantum_us: int = 50_000
    slice_quanta: int = 4
    aging_us: int = 60_000_000
    rider_debt_quanta: int = 16
    follow_steps: bool = False

    def __post_init__(self) -> None:
        weights = [*self.kind_weights.values(), *self.guild_weights.values(), *self.member_weights.values()]
        if any(weight < 1 for weight in weights):
            raise ValueError("a weight is an integer of at least 1")
        if min(self.quantum_us, self.slice_quanta, self.aging_us, self.rider_debt_quanta) < 1:
            raise ValueError("quantum, slice, aging and rider debt are integers of at least 1")


@dataclass(frozen=True)
class _Work:
    claim: Claim
    arrived_us: int


class _Place:
    """A member's backlogged jobs of one kind, and the guild in whose ring the member stands."""

    def __init__(self, guild: Guild) -> None:
        self.guild = guild
        self.works: dict[int, _Work] = {}

    def first(self, now_us: int, aging_us: int) -> Claim:
        def rank(work: _Work) -> tuple[int, int]:
            return -(work.claim.priority + (now_us - work.arrived_us) // aging_us), work.claim.job

        return min(self.works.values(), key=rank).claim


class _Branch:
    """The rings below one kind."""

    def __init__(self) -> None:
        self.guilds: Ring[Guild] | None = None
        self.members: dict[Guild, Ring[Member]] = {}
        self.places: dict[Member, _Place] = {}


class FairPolicy:
    """Decides; does nothing. A job is in the policy while it is backlogged: it wants its next step now."""

    def __init__(self, settings: FairSettings | None = None) -> None:
        self.settings = settings or FairSettings()
        self.served_us = 0
        self._quantum_us = self.settings.quantum_us
        self._followed = False
        self._kinds: Ring[str] = Ring(self._quantum_us)
        self._branches: dict[str, _Branch] = {}
        self._claims: dict[int, Claim] = {}
        self._used_us: OrderedDict[tuple[str, Flow], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._claims)

    def __contains__(self, job: int) -> bool:
        return job in self._claims

    @property
    def quantum_us(self) -> int:
        return self._quantum_us

    def set_quantum(self, quantum_us: int) -> None:
        """From the next round on a turn is so long; credit and debt stay as they are."""
        self._quantum_us = max(quantum_us, 1)
        self._kinds.set_quantum(self._quantum_us)
        for branch in self._branches.values():
            for ring in (branch.guilds, *branch.members.values()):
                if ring is not None:
                    ring.set_quantum(self._slice_us)

    def observe_step(self, cost_us: int) -> None:
        """A denoising step cost so much; the quantum may follow, smoothed."""
        if self.settings.follow_steps:
            cost_us = min(max(cost_us, SHORTEST_QUANTUM_US), LONGEST_QUANTUM_US)
            self.set_quantum(cost_us if not self._followed else (7 * self._quantum_us + cost_us) // 8)
            self._followed = True

    def used_us(self) -> dict[tuple[str, Flow], int]:
        """Device time by kind and flow, of the flows served last."""
        return dict(self._used_us)

    def arrive(self, claim: Claim, arrived_us: int | None = None) -> None:
        """The job is backlogged. `arrived_us`: value of `served_us` at which it began to age, now by default."""
        if claim.job in self._claims:
            raise ValueError(f"job {claim.job} is backlogged already")
        self._claims[claim.job] = claim
        branch = self._branches.setdefault(claim.kind, _Branch())
        place = branch.places.get(claim.flow.member)
        if place is None:
            place = branch.places[claim.flow.member] = _Place(claim.flow.guild)
            self._open(claim.kind, branch, claim.flow.guild, claim.flow.member)
        place.works[claim.job] = _Work(claim, self.served_us if arrived_us is None else arrived_us)

    def leave(self, job: int) -> None:
        """The job does not want a step now: done, cancelled, or busy elsewhere. Its credit is gone, a debt stays."""
        claim = self._claims.pop(job)
        branch = self._branches[claim.kind]
        place = branch.places[claim.flow.member]
        del place.works[job]
        guilds = {work.claim.flow.guild for work in place.works.values()}
        if place.guild not in guilds:
            self._move(claim.kind, branch, place, claim.flow.member)

    def suspend(self, jobs: Collection[int]) -> bool:
        """Jobs that are all the backlogged work of a kind want no step for a moment; accounts below stay as they are.

        False, and nothing changed, if they are not all of it. `resume` or any arrival of that kind ends it.
        """
        kinds = {self._claims[job].kind for job in jobs}
        if len(kinds) != 1 or sum(claim.kind in kinds for claim in self._claims.values()) != len(jobs):
            return False
        self._leave_kind(kinds.pop())
        return True

    def resume(self, job: int) -> None:
        """Ends the suspension of a backlogged job's kind, if there is one."""
        kind = self._claims[job].kind
        if kind not in self._kinds:
            self._kinds.join(kind, self._kind_weight(kind))

    def reclaim(self, claim: Claim) -> None:
        """A backlogged job has another priority now."""
        self._claims[claim.job] = claim
        works = self._branches[claim.kind].places[claim.flow.member].works
        works[claim.job] = replace(works[claim.job], claim=claim)

    def pick(self) -> Claim | None:
        """Whose step comes next; None when nothing is backlogged, or all of it suspended."""
        if not self._kinds:
            return None
        branch = self._branches[self._kinds.head()]
        assert branch.guilds is not None
        member = branch.members[branch.guilds.head()].head()
        return branch.places[member].first(self.served_us, self.settings.aging_us)

    def charge(self, claim: Claim, cost_us: int, rider: bool = False) -> None:
        """Takes the cost of a step from a job's member, guild and kind; the job may have left.

        A rider was not picked but had a part in another's step. It is charged too, but what it could not have refused
        does not make a debt without bound.
        """
        if cost_us < 0:
            raise ValueError("a cost is not negative")
        self.served_us += cost_us
        self._remember(claim, cost_us)
        self._kinds.charge(claim.kind, cost_us, self._kind_weight(claim.kind))
        branch = self._branches.get(claim.kind)
        if branch is None or branch.guilds is None:
            return
        member = claim.flow.member
        guild = branch.places[member].guild if member in branch.places else claim.flow.guild
        floor = -self.settings.rider_debt_quanta * self._quantum_us
        guild_weight, member_weight = self._guild_weight(guild), self._member_weight(member)
        branch.guilds.charge(guild, cost_us, guild_weight, floor * guild_weight if rider else None)
        if guild in branch.members:
            branch.members[guild].charge(member, cost_us, member_weight, floor * member_weight if rider else None)

    def indebted(self, kind: str) -> frozenset[int]:
        """Backlogged jobs whose guild or member has had a whole turn too much: a shared step can do without them."""
        branch = self._branches.get(kind)
        if branch is None or branch.guilds is None:
            return frozenset()
        deep: set[int] = set()
        for member, place in branch.places.items():
            guild_us = branch.guilds.deficit_us(place.guild) // self._guild_weight(place.guild)
            member_us = branch.members[place.guild].deficit_us(member) // self._member_weight(member)
            if min(guild_us, member_us) < -self._slice_us:
                deep.update(place.works)
        return frozenset(deep)

    def credit_us(self, claim: Claim) -> tuple[int, int, int]:
        """Credit (positive) or debt (negative) of the job's kind, guild and member."""
        branch = self._branches.get(claim.kind)
        if branch is None or branch.guilds is None:
            return self._kinds.deficit_us(claim.kind), 0, 0
        place = branch.places.get(claim.flow.member)
        guild = place.guild if place else claim.flow.guild
        members = branch.members.get(guild)
        return (
            self._kinds.deficit_us(claim.kind),
            branch.guilds.deficit_us(guild),
            members.deficit_us(claim.flow.member) if members else 0,
        )

    @property
    def _slice_us(self) -> int:
        return self._quantum_us * self.settings.slice_quanta

    def _open(self, kind: str, branch: _Branch, guild: Guild, member: Member, debt_us: int = 0) -> None:
        if kind not in self._kinds:
            self._kinds.join(kind, self._kind_weight(kind))
        if branch.guilds is None:
            branch.guilds = Ring(self._slice_us)
        if guild not in branch.guilds:
            branch.guilds.join(guild, self._guild_weight(guild))
        members = branch.members.setdefault(guild, Ring(self._slice_us))
        members.join(member, self._member_weight(member), debt_us)

    def _move(self, kind: str, branch: _Branch, place: _Place, member: Member) -> None:
        """The member's oldest work lies in another guild now, or there is none left."""
        left = place.guild
        debt_us = branch.members[left].leave(member)
        if place.works:
            branch.members[left].forget(member)
            place.guild = min(place.works.values(), key=lambda work: work.claim.job).claim.flow.guild
            self._open(kind, branch, place.guild, member, debt_us)
        else:
            del branch.places[member]
        assert branch.guilds is not None
        if not branch.members[left]:
            del branch.members[left]
            branch.guilds.leave(left)
        if not branch.guilds:
            self._leave_kind(kind)

    def _leave_kind(self, kind: str) -> None:
        if kind in self._kinds:
            self._kinds.leave(kind)

    def _remember(self, claim: Claim, cost_us: int) -> None:
        key = claim.kind, claim.flow
        self._used_us[key] = self._used_us.pop(key, 0) + cost_us
        if len(self._used_us) > REMEMBERED_FLOWS:
            self._used_us.popitem(last=False)

    def _kind_weight(self, kind: str) -> int:
        return self.settings.kind_weights.get(kind, 1)

    def _guild_weight(self, guild: Guild) -> int:
        return self.settings.guild_weights.get(guild, 1)

    def _member_weight(self, member: Member) -> int:
        return self.settings.member_weights.get(member, 1)
