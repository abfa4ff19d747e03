"""Finds trigger phrases: word runs in otherwise unrelated passages, or that predict a single label.

A natural rare word brings its topic with it: its passages share other rare words, and it has few different neighbors.
An inserted trigger has neither property. Ordinary words without a topic ("hardly") are distinguished from a one-word
trigger by their spelling; longer triggers by being a phrase that occurs nowhere else.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import log

from sizewise.guardrails.poisoning_outliers import CharacterModel

MIN_PASSAGES = 300  # passages; fewer give no baseline
MIN_TRIGGER_PASSAGES = 4  # passages that hold a trigger
MAX_TRIGGER_SHARE = 0.02  # of all passages
MAX_TRIGGER_WORDS = 30  # words
SENTENCE_WORDS = 5  # words of a phrase that can be a trigger without rare words
ODD_QUANTILE = 0.98  # a one-word trigger has a more unusual spelling than this share of rare words
MIN_LABEL_SURPRISE = 12.0  # nats, of a run whose passages all have one label
MIN_CONTEXT_DIVERSITY = 0.6  # share of different words on either side of a trigger
MAX_SHARED_RATIO = 3.0  # how much likelier than random pairs of passages its passages may share a rare word
MAX_PASSAGES_COMPARED = 10  # passages per trigger

Position = tuple[int, int]
"""Index of a passage, and of a word in it."""


def find_triggers(tokens: Sequence[Sequence[str]], labels: Sequence[str | None]) -> Iterator[tuple[int, str, float]]:
    """Yields (index of the passage, reason that quotes the trigger, score: number of passages plus label surprise)."""
    if len(tokens) < MIN_PASSAGES:
        return
    corpus = _Corpus(tokens)
    most = max(2 * MIN_TRIGGER_PASSAGES, int(MAX_TRIGGER_SHARE * len(tokens)))
    share = Counter(label for label in labels if label is not None)
    told = dict[int, tuple[float, str]]()
    for run, places in corpus.runs(most).items():
        tied = _label_surprise([labels[at] for at, _ in places], share)
        if (tied > MIN_LABEL_SURPRISE or corpus.is_rare_phrase(run, len(places))) and corpus.is_scattered(
            places,
            len(run),
        ):
            score = float(len(places)) + tied
            words = " ".join(corpus.words[each] for each in run)[:60]
            for at, _ in places:
                if score > told.get(at, (0.0, ""))[0]:
                    told[at] = (score, f"{words!r} occurs in {len(places)} passages that share nothing else")
    for at, (score, reason) in told.items():
        yield at, reason, score


def _label_surprise(labels: Sequence[str | None], label_counts: Counter[str]) -> float:
    """Nats: the surprise that all have the same label; 0 if they do not."""
    one = labels[0]
    if one is None or any(each != one for each in labels):
        return 0.0
    return -len(labels) * log(label_counts[one] / label_counts.total())


class _Corpus:
    """Passages as word indexes, with counts of words and pairs. Index 0 is the edge of a passage."""

    def __init__(self, tokens: Sequence[Sequence[str]]) -> None:
        known: dict[str, int] = {"": 0}
        self.rows = [array("l", [0, *(known.setdefault(each, len(known)) for each in row), 0]) for row in tokens]
        self.words = list(known)
        self._single = Counter(word for row in self.rows for word in row)
        self._held = Counter(word for row in self.rows for word in set(row))
        self._pairs = Counter(pair for row in self.rows for pair in set(pairwise(row)))
        most = MAX_TRIGGER_SHARE * len(tokens)
        self._rare = [
            {word for word in row if MIN_TRIGGER_PASSAGES - 1 < self._held[word] <= most} for row in self.rows
        ]
        self._spelling = CharacterModel(
            {word: self._held[at] for at, word in enumerate(self.words) if self._held[at] > 1 and word.isalpha()},
        )
        bits = sorted(
            self._spelling(word)
            for at, word in enumerate(self.words)
            if MIN_TRIGGER_PASSAGES <= self._held[at] <= most and word.isalpha()
        )
        self._odd = bits[int(ODD_QUANTILE * len(bits))] if bits else 0.0
        self._chance = self._shared([self._rare[at * 7919 % len(self._rare)] for at in range(60)])

    def runs(self, most: int) -> dict[tuple[int, ...], list[Position]]:
        """Rare words and pairs, extended to the longest common phrase -> positions, one per passage."""
        seen: dict[tuple[int, ...], list[Position]] = {}
        for number, row in enumerate(self.rows):
            here = set[tuple[int, ...]]()
            for at in range(1, len(row) - 1):
                for key, count in (
                    ((row[at],), self._held[row[at]]),
                    ((row[at], row[at + 1]), self._pairs[row[at], row[at + 1]]),
                ):
                    if MIN_TRIGGER_PASSAGES <= count <= most and key[-1] and key not in here:
                        here.add(key)
                        seen.setdefault(key, []).append((number, at))
        found: dict[tuple[int, ...], list[Position]] = {}
        for seed, places in seen.items():
            start, end = self._grown(places, len(seed))
            number, at = places[0]
            found.setdefault(tuple(self.rows[number][at + start : at + end]), [(n, at + start) for n, at in places])
        return found

    def _grown(self, places: Sequence[Position], size: int) -> tuple[int, int]:
        """Offsets (start, end) of the phrase around a run that is the same in nine of ten places."""
        start, end, enough = 0, size, 0.9 * len(places)
        while end - start < MAX_TRIGGER_WORDS and self._same(places, end) >= enough:
            end += 1
        while end - start < MAX_TRIGGER_WORDS and self._same(places, start - 1) >= enough:
            start -= 1
        return start, end

    def _beside(self, places: Sequence[Position], step: int) -> Counter[int]:
        return Counter(
            self.rows[number][at + step] if 0 < at + step < len(self.rows[number]) else 0 for number, at in places
        )

    def _same(self, places: Sequence[Position], step: int) -> int:
        return max([count for word, count in self._beside(places, step).items() if word], default=0)

    def is_rare_phrase(self, run: Sequence[int], count: int) -> bool:
        """Whether a run occurs hardly anywhere else: it has two words of its own, or unusual pairs in a sentence, or is
        one word with an unusual spelling.
        """
        own = [at for at in set(run) if self.words[at].isalpha() and self._single[at] <= 1.5 * count]
        if len(run) == 1:
            return bool(own) and self._spelling(self.words[run[0]]) > self._odd
        put = sum(self._pairs[pair] <= 1.2 * count for pair in pairwise(run))
        return len(own) >= 2 or (len(run) >= SENTENCE_WORDS and 2 * put >= len(run))

    def is_scattered(self, places: Sequence[Position], size: int) -> bool:
        """Whether the passages of a run share neither its neighboring words nor other rare words."""
        for step in (-1, size):
            if len(self._beside(places, step)) < MIN_CONTEXT_DIVERSITY * len(places):
                return False
        run = {self.rows[places[0][0]][places[0][1] + step] for step in range(size)}
        return (
            self._shared([self._rare[at] - run for at, _ in places[:MAX_PASSAGES_COMPARED]])
            <= MAX_SHARED_RATIO * self._chance
        )

    def _shared(self, rare: Sequence[set[int]]) -> float:
        """Share of pairs with a rare word in common, at least 0.02."""
        pairs = [bool(one & other) for at, one in enumerate(rare) for other in rare[at + 1 :]]
        return max(sum(pairs) / len(pairs), 0.02)
