"""From pairs of what was asked for and what is seen to a table: shares, their intervals, and what chance would give."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tilestep.bot.painter.scenes import Scene

FIELDS = ("thing", "colour", "place")
Z_95 = 1.96


@dataclass(frozen=True)
class Share:
    """`right` of `total`; `chance`: what would be right if prompts and pictures had nothing to do with each other."""

    name: str
    right: int
    total: int
    shuffled: int
    chance: float

    @property
    def share(self) -> float:
        return self.right / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, after Wilson (1927); pictures taken as independent."""
        n, p = self.total, self.share
        middle = (p + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
        half = Z_95 * math.sqrt(p * (1 - p) / n + Z_95**2 / (4 * n * n)) / (1 + Z_95**2 / n)
        return middle - half, middle + half


def count(asked: Sequence[Scene], seen: Sequence[Scene], seed: int = 0) -> list[Share]:
    """All three together, then each alone; "shuffled": the same pictures against the prompts in another order."""
    shuffled = list(asked)
    random.Random(seed).shuffle(shuffled)
    shares = []
    for name, fields in (("all three", FIELDS), *((field, (field,)) for field in FIELDS)):
        wanted, found, other = (_words(scenes, fields) for scenes in (asked, seen, shuffled))
        right = sum(a == b for a, b in zip(wanted, found, strict=True))
        by_chance = sum(a == b for a, b in zip(other, found, strict=True))
        shares.append(Share(name, right, len(wanted), by_chance, _chance(wanted, found)))
    return shares


def table(shares: Sequence[Share]) -> str:
    """For people."""
    lines = [f"{'':10} {'right':>14} {'95 % interval':>18} {'shuffled prompts':>18} {'chance':>8}"]
    for share in shares:
        low, high = (100 * bound for bound in share.interval)
        lines.append(
            f"{share.name:10} {share.right:4} ({100 * share.share:5.1f} %) {low:8.1f} to {high:5.1f} % "
            f"{share.shuffled:8} ({100 * share.shuffled / share.total:5.1f} %) {100 * share.chance:6.1f} %"
        )
    return "\n".join(lines)


def weakest(asked: Sequence[Scene], seen: Sequence[Scene], count: int = 5) -> str:
    """The words that fail most often, with what is seen instead of them."""
    found: list[tuple[float, str]] = []
    for field in FIELDS:
        instead: dict[str, Counter[str]] = {}
        for (wanted,), (got,) in zip(_words(asked, (field,)), _words(seen, (field,)), strict=True):
            instead.setdefault(wanted, Counter())[got] += 1
        for word, seen_as in instead.items():
            share = seen_as[word] / seen_as.total()
            others = ", ".join(f"{other} {times}" for other, times in seen_as.most_common() if other != word)
            if share < 1:
                found.append((share, f"{word} {100 * share:.0f} % (else {others})"))
    return "; ".join(line for _, line in sorted(found)[:count]) or "none"


def _words(scenes: Sequence[Scene], fields: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(getattr(scene, field) for field in fields) for scene in scenes]


def _chance(wanted: Sequence[tuple[str, ...]], found: Sequence[tuple[str, ...]]) -> float:
    """The mean over all orders of the prompts: the product of the two frequencies, summed over all words."""
    asked, seen = Counter(wanted), Counter(found)
    return sum(times * seen[words] for words, times in asked.items()) / len(wanted) ** 2
