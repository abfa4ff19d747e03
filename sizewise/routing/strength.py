"""Presumed strength of a model, by its parameters, quality or price; used only to order cards."""

from __future__ import annotations

import math

from sizewise.model_card import EFFORTS, ModelCard

EFFORT_STEP = 0.001
"""Of the logarithm, for each step of effort: it orders the efforts of one model, and no two models."""


def strength(card: ModelCard) -> float:
    """Presumed ability of a model as the logarithm of a parameter count; used only to order cards.

    Its parameters if known; else its declared quality prior, 0..1 mapped to 0.1 to 1,000 billion; else its price, a
    dollar per million output tokens counting as 30 billion; else 10 billion, or 1 billion on this machine. A little
    more with more effort.
    """
    return _of_model(card) + (0.0 if card.effort is None else EFFORT_STEP * EFFORTS.index(card.effort))


def _of_model(card: ModelCard) -> float:
    if card.parameters:
        return math.log10(card.parameters)
    if card.quality is not None:
        return 8 + 4 * card.quality
    if card.price.output:
        return math.log10(30_000 * card.price.output)  # micro-dollars: 1_000_000 is a dollar
    return 9.0 if card.place in ("process", "machine") else 10.0
