"""The `models` and `catalog` fields: configured models, roles and the model catalog."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sizewise.graphql.catalog import all_catalog_models, find_catalog_model
from sizewise.graphql.context import RequestContext, yielding_to_loop
from sizewise.graphql.model_type import FieldValues, model_values

MAX_CATALOG_MODELS = 200
"""Rows charged for the whole catalog."""


async def models(context: RequestContext) -> list[FieldValues]:
    app = context.app
    return [model_values(card, app.connections.unavailable_reason(card)) for card in app.cards]


async def model(context: RequestContext, name: str) -> FieldValues:
    """Raises ModelNotFound, with the nearest name."""
    card = context.app.aliases.find_card(name)
    return model_values(card, context.app.connections.unavailable_reason(card))


async def model_aliases(context: RequestContext) -> list[str]:
    return context.app.aliases.role_names


async def catalog_model(context: RequestContext, name: str) -> FieldValues | None:
    """By any of its names, or by the name of a configured model."""
    app = context.app
    card = next((card for card in app.cards if name in (card.name, card.model)), None)
    names = [name, card.model] if card else [name]
    weights = card.weights.bytes if card and card.weights else 0
    return await asyncio.to_thread(find_catalog_model, names, app.settings.sizes.thresholds, weights)


async def catalog(context: RequestContext) -> AsyncIterator[FieldValues]:
    """Raises BadRequest if one request asks for it too often."""
    context.charge_rows(MAX_CATALOG_MODELS)
    return yielding_to_loop(await asyncio.to_thread(all_catalog_models, context.app.settings.sizes.thresholds))
