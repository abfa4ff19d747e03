"""The models that can be named, from the house of the moment; chooses none."""

from __future__ import annotations

from sizewise.graphql.context import Context
from sizewise.graphql.told import Told, model


async def models(context: Context) -> list[Told]:
    context.may("ask", "read")
    house = context.house
    return [model(card, house.connections.health(card)) for card in house.cards]


async def one(context: Context, name: str) -> Told:
    """Raises UnknownModel, with the nearest name."""
    context.may("ask", "read")
    card = context.house.card(name)
    return model(card, context.house.connections.health(card))


async def roles(context: Context) -> list[str]:
    context.may("ask", "read")
    models = {card.name for card in context.house.cards}
    return [name for name in context.house.names.listed if name not in models]
