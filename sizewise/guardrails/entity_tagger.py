"""Named-entity tagger: labels tokens as people, places, organizations and addresses by a linear model. Inference only.

A sum of weights per token, and the best sequence of labels by the Viterbi algorithm; some microseconds a token. The
weights are in named_entities.bin, written by bench/guardrails/train_names.py. Error rates: bench/guardrails/README.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from operator import lshift

from sizewise.guardrails.entity_features import (
    EDGE,
    FILE_HEADER,
    FORMAT,
    LABELS,
    MAGIC,
    TABLE_SIZE,
    TOKEN,
    pair_rows,
    shape_row,
    word_keys,
)

MAX_CACHED_WORDS = 20_000
COUNT: int = len(LABELS)
FIELD = 20
"""Bits of a label's sum of weights: a token's weights of all labels are one integer, so that one addition adds them
all. A sum of 60 weights has 13 bits and a sign."""
HALF = 1 << (FIELD - 1)
FIELD_MASK = (1 << FIELD) - 1
SHIFTS = tuple(FIELD * label for label in range(COUNT))
POSITIVE: int = sum(HALF << shift for shift in SHIFTS)
"""Added before the fields are taken apart, so that none is negative."""

_Word = tuple[int, int, int, int, int, int, int]
"""A token's own packed weights, and those it gives the token after, before, two after and two before it; two hashes."""

LATER = tuple(range(1, COUNT))
NOTHING: tuple[Sequence[int], Sequence[int]] = ((0,), (0,))

Entity = tuple[str, int, int]
"""Label, first character, last character + 1."""


class EntityTagger:
    """The weights, and a cache of words. Raises ValueError for data of another format."""

    def __init__(self, data: bytes) -> None:
        magic, form, step, bias, *between = FILE_HEADER.unpack_from(data)
        if (magic, form) != (MAGIC, FORMAT) or len(data) != FILE_HEADER.size + TABLE_SIZE * COUNT:
            raise ValueError("named_entities.bin has another format or is incomplete: reinstall Sizewise")
        cells = memoryview(data)[FILE_HEADER.size :].cast("b")
        columns = [cells[label::COUNT].tolist() for label in range(COUNT)]
        self._rows = [sum(map(lshift, row, SHIFTS)) for row in zip(*columns, strict=True)]
        self._bias = POSITIVE + round(bias / step)
        self._after = [[round(between[was * COUNT + now] / step) for was in range(COUNT)] for now in range(COUNT)]
        self._sway = [_sway(self._after, label) for label in range(COUNT)]
        self._words: dict[str, _Word] = {}
        self._edge = self._word(EDGE)

    def entities(self, text: str) -> list[Entity]:
        """In text order, not overlapping. Linear in the text."""
        spans = [match.span() for match in TOKEN.finditer(text)]
        labels = self._labels([text[start:end] for start, end in spans])
        return list(_joined(text, spans, labels))

    def _labels(self, tokens: Sequence[str]) -> list[int]:
        """Viterbi: the best sequence of labels, "nothing" before it and behind it. A label that "nothing" beats by more
        than its neighbors could make up for is not tried, so most tokens have no choice.
        """
        after, sway = self._after, self._sway
        labels: Sequence[int] = (0,)  # that can stand at the last token
        best = [0]  # the scores of the best paths to them
        paths = list[tuple[Sequence[int], Sequence[int]]]()  # of each token: its labels, and which came before each
        for weights in self._weights(tokens):
            least = weights[0]
            allowed = (0, *[each for each in LATER if least - weights[each] <= sway[each]])
            if len(allowed) == len(labels) == 1:
                paths.append(NOTHING)
                continue
            origins, score = list[int](), list[int]()
            for now in allowed:
                row = after[now]
                chances = [was + row[label] for was, label in zip(best, labels, strict=True)]
                top = max(chances)
                origins.append(chances.index(top))
                score.append(top + weights[now])
            paths.append((allowed, origins))
            labels, best = allowed, score if len(score) > 1 else [0]
        closing = [score + after[0][label] for score, label in zip(best, labels, strict=True)]
        at, found = closing.index(max(closing)), list[int]()
        for stood, came in reversed(paths):
            found.append(stood[at])
            at = came[at]
        return found[::-1]

    def _weights(self, tokens: Sequence[str]) -> Iterator[list[int]]:
        """The weight of each label, for each token."""
        known, rows, bias = self._words.get, self._rows, self._bias
        words = [self._edge, self._edge, *(known(each) or self._word(each) for each in tokens), self._edge, self._edge]
        two, one, word, after = words[:4]
        mixed = pair_rows(one[5], word[5])[1]
        for second in words[4:]:
            before, (right, next) = mixed, pair_rows(word[5], after[5])
            form = rows[shape_row(one[6], word[6], after[6])]
            total = bias + word[0] + one[1] + after[2] + two[3] + second[4] + rows[before] + rows[right] + form
            yield [((total >> shift) & FIELD_MASK) - HALF for shift in SHIFTS]
            two, one, word, after, mixed = one, word, after, second, next

    def _word(self, token: str) -> _Word:
        *roles, word, form = word_keys(token)
        own, after, before, second_after, second_before = (sum([self._rows[row] for row in role]) for role in roles)
        made = (own, after, before, second_after, second_before, word, form)
        if len(self._words) >= MAX_CACHED_WORDS:
            self._words.clear()
        self._words[token] = made
        return made


def _sway(after: Sequence[Sequence[int]], label: int) -> int:
    """The most that the labels beside a token can add to `label` over "nothing"."""
    before = max(after[label][was] - after[0][was] for was in range(COUNT))
    return before + max(row[label] - row[0] for row in after)


def _joined(text: str, spans: Sequence[tuple[int, int]], labels: Sequence[int]) -> Iterator[Entity]:
    """Runs of one label as entities, without signs and line breaks at their ends."""
    at, count = 0, len(labels)
    while at < count:
        end = at + 1
        if label := labels[at]:
            while end < count and labels[end] == label:
                end += 1
            first, last = at, end - 1
            while first <= last and not text[spans[first][0]].isalnum():
                first += 1
            while last >= first and not text[spans[last][0]].isalnum():
                last -= 1
            if first <= last:
                yield LABELS[label], spans[first][0], spans[last][1]
        at = end


def load_tagger() -> EntityTagger:
    """The tagger with the bundled weights."""
    return EntityTagger(files("sizewise.guardrails").joinpath("named_entities.bin").read_bytes())
