"""Cards with what the catalogue knows of their models added; what a card already says stays, no price is guessed.

Who sells a model sets its price, so that comes from prices.py by the endpoint. All else here is the model's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType

from sizewise.catalog.model_files import meant
from sizewise.catalog.model_info import Known
from sizewise.model_card import Card

FACTS = ("parameters", "context", "max_output", "sees", "tools", "licence")
"""Fields of a card that are facts of known.py too."""


def filled(cards: Iterable[Card]) -> tuple[Card, ...]:
    """The same cards, those of known models with more on them. A model file is known by its own header alone."""
    given = tuple(cards)
    known = meant({card.model for card in given if card.weights is None})
    return tuple(full(card, known[card.model]) if card.model in known else card for card in given)


def full(card: Card, known: Known) -> Card:
    told = {name: fact for name in FACTS if _open(card, name) and (fact := getattr(known, name)) is not None}
    return replace(
        card,
        **{name: fact.value for name, fact in told.items()},
        task=card.task if "task" in card.facts else known.task,
        facts=MappingProxyType({**card.facts, **{name: str(fact) for name, fact in told.items()}}),
    )


def _open(card: Card, name: str) -> bool:
    """Whether nobody has said it yet."""
    return name not in card.facts and getattr(card, name) in (None, frozenset(), "unknown")
