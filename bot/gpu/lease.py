"""The right to touch the device, for one step at a time.

Threads take a seat, ask for a step, and wait; whoever gives the device back decides, by the policy and under one lock,
who is next. No event loop has a part in this, so a busy host does not leave the device idle, and the lock is never held
while the device works.

Between two steps of one thread lies a little work of the host. A seat that asks again within the grace period keeps its
turn: otherwise whoever has the shorter steps would lose to whoever has the longer ones. A seat that does not is idle.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from tilestep.bot.gpu.clock import StepClock
from tilestep.bot.gpu.errors import TaskCancelled
from tilestep.bot.gpu.fairness import FairPolicy
from tilestep.bot.gpu.gate import Phase
from tilestep.bot.gpu.seats import Account, Grant, LeaseRecord, Seat, Unread, cost_ms, split, start
from tilestep.bot.gpu.task import Claim, Flow


class Lease:
    """Puts threads in a row. Every method may be called from any thread."""

    def __init__(
        self,
        policy: FairPolicy,
        clock: StepClock,
        grace_ms: float = 5.0,
        log_length: int = 1000,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._grace_s = grace_ms / 1000
        self._lock = threading.Lock()
        self._seats: dict[int, Seat] = {}
        self._asking: dict[Seat, None] = {}
        self._holder: Seat | None = None
        self._deadline_s: float | None = None
        self._paused = self._closed = False
        self._unread: deque[Unread] = deque()
        self._log: deque[LeaseRecord] = deque(maxlen=log_length)

    def seat(self) -> Seat:
        """A new place at the device, without a job yet."""
        return Seat(threading.Condition(self._lock))

    def add(self, seat: Seat, claim: Claim) -> Account:
        """The seat works for this job too."""
        with self._lock:
            self._seats[claim.job] = seat
            account = seat.accounts[claim.job] = Account(claim)
            if seat.asking:
                self._arrive(account)
            return account

    def remove(self, seat: Seat, job: int) -> None:
        """The seat no longer works for this job; unknown ones are ignored."""
        with self._lock:
            if seat.accounts.pop(job, None) is not None:
                del self._seats[job]
                if job in self._policy:
                    self._policy.leave(job)
                self._dispatch()

    def reclaim(self, claim: Claim) -> None:
        """The job's priority has changed."""
        with self._lock:
            seat = self._seats.get(claim.job)
            if seat is None:
                return
            account = seat.accounts[claim.job]
            account.claim = claim
            if claim.job in self._policy:
                self._policy.reclaim(claim)

    def cancel(self, seat: Seat) -> None:
        """The seat's next step, or the one that it waits for, raises TaskCancelled."""
        with self._lock:
            seat.cancelled = True
            seat.wake.notify()

    def pause(self) -> None:
        """No step begins until `resume`; one that runs is finished."""
        with self._lock:
            self._paused = True

    def resume(self) -> None:
        with self._lock:
            self._paused = False
            self._dispatch()

    def stands_still(self, seat: Seat) -> bool:
        """Whether no step of the seat is under way, and none begins before `resume`."""
        with self._lock:
            return self._paused and self._holder is not seat

    def close(self) -> None:
        """Every step that is asked for from now on raises TaskCancelled."""
        with self._lock:
            self._closed = True
            for seat in self._asking:
                seat.wake.notify()

    @contextmanager
    def step(self, seat: Seat, phase: Phase) -> Iterator[Grant]:
        """One step: blocks until it is this seat's turn. Raises TaskCancelled."""
        grant = self._acquire(seat, phase)
        before = dict(seat.accounts)
        try:
            timing = self._clock.start()
            try:
                yield grant
            finally:
                timing.stop()
                self._unread.append(Unread(grant, {**before, **seat.accounts}, timing))
                self._read(self._clock.lag)
        finally:
            self._give_back(seat, grant)

    def rest(self, seat: Seat) -> None:
        """The seat wants nothing for now, so that nobody waits for it."""
        with self._lock:
            self._retire(seat)
            self._dispatch()

    def settle(self) -> None:
        """Reads and charges every step that is over; waits for the device."""
        self._read(0)

    def log(self) -> list[LeaseRecord]:
        """The newest steps, oldest first."""
        with self._lock:
            return list(self._log)

    def used_us(self) -> dict[tuple[str, Flow], int]:
        """Device time by kind and flow, of the flows served last."""
        with self._lock:
            return self._policy.used_us()

    def used(self, account: Account) -> tuple[float, int]:
        """Device milliseconds and steps of a job so far."""
        with self._lock:
            return account.gpu_us / 1000, account.steps

    def _acquire(self, seat: Seat, phase: Phase) -> Grant:
        with self._lock:
            self._stop_if_over(seat)
            seat.asking = True
            self._asking[seat] = None
            for account in seat.accounts.values():
                if account.claim.job not in self._policy:
                    self._arrive(account)
                else:
                    self._policy.resume(account.claim.job)
            self._dispatch()
            try:
                self._await_turn(seat)
            finally:
                seat.asking = False
                del self._asking[seat]
            return self._grant(seat, phase)

    def _await_turn(self, seat: Seat) -> None:
        while self._holder is not seat:
            timeout_s = None if self._deadline_s is None else max(self._deadline_s - time.monotonic(), 0)
            seat.wake.wait(timeout_s)
            if self._closed or seat.cancelled:
                self._abandon(seat)
            if self._deadline_s is not None and time.monotonic() >= self._deadline_s:
                self._dispatch()

    def _abandon(self, seat: Seat) -> None:
        if self._holder is seat:
            self._holder = None
        seat.asking = False
        self._retire(seat)
        self._dispatch()
        self._stop_if_over(seat)

    def _stop_if_over(self, seat: Seat) -> None:
        if self._closed or seat.cancelled:
            raise TaskCancelled

    def _grant(self, seat: Seat, phase: Phase) -> Grant:
        assert seat.turn is not None
        claim = seat.turn
        now_s, several = time.monotonic(), len(seat.accounts) > 1
        if not several:
            start(seat.accounts.get(claim.job), now_s)
        indebted = self._policy.indebted(claim.kind) if several else frozenset()
        return Grant(claim, phase, {claim.job: 1}, self._policy.quantum_us / 1000, indebted, now_s)

    def _give_back(self, seat: Seat, grant: Grant) -> None:
        """After the costs of the steps before have been read: the policy decides with what is known."""
        with self._lock:
            for job in grant.parts:
                start(seat.accounts.get(job), grant.started_s)
            seat.grace_until_s = time.monotonic() + self._grace_s
            self._holder = None
            self._dispatch()

    def _read(self, leave: int) -> None:
        while len(self._unread) > leave:
            try:
                step = self._unread.popleft()
            except IndexError:
                return
            taken_ms = cost_ms(step.timing)
            with self._lock:
                self._charge(step, taken_ms)

    def _charge(self, step: Unread, taken_ms: float) -> None:
        grant = step.grant
        costs_us = split(max(round(taken_ms * 1000), 1), grant.parts)
        for job, cost_us in costs_us.items():
            account = step.accounts.get(job)
            if account is None:
                continue
            self._policy.charge(account.claim, cost_us, rider=account.claim.job != grant.claim.job)
            account.gpu_us += cost_us
            account.steps += 1
        if grant.phase == "denoise":
            self._policy.observe_step(round(taken_ms * 1000))
        self._log.append(LeaseRecord(grant.claim, grant.phase, taken_ms, dict(grant.parts), grant.started_s))

    def _dispatch(self) -> None:
        """Gives a free device to whose turn it is, if it asks; else waits for it, but not for long."""
        self._deadline_s = None
        while self._asking and self._holder is None and not self._paused:
            claim = self._policy.pick()
            if claim is None:
                return
            seat = self._seats[claim.job]
            if seat.asking:
                self._holder, seat.turn = seat, claim
                seat.wake.notify()
            elif time.monotonic() < seat.grace_until_s:
                self._deadline_s = seat.grace_until_s
                next(iter(self._asking)).wake.notify()
                return
            else:
                self._retire(seat)

    def _arrive(self, account: Account) -> None:
        if account.arrived_us is None:
            account.arrived_us = self._policy.served_us
        self._policy.arrive(account.claim, account.arrived_us)

    def _retire(self, seat: Seat) -> None:
        """A shared task that is late has all the work of its kind: what its jobs owe each other is not forgotten."""
        jobs = [job for job in seat.accounts if job in self._policy]
        if len(jobs) > 1 and self._policy.suspend(jobs):
            return
        for job in jobs:
            self._policy.leave(job)
