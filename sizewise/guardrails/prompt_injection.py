"""Prompt injection guard: a linear classifier over word windows. Inference only; knows no requests.

The weights of hashed words, word pairs and n-grams are in prompt_injection.bin, one byte each, written by
bench/guardrails/train_prompt_injection.py. Scoring takes a few additions per word. It is not a sufficient defense: see
untrusted_content.py, and docs/explanation/prompt-injection.md for what it misses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from itertools import accumulate
from math import exp
from typing import Literal

from sizewise.guardrails.base import Finding, Guard, GuardConfig, TextOrigin, merge_overlaps
from sizewise.guardrails.document_kind import DocumentKind, document_kind
from sizewise.guardrails.hidden_text import find_hidden_text
from sizewise.guardrails.prompt_injection_features import (
    FILE_HEADER,
    FORMAT,
    MAGIC,
    TABLE_SIZE,
    WINDOW_SIZES,
    WORD,
    fold_word,
    ngram_buckets,
    ngram_weight,
    tokenize_words,
    window_norm,
    word_buckets,
    word_windows,
)

NAME = "injection"

InjectionKind = Literal["DIRECT", "INDIRECT"]
THRESHOLD = -0.5
"""Log-odds above which a window of a user's message counts as an injection: keeps false positives near 1 %."""
DOCUMENT_THRESHOLDS: Mapping[DocumentKind, float] = {
    "mail": 0.0,
    "page": -0.5,
    "chat": -0.5,
    "code": 2.0,
    "manual": 1.5,
    "text": -0.5,
}
"""The same for documents, by kind: code and manuals are full of orders to their readers. Exceeded by 2 % of ordinary
documents that are neither trained on nor of the tests (`make train-injection` prints them); pages and chats, of which
those are too few, as other text."""
LOWEST_THRESHOLD: float = min(DOCUMENT_THRESHOLDS.values())

MAX_FINDINGS = 20  # per text, the most certain
MAX_CACHED_WORDS = 30_000  # words

_Word = tuple[float, int, int, int, int]
"""Weight of a word with its n-grams, and its four hashes."""


class InjectionClassifier:
    """The weights, and a cache of hashed words. Raises ValueError for data of another format."""

    def __init__(self, data: bytes) -> None:
        magic, form, self._step, self._bias = FILE_HEADER.unpack_from(data)
        if (magic, form) != (MAGIC, FORMAT) or len(data) != FILE_HEADER.size + TABLE_SIZE:
            raise ValueError("prompt_injection.bin has another format or is incomplete: reinstall Sizewise")
        steps = list(range(-128, 128))  # shared int objects; a list is read three times as fast as an array
        self._table = [steps[each ^ 128] for each in data[FILE_HEADER.size :]]
        self._length = [window_norm(each) for each in range(max(WINDOW_SIZES) + 1)]
        self._words: dict[str, _Word] = {}

    def log_odds(self, tokens: list[str]) -> list[tuple[float, int, int]]:
        """(log-odds of an injection, first word, last word + 1) for each window."""
        total, lengths, bias, step = [0.0, *accumulate(self._weights(tokens))], self._length, self._bias, self._step
        return [
            (bias + step * (total[end] - total[start]) / lengths[end - start], start, end)
            for start, end in word_windows(len(tokens))
        ]

    def score(self, text: str) -> float:
        """Probability of an injection in the most suspicious window of `text`, 0..1."""
        return _probability(max([chance for chance, _, _ in self.log_odds(tokenize_words(text))], default=-30.0))

    def _weights(self, tokens: list[str]) -> list[float]:
        """Weight of each word with the pair, the triple and the gap that end in it, in quantization steps."""
        table, known, found = self._table, self._words.get, list[float]()
        before = first = skipped = older = gap = -1  # hashes of the previous word and of the word before it
        for word in tokens:
            weight, last, after, second, third = known(word) or self._hash_word(word)
            if older >= 0:
                pair = before ^ last
                weight += table[pair] + table[older ^ pair] + table[gap ^ last]
            elif before >= 0:
                weight += table[before ^ last]
            older, gap = first, skipped
            before, first, skipped = after, second, third
            found.append(weight)
        return found

    def _hash_word(self, token: str) -> _Word:
        word = fold_word(token)
        last, before, first, skipped = word_buckets(word)
        parts = ngram_buckets(word)
        own = self._table[last] + ngram_weight(len(parts)) * sum([self._table[at] for at in parts])
        if len(self._words) >= MAX_CACHED_WORDS:
            self._words.clear()
        found = self._words[token] = (own, last, before, first, skipped)
        return found


def load_classifier() -> InjectionClassifier:
    """The classifier with the bundled weights."""
    return InjectionClassifier(files("sizewise.guardrails").joinpath("prompt_injection.bin").read_bytes())


class PromptInjectionGuard:
    """The guard for one origin of text: `kind` is DIRECT for the user's own messages, INDIRECT for other texts. Hidden
    text is HIDDEN in both.
    """

    def __init__(self, kind: InjectionKind, classifier: InjectionClassifier) -> None:
        self._kind = kind
        self._classifier = classifier

    def __call__(self, text: str) -> list[Finding]:
        lowest = THRESHOLD if self._kind == "DIRECT" else LOWEST_THRESHOLD
        found = [each for each in self._classifier.log_odds(tokenize_words(text)) if each[0] > lowest]
        if found and self._kind == "INDIRECT":
            least = DOCUMENT_THRESHOLDS[document_kind(text)]
            found = [each for each in found if each[0] > least]
        covert = [
            Finding(NAME, "HIDDEN", *span)
            for span in find_hidden_text(text, self._classifier.score, _probability(THRESHOLD))
        ]
        if not found and not covert:
            return []
        plainly = [
            each
            for each in self._to_findings(text, found)
            if all(each.end <= other.start or each.start >= other.end for other in covert)
        ]
        return merge_overlaps([*covert, *plainly])

    def for_origin(self, origin: TextOrigin) -> Guard | None:
        """None for the owner: system prompts and the model's own turns may give instructions."""
        if origin == "owner":
            return None
        kind: InjectionKind = "DIRECT" if origin == "person" else "INDIRECT"
        return self if kind == self._kind else PromptInjectionGuard(kind, self._classifier)

    def _to_findings(self, text: str, windows: list[tuple[float, int, int]]) -> Iterator[Finding]:
        """The most certain non-overlapping windows."""
        if not windows:
            return
        spans = [match.span() for match in WORD.finditer(text)]
        taken = list[tuple[int, int]]()
        for chance, start, end in sorted(windows, key=lambda each: (-each[0], each[1])):
            if len(taken) < MAX_FINDINGS and all(end <= a or start >= z for a, z in taken):
                taken.append((start, end))
                yield Finding(
                    guard=NAME,
                    kind=self._kind,
                    start=spans[start][0],
                    end=spans[end - 1][1],
                    score=_probability(chance),
                )


def _probability(log_odds: float) -> float:
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, log_odds))))


def prompt_injection_guard(config: GuardConfig) -> PromptInjectionGuard:
    """The guard for the user's own messages; `for_origin` gives those for other origins."""
    return PromptInjectionGuard("DIRECT", load_classifier())
