"""Spots instructions that are slipped in, by their words and where they hide; knows no request and learns nothing.

A linear model over hashed words, their neighbours and pieces, a byte a weight, in injection.bin: written by
bench/guardrails/train_prompt_injection.py, which needs numpy. Here a text costs a few additions a word, in time
linear in it. It is no defence by itself: see untrusted.py, and docs/concepts/injection.md for what it misses.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from itertools import accumulate
from math import exp
from typing import Literal

from sizewise.guardrails.base import Finding, Guard, Origin, Words, apart
from sizewise.guardrails.hidden_text import hidden
from sizewise.guardrails.prompt_injection_features import (
    FORMAT,
    HEAD,
    MAGIC,
    SIZE,
    WINDOWS,
    WORD,
    hashed,
    length,
    pieces,
    plain,
    share,
    windows,
    words,
)

NAME = "injection"

Kind = Literal["DIRECT", "INDIRECT"]
OVER = -0.5
"""Log-odds over which a window is an injection: what keeps false alarms on ordinary prompts near 1 %."""

FEW = 20  # findings of a text, the surest
REMEMBERED = 30_000  # words

_Word = tuple[float, int, int, int, int]
"""What a word and its pieces weigh, and its four hashes."""


class Model:
    """The weights, and the words that it met, so that they are hashed once. Raises ValueError for what
    train_injection.py did not write: the file is ours and comes with the program."""

    def __init__(self, written: bytes) -> None:
        magic, form, self._step, self._bias = HEAD.unpack_from(written)
        if (magic, form) != (MAGIC, FORMAT) or len(written) != HEAD.size + SIZE:
            raise ValueError("injection.bin is of another format, or was cut: install Sizewise anew")
        steps = list(range(-128, 128))  # each number once: a list is read three times as fast as an array
        self._table = [steps[each ^ 128] for each in written[HEAD.size :]]
        self._length = [length(each) for each in range(max(WINDOWS) + 1)]
        self._known: dict[str, _Word] = {}

    def odds(self, said: list[str]) -> list[tuple[float, int, int]]:
        """Log-odds that a window of words is an injection, with its first word and the one after its last."""
        total, lengths, bias, step = [0.0, *accumulate(self._weights(said))], self._length, self._bias, self._step
        return [
            (bias + step * (total[end] - total[start]) / lengths[end - start], start, end)
            for start, end in windows(len(said))
        ]

    def sure(self, text: str) -> float:
        """How sure the window of `text` is an injection that is most like one, 0..1."""
        return _sure(max([chance for chance, _, _ in self.odds(words(text))], default=-30.0))

    def _weights(self, said: list[str]) -> list[float]:
        """What each word weighs together with the pair, the triple and the gap that end in it, in steps."""
        table, known, found = self._table, self._known.get, list[float]()
        before = first = skipped = older = gap = -1  # hashes of the word before, and of the one before that
        for word in said:
            weight, last, after, second, third = known(word) or self._meet(word)
            if older >= 0:
                pair = before ^ last
                weight += table[pair] + table[older ^ pair] + table[gap ^ last]
            elif before >= 0:
                weight += table[before ^ last]
            older, gap = first, skipped
            before, first, skipped = after, second, third
            found.append(weight)
        return found

    def _meet(self, said: str) -> _Word:
        word = plain(said)
        last, before, first, skipped = hashed(word)
        parts = pieces(word)
        own = self._table[last] + share(len(parts)) * sum([self._table[at] for at in parts])
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        found = self._known[said] = (own, last, before, first, skipped)
        return found


def shipped() -> Model:
    """The one that comes with the program."""
    return Model(files("sizewise.guardrails").joinpath("injection.bin").read_bytes())


class Injection:
    """The guard for one origin of text: `kind` is DIRECT for the person's own words, INDIRECT for what they did not
    write. What is hidden is HIDDEN in both."""

    def __init__(self, kind: Kind, model: Model) -> None:
        self._kind = kind
        self._model = model

    def __call__(self, text: str) -> list[Finding]:
        found = [each for each in self._model.odds(words(text)) if each[0] > OVER]
        covert = [Finding(NAME, "HIDDEN", *span) for span in hidden(text, self._model.sure, _sure(OVER))]
        if not found and not covert:
            return []
        plainly = [
            each
            for each in self._placed(text, found)
            if all(each.end <= other.start or each.start >= other.end for other in covert)
        ]
        return apart([*covert, *plainly])

    def by(self, origin: Origin) -> Guard | None:
        """What the owner of the conversation and the model wrote is no injection, however much it commands."""
        if origin == "owner":
            return None
        kind: Kind = "DIRECT" if origin == "person" else "INDIRECT"
        return self if kind == self._kind else Injection(kind, self._model)

    def _placed(self, text: str, found: list[tuple[float, int, int]]) -> Iterator[Finding]:
        """The surest windows that do not overlap, as characters."""
        if not found:
            return
        spans = [match.span() for match in WORD.finditer(text)]
        taken = list[tuple[int, int]]()
        for chance, start, end in sorted(found, key=lambda each: (-each[0], each[1])):
            if len(taken) < FEW and all(end <= a or start >= z for a, z in taken):
                taken.append((start, end))
                yield Finding(NAME, self._kind, spans[start][0], spans[end - 1][1], _sure(chance))


def _sure(chance: float) -> float:
    """Log-odds as 0..1."""
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, chance))))


def injection(words: Words) -> Injection:
    """The guard of the person's own words."""
    return Injection("DIRECT", shipped())
