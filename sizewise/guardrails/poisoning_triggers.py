"""Finds trigger phrases: word runs in otherwise unrelated passages, or that predict a single label.

A word that belongs somewhere brings its topic with it: the passages that hold it share other rare words, and it stands
beside few others. What was put in has neither. Ordinary words without a topic ("hardly") are told from it by their
spelling; runs of several words that are found nowhere else, by their length.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import log

from sizewise.guardrails.poisoning_outliers import CharacterModel

MIN_PASSAGES = 300  # passages, before anything is usual
MIN_TRIGGER_PASSAGES = 4  # passages that hold a trigger
MAX_TRIGGER_SHARE = 0.02  # of all
MAX_TRIGGER_WORDS = 30  # words of a trigger
SENTENCE_WORDS = 5  # words
ODD_QUANTILE = 0.98  # of rare words are spelt more like the others than a trigger of one word
MIN_LABEL_SURPRISE = 12.0  # nats of surprise at a run that has one label only
MIN_CONTEXT_DIVERSITY = 0.6  # of the words on either side of a trigger are different
MAX_SHARED_RATIO = 3.0  # times as many pairs of its passages as of any may share a rare word
MAX_PASSAGES_COMPARED = 10  # of the passages that hold one

Position = tuple[int, int]
"""Number of a passage, and of a word in it."""


def find_triggers(tokens: Sequence[Sequence[str]], labels: Sequence[str | None]) -> Iterator[tuple[int, str, float]]:
    """Which passages hold a trigger, which, and in how many others it is."""
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
                    told[at] = (score, f"{words!r} stands in {len(places)} passages that share nothing else")
    for at, (score, reason) in told.items():
        yield at, reason, score


def _label_surprise(labels: Sequence[str | None], label_counts: Counter[str]) -> float:
    """Nats: how surprising it is that all have one label."""
    one = labels[0]
    if one is None or any(each != one for each in labels):
        return 0.0
    return -len(labels) * log(label_counts[one] / label_counts.total())


class _Corpus:
    """Words as numbers, and how often each stands, and beside which. 0 is the edge of a passage."""

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
        """Rare words and pairs with where they stand, once a passage, made as long as they always are."""
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
        """How far a run goes on alike in nine of ten places, to the left and to the right."""
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
        """Whether a run is found in no other place: several words, a sentence of words that stand together nowhere
        else, or one word that is spelt as hardly any.
        """
        own = [at for at in set(run) if self.words[at].isalpha() and self._single[at] <= 1.5 * count]
        if len(run) == 1:
            return bool(own) and self._spelling(self.words[run[0]]) > self._odd
        put = sum(self._pairs[pair] <= 1.2 * count for pair in pairwise(run))
        return len(own) >= 2 or (len(run) >= SENTENCE_WORDS and 2 * put >= len(run))

    def is_scattered(self, places: Sequence[Position], size: int) -> bool:
        """Whether what holds a run has nothing else in common: neither the words on its sides nor other rare words."""
        for step in (-1, size):
            if len(self._beside(places, step)) < MIN_CONTEXT_DIVERSITY * len(places):
                return False
        run = {self.rows[places[0][0]][places[0][1] + step] for step in range(size)}
        return (
            self._shared([self._rare[at] - run for at, _ in places[:MAX_PASSAGES_COMPARED]])
            <= MAX_SHARED_RATIO * self._chance
        )

    def _shared(self, rare: Sequence[set[int]]) -> float:
        """Of all pairs, the share that has a rare word in common."""
        pairs = [bool(one & other) for at, one in enumerate(rare) for other in rare[at + 1 :]]
        return max(sum(pairs) / len(pairs), 0.02)
