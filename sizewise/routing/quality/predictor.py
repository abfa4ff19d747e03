"""Quality predictor: P(good | prompt, model) as a linear model over words, or an abstention with its reason.

Trained by training/trainer.py and stored as one JSON file. All parts of a head (text, length, base rate, calibration)
are folded into one weight per feature, so a prediction is one sum per model.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log, sqrt

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.routing.text.prompt_features import (
    SURFACE_FEATURES,
    collapse_doubled,
    fold_text,
    guess_language,
    ngrams,
    surface_features,
    tokenize,
)

FORMAT = 2


class FeatureScale(Struct, frozen=True):
    """Standardization of the surface features: (value - mean) / scale, in the order of SURFACE_FEATURES."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]


class ModelHead(Struct, frozen=True):
    """One model: the log odds of a good answer are the bias plus weighted surface features and words."""

    bias: float
    surface_weights: tuple[float, ...]
    word_weights: list[float]  # as long as the vocabulary


class ApgrScore(Struct, frozen=True):
    """APGR, cross-validated on the predictor's own data, with its bootstrap interval; 0.5 is random."""

    apgr: float
    low: float
    high: float
    confidence_level: float = 0.95


class PredictorProvenance(Struct, frozen=True):
    """The inputs from which a predictor's bytes can be reproduced."""

    dataset_digest: str  # sha256 of the training outcomes
    seed: int
    date: str  # of the training, 2026-01-31
    label_count: int  # prompts with scores of both models
    small_model: str
    large_model: str
    apgr: ApgrScore
    length_baseline: ApgrScore  # using only the prompt's length
    version: str = ""
    prompt_sketch: tuple[str, ...] = ()  # of the training prompts, as in prompt_sketch.py


class Predictor(Struct, frozen=True):
    """`languages`: those with enough training prompts. `min_known_share`: the smallest share of a prompt's words that
    must be in the vocabulary. `abstention`: why it makes no predictions at all; empty if it does.
    """

    vocabulary: dict[str, int]  # word or word pair -> index in the heads' lists
    idf: list[float]  # inverse document frequency by index
    scale: FeatureScale
    heads: dict[str, ModelHead]
    languages: frozenset[str]
    min_known_share: float  # 0..1
    provenance: PredictorProvenance
    abstention: str = ""
    format: int = FORMAT

    def __call__(self, prompt: str) -> Mapping[str, float] | None:
        """Probability of a good answer per model, 0..1; None if it abstains. `prompt`: the user's text."""
        return self.predict(prompt) or None

    def predict(self, prompt: str) -> dict[str, float]:
        """As `__call__`; empty if it abstains."""
        if self.abstention:
            return {}
        folded = fold_text(prompt)
        seen = tokenize(folded)
        single = collapse_doubled(seen)
        if self._unfamiliar_reason(folded, seen, single):
            return {}
        found = self._tfidf(single)
        shape = [
            (value - mean) / spread
            for value, mean, spread in zip(
                surface_features(folded, seen),
                self.scale.mean,
                self.scale.scale,
                strict=True,
            )
        ]
        return {name: _chance(head, shape, found) for name, head in self.heads.items()}

    def abstention_reason(self, prompt: str) -> str:
        """Why nothing is predicted for `prompt`, in words; empty if something is."""
        folded = fold_text(prompt)
        seen = tokenize(folded)
        return self.abstention or self._unfamiliar_reason(folded, seen, collapse_doubled(seen))

    def _unfamiliar_reason(self, folded: str, seen: list[str], single: list[str]) -> str:
        tongue = guess_language(folded, seen)
        if tongue not in self.languages:
            return f"too few training prompts are in the language of this prompt ({tongue})"
        vocabulary = self.vocabulary
        known, usual = sum([word in vocabulary for word in single]), self.min_known_share * len(seen)
        # For few words the share is noisy: one standard deviation below `usual` is still accepted.
        if known < usual - sqrt(usual * (1.0 - self.min_known_share)) or not known:
            return f"the predictor knows {known} of this prompt's {len(seen)} words: another domain"
        return ""

    def _tfidf(self, seen: list[str]) -> list[tuple[int, float]]:
        """TF-IDF of the known words and word pairs, as a vector of length 1."""
        place, rarity = self.vocabulary.get, self.idf
        times: dict[int, int] = {}
        for gram in ngrams(seen):
            at = place(gram)
            if at is not None:
                times[at] = times.get(at, 0) + 1
        found = [(at, rarity[at] if number == 1 else (1.0 + log(number)) * rarity[at]) for at, number in times.items()]
        length = sqrt(sum([value * value for _, value in found])) or 1.0
        return [(at, value / length) for at, value in found]


def _chance(head: ModelHead, shape: list[float], found: list[tuple[int, float]]) -> float:
    weights = head.word_weights
    odds = head.bias + sum([a * b for a, b in zip(head.surface_weights, shape, strict=True)])
    odds += sum([weights[at] * value for at, value in found])
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, odds))))


def is_complete(predictor: Predictor) -> bool:
    """Whether all lists have the lengths that their readers expect: a truncated file must not fail a request."""
    size, shape = len(predictor.vocabulary), len(SURFACE_FEATURES)
    return (
        sorted(predictor.vocabulary.values()) == list(range(size)) == list(range(len(predictor.idf)))
        and len(predictor.scale.mean) == len(predictor.scale.scale) == shape
        and all(predictor.scale.scale)
        and all(
            len(head.word_weights) == size and len(head.surface_weights) == shape for head in predictor.heads.values()
        )
    )


def encode_predictor(predictor: Predictor) -> bytes:
    """Deterministic: equal predictors give equal bytes."""
    return msgspec.json.encode(predictor, order="deterministic")


def decode_predictor(data: bytes) -> Predictor:
    """Raises BadRequest for data not written by `encode_predictor`."""
    try:
        predictor = msgspec.json.decode(data, type=Predictor)
    except msgspec.DecodeError as why:
        raise BadRequest(f"not a valid predictor: {why}", "train it again: sizewise route train") from why
    if predictor.format != FORMAT or not is_complete(predictor):
        raise BadRequest(
            f"the predictor has format {predictor.format!r}, or is incomplete",
            "train it again: sizewise route train",
        )
    return predictor
