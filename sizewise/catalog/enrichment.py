"""Adds catalog facts to model cards; never overrides a fact that is already set.

The price depends on who sells the model, so it comes from prices.py by endpoint. All other facts are the model's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType

from sizewise.catalog.current_catalog import PACKAGED, Catalog
from sizewise.catalog.model_info import ModelInfo
from sizewise.model_card import ModelCard

CARD_FACTS = (
    "parameters",
    "context",
    "max_output",
    "input_modalities",
    "tools",
    "languages",
    "license",
    "knowledge_cutoff",
)
"""Fields of a card that are also facts in model_info.py."""


def enrich_cards(cards: Iterable[ModelCard], catalog: Catalog = PACKAGED) -> tuple[ModelCard, ...]:
    """The cards, with facts added to those of known models. For a local file only its own header counts."""
    given = tuple(cards)
    known = catalog.find_models({card.model for card in given if card.weights is None})
    return tuple(enrich_card(card, known[card.model]) if card.model in known else card for card in given)


def enrich_card(card: ModelCard, info: ModelInfo) -> ModelCard:
    told = {name: fact for name in CARD_FACTS if _is_unset(card, name) and (fact := getattr(info, name)) is not None}
    return replace(
        card,
        **{name: fact.value for name, fact in told.items()},
        task=card.task if "task" in card.facts else info.task,
        title=card.title or info.title,
        release_date=card.release_date or (info.release_date.value if info.release_date else ""),
        facts=MappingProxyType({**card.facts, **{name: str(fact) for name, fact in told.items()}}),
    )


def _is_unset(card: ModelCard, name: str) -> bool:
    """Whether the fact is not set yet."""
    return name not in card.facts and getattr(card, name) in (None, frozenset(), "", "unknown")
