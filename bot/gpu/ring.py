"""Deficit round robin over the children of one node, in integer microseconds.

A child is served while its deficit is positive, is charged what each step cost once that is known, and then waits for
its next visit, which adds quantum x weight. So a child may go into debt by one long step, and pays it back before it is
served again (Shreedhar and Varghese 1996, with costs that are known only afterwards).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass
class Share:
    """A child's account. `since` is the round of its last visit, or the one in which it went idle."""

    weight: int
    deficit_us: int = 0
    since: int = 0


class Ring(Generic[K]):
    """Children that are backlogged, in order of service, and those that left in debt.

    A child that goes idle banks nothing. Its debt shrinks by its quantum with every round that it misses; when the last
    child has left, there is nobody to owe anything to, and debts are forgotten.
    """

    def __init__(self, quantum_us: int) -> None:
        self.quantum_us = self._next_quantum_us = quantum_us
        self.round = 0
        self._current: K | None = None
        self._active: OrderedDict[K, Share] = OrderedDict()
        self._debtors: dict[K, Share] = {}

    def set_quantum(self, quantum_us: int) -> None:
        """From the next round on, so that all get the same in one round, whoever's steps made the quantum change."""
        self._next_quantum_us = quantum_us

    def __len__(self) -> int:
        return len(self._active)

    def __contains__(self, key: K) -> bool:
        return key in self._active

    def deficit_us(self, key: K) -> int:
        """Credit (positive) or debt (negative) of a child; 0 of one that is not known."""
        share = self._active.get(key) or self._debtors.get(key)
        return share.deficit_us if share else 0

    def join(self, key: K, weight: int, debt_us: int = 0) -> None:
        """The child has work now; it comes last, with what is left of its debt and of `debt_us` (not negative)."""
        if weight < 1 or debt_us < 0:
            raise ValueError(f"weight {weight} must be at least 1, debt {debt_us} not negative")
        if key in self._active:
            raise ValueError(f"{key!r} is in the ring already")
        old = self._debtors.pop(key, None)
        left = min(self._repaid(old), 0) if old else 0
        self._active[key] = Share(weight, left - debt_us, self.round - 1)

    def leave(self, key: K) -> int:
        """The child has no more work; gives its debt (not negative), which is also remembered here."""
        share = self._active.pop(key)
        self._current = None if key == self._current else self._current
        share.since = self.round
        if not self._active:
            self._debtors.clear()
        elif share.deficit_us < 0:
            self._debtors[key] = share
        return max(-share.deficit_us, 0)

    def forget(self, key: K) -> None:
        """Drops a child's debt, because it is kept elsewhere."""
        self._debtors.pop(key, None)

    def head(self) -> K:
        """Who is to be served now; the ring must not be empty."""
        visited = 0
        while True:
            key, share = next(iter(self._active.items()))
            if key != self._current:
                if visited == len(self._active):
                    self._skip_rounds()
                    visited = 0
                self._visit(key, share)
                visited += 1
            if share.deficit_us > 0:
                return key
            self._active.move_to_end(key)
            self._current = None

    def charge(self, key: K, cost_us: int, weight: int = 1, floor_us: int | None = None) -> None:
        """Takes the cost of a step from a child, idle or not. The charge brings no deficit below `floor_us`."""
        share = self._active.get(key) or self._debtors.get(key)
        if share is None:
            if not self._active:
                return
            share = self._debtors[key] = Share(weight, since=self.round)
        lowest = share.deficit_us - cost_us if floor_us is None else min(share.deficit_us, floor_us)
        share.deficit_us = max(share.deficit_us - cost_us, lowest)

    def _visit(self, key: K, share: Share) -> None:
        self._current = key
        if share.since == self.round:
            self._new_round(1)
        share.since = self.round
        share.deficit_us += self.quantum_us * share.weight

    def _skip_rounds(self) -> None:
        """Everyone is in debt: adds at once the rounds in which nobody would be served."""
        quantum_us = self.quantum_us
        rounds = min(-share.deficit_us // (quantum_us * share.weight) for share in self._active.values())
        if rounds > 0:
            self._new_round(rounds)
            for share in self._active.values():
                share.deficit_us += rounds * quantum_us * share.weight
                share.since = self.round

    def _new_round(self, count: int) -> None:
        self.round += count
        self.quantum_us = self._next_quantum_us
        for key in [key for key, share in self._debtors.items() if self._repaid(share) >= 0]:
            del self._debtors[key]

    def _repaid(self, share: Share) -> int:
        return share.deficit_us + (self.round - share.since) * self.quantum_us * share.weight
