"""P(good | request, model) from a prompt's words, or an abstention with its reason; plain Python, and knows no outcome.

What is predicted was learnt by learn.py and travels as one JSON file. All that a head holds (text, length, base rate,
calibration) was folded into one weight a feature, so a prediction is a sum a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log, sqrt

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.routing.text.prompt_features import SURFACE, grams, language, once, plain, surface, words

FORMAT = 2


class Scale(Struct, frozen=True):
    """How `surface` was put on one scale: (value - mean) / spread, in the order of SURFACE."""

    mean: tuple[float, ...]
    spread: tuple[float, ...]


class Head(Struct, frozen=True):
    """One model: the log-odds of a good answer are bias + surface and words, each times its weight."""

    bias: float
    surface: tuple[float, ...]
    words: list[float]  # as long as the vocabulary


class Area(Struct, frozen=True):
    """APGR, cross-validated on the router's own data, with its bootstrap interval; 0.5 is random."""

    apgr: float
    low: float
    high: float
    sure: float = 0.95


class Provenance(Struct, frozen=True):
    """Where a predictor comes from; with it, its bytes can be made again."""

    data: str  # sha256 of the outcomes it was learnt from
    seed: int
    date: str  # of the training, 2026-01-31
    labels: int  # prompts on which both models were scored
    small: str
    large: str
    ours: Area
    length: Area  # of the prompt's length alone
    version: str = ""


class Predictor(Struct, frozen=True):
    """`languages`: those that had enough prompts. `known`: the least share of a prompt's words that must have been
    seen. `abstains`: why it predicts nothing at all; empty when it does."""

    vocabulary: dict[str, int]  # word or pair of words -> place in the heads' lists
    rarity: list[float]  # inverse document frequency of each
    scale: Scale
    heads: dict[str, Head]
    languages: frozenset[str]
    known: float  # 0..1
    learnt: Provenance
    abstains: str = ""
    format: int = FORMAT

    def __call__(self, ask: str) -> Mapping[str, float] | None:
        """The chance of a good answer of each model, 0..1; None when it abstains. `ask`: the person's own words."""
        return self.predicted(ask) or None

    def predicted(self, ask: str) -> dict[str, float]:
        """As the call, whether or not the whole router abstains; empty for a prompt unlike all it has seen."""
        if self.abstains:
            return {}
        folded = plain(ask)
        seen = words(folded)
        single = once(seen)
        if self._strange(folded, seen, single):
            return {}
        found = self._weighed(single)
        shape = [
            (value - mean) / spread
            for value, mean, spread in zip(surface(folded, seen), self.scale.mean, self.scale.spread, strict=True)
        ]
        return {name: _chance(head, shape, found) for name, head in self.heads.items()}

    def objection(self, ask: str) -> str:
        """Why nothing is predicted for `ask`, in words; empty when something is."""
        folded = plain(ask)
        seen = words(folded)
        return self.abstains or self._strange(folded, seen, once(seen))

    def _strange(self, folded: str, seen: list[str], single: list[str]) -> str:
        tongue = language(folded, seen)
        if tongue not in self.languages:
            return f"too few of the prompts it learnt from were in the language of this one ({tongue})"
        vocabulary = self.vocabulary
        known, usual = sum([word in vocabulary for word in single]), self.known * len(seen)
        # The share of a few words says little: short of `usual` by one standard deviation is not yet strange.
        if known < usual - sqrt(usual * (1.0 - self.known)) or not known:
            return f"it knows {known} of this prompt's {len(seen)} words: another domain"
        return ""

    def _weighed(self, seen: list[str]) -> list[tuple[int, float]]:
        """TF-IDF of the words and pairs that are known, as a vector of length 1."""
        place, rarity = self.vocabulary.get, self.rarity
        times: dict[int, int] = {}
        for gram in grams(seen):
            at = place(gram)
            if at is not None:
                times[at] = times.get(at, 0) + 1
        found = [(at, rarity[at] if number == 1 else (1.0 + log(number)) * rarity[at]) for at, number in times.items()]
        length = sqrt(sum([value * value for _, value in found])) or 1.0
        return [(at, value / length) for at, value in found]


def _chance(head: Head, shape: list[float], found: list[tuple[int, float]]) -> float:
    weights = head.words
    odds = head.bias + sum([a * b for a, b in zip(head.surface, shape, strict=True)])
    odds += sum([weights[at] * value for at, value in found])
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, odds))))


def whole(predictor: Predictor) -> bool:
    """Whether every list is as long as what reads it: a cut file must not fail a request."""
    size, shape = len(predictor.vocabulary), len(SURFACE)
    return (
        sorted(predictor.vocabulary.values()) == list(range(size)) == list(range(len(predictor.rarity)))
        and len(predictor.scale.mean) == len(predictor.scale.spread) == shape
        and all(predictor.scale.spread)
        and all(len(head.words) == size and len(head.surface) == shape for head in predictor.heads.values())
    )


def write(predictor: Predictor) -> bytes:
    """The same predictor is always the same bytes."""
    return msgspec.json.encode(predictor, order="deterministic")


def read(written: bytes) -> Predictor:
    """Raises BadRequest for what `write` did not write."""
    try:
        predictor = msgspec.json.decode(written, type=Predictor)
    except msgspec.DecodeError as why:
        raise BadRequest(f"this is no trained router: {why}", "train it anew: sizewise route train") from why
    if predictor.format != FORMAT or not whole(predictor):
        raise BadRequest(
            f"this router is of format {predictor.format!r}, or was cut", "train it anew: sizewise route train"
        )
    return predictor
