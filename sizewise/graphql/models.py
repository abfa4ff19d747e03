"""The models that can be named, from the house of the moment, and those of the catalogue; chooses none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sizewise.graphql.catalog import every, one_of
from sizewise.graphql.context import Context, unhurried
from sizewise.graphql.model_type import Told, model

CATALOGUE = 200
"""Rows that the whole catalogue counts as."""


async def models(context: Context) -> list[Told]:
    house = context.house
    return [model(card, house.connections.health(card)) for card in house.cards]


async def one(context: Context, name: str) -> Told:
    """Raises UnknownModel, with the nearest name."""
    card = context.house.card(name)
    return model(card, context.house.connections.health(card))


async def model_aliases(context: Context) -> list[str]:
    models = {card.name for card in context.house.cards}
    return [name for name in context.house.names.listed if name not in models]


async def catalog_model(context: Context, name: str) -> Told | None:
    """By any of its names, or by that of a model configured here."""
    house = context.house
    card = next((card for card in house.cards if name in (card.name, card.model)), None)
    names = [name, card.model] if card else [name]
    weights = card.weights.bytes if card and card.weights else 0
    return await asyncio.to_thread(one_of, names, house.settings.sizes.bounds, weights)


async def catalog(context: Context) -> AsyncIterator[Told]:
    """Raises BadRequest where one request asks for it too often."""
    context.take(CATALOGUE)
    return unhurried(await asyncio.to_thread(every, context.house.settings.sizes.bounds))
