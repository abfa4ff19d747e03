"""Finds outlier passages: unusual character sequences and unusual combinations of words.

The baseline is the corpus itself, from words and pairs in at least two passages, so that no passage vouches for itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import log, log2

MIN_PASSAGES = 300  # passages; fewer give no baseline
WINDOW = 24  # words scored together
SHORTEST = 8  # words, or pairs of words
FREQUENT = 0.3  # expected count of a pair by chance, from which its absence means something
SPELT, PUT = 8.0, 4.5
"""Thresholds for spelling and word order, in standard deviations from the median. Names and formulas have unusual
spellings too, so the first is higher."""


def find_outliers(tokens: Sequence[Sequence[str]]) -> Iterator[tuple[int, str, float]]:
    """Yields (index of the passage, reason, standard deviations from the median)."""
    if len(tokens) < MIN_PASSAGES:
        return
    held = Counter(word for row in tokens for word in set(row))
    spelling = CharacterModel({word: count for word, count in held.items() if count > 1 and word.isalpha()})

    def strange(word: str) -> float:
        """Bits per letter of a word that is in no other passage; 0 for other words."""
        return spelling(word) if held[word] < 2 else 0.0

    met = Counter(pair for row in tokens for pair in set(pairwise(row)))
    single = Counter(word for row in tokens for word in row)
    total = single.total()

    def apart(row: Sequence[str]) -> Iterator[float]:
        """Nats: how much rarer than by chance two frequent words are adjacent in other passages."""
        for one, other in pairwise(row):
            if one.isalpha() and other.isalpha():
                chance = single[one] * single[other] / total
                if chance >= FREQUENT:
                    yield log((chance + 0.5) / (met[one, other] - 0.5))

    spelt: list[float | None] = [
        _worst([strange(word) for word in row if len(word) > 1 and word.isalpha()]) for row in tokens
    ]
    order = [_mean(list(apart(row))) for row in tokens]
    for values, limit, why in ((spelt, SPELT, "spelled"), (order, PUT, "arranged")):
        known = [each for each in values if each is not None]
        middle, spread = _usual(known or [0.0])
        for at, value in enumerate(values):
            far = 0.0 if value is None else (value - middle) / spread
            if far > limit:
                yield at, f"its words are {why} unlike those of other passages, by {far:.0f} standard deviations", far


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if len(values) >= SHORTEST else None


def _worst(values: Sequence[float]) -> float:
    """The largest mean of WINDOW consecutive values; windows overlap by half."""
    if len(values) < SHORTEST:
        return 0.0
    some = [values[start : start + WINDOW] for start in range(0, max(1, len(values) - WINDOW // 2), WINDOW // 2)]
    return max(sum(each) / max(len(each), WINDOW // 2) for each in some)


def _usual(values: Sequence[float]) -> tuple[float, float]:
    """Median, and the standard deviation of a normal distribution with the same 95th percentile."""
    ranked = sorted(values)
    middle = ranked[len(ranked) // 2]
    return middle, max((ranked[int(0.95 * len(ranked))] - middle) / 1.645, 1e-3)


class CharacterModel:
    """Trigram model of letters: bits per letter of a word, given the other words that several passages hold."""

    def __init__(self, words: dict[str, int]) -> None:
        self._words = words
        self._runs: list[Counter[str]] = [Counter() for _ in range(5)]
        for word in words:
            framed = f"  {word[:30]} "
            for size in range(5):
                self._runs[size].update(framed[at : at + size] for at in range(len(framed) - size + 1))
        self._known: dict[str, float] = {}

    def __call__(self, word: str) -> float:
        found = self._known.get(word)
        if found is None:
            found = self._known[word] = self._bits(word[:30], word in self._words)
        return found

    def _bits(self, word: str, known: bool) -> float:
        framed = f"  {word} "
        return sum(-log2(self._chance(framed, at, int(known))) for at in range(2, len(framed))) / (len(framed) - 2)

    def _chance(self, framed: str, at: int, own: int) -> float:
        """Interpolates contexts of 0 to 3 letters, without the word's own counts."""
        chance = 1.0 / 256
        for size in range(min(3, at) + 1):
            before = framed[at - size : at]
            all_of = (self._runs[size][before] if size else self._runs[1].total()) - own
            if all_of <= 0:
                break
            chance = 0.4 * chance + 0.6 * max(0, self._runs[size + 1][before + framed[at]] - own) / all_of
        return chance
