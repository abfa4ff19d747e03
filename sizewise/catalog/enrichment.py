"""Adds catalog facts to model cards; never overrides a fact that is already set.

The price depends on who sells the model, so it comes from prices.py by endpoint. All other facts are the model's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from types import MappingProxyType

from sizewise.catalog.current_catalog import PACKAGED, Catalog
from sizewise.catalog.model_info import ModelInfo
from sizewise.catalog.token_energy import PUE, energy_of, token_energy
from sizewise.data_class import THIS_MACHINE
from sizewise.energy import MICROJOULES_PER_WH
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
    told = (enrich_card(card, known[card.model]) if card.model in known else card for card in given)
    return tuple(_with_energy(card, known.get(card.model)) for card in told)


def _with_energy(card: ModelCard, info: ModelInfo | None) -> ModelCard:
    """At an endpoint, by the catalog's size of the model; another size is that of a dense model."""
    if card.place in THIS_MACHINE or card.task != "chat":
        return card
    token = None
    if info is not None and info.parameters is not None and info.parameters.value == card.parameters:
        token = energy_of(info)
    elif card.parameters is not None:
        token = token_energy(card.parameters)
    if token is None:
        return card
    return replace(card, energy_per_token=round(token.wh * Fraction(PUE) * MICROJOULES_PER_WH))


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
