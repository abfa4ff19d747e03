"""The `models` and `catalog` fields: configured models, roles and the model catalog."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sizewise.catalog.current_catalog import current_catalog
from sizewise.graphql.catalog import all_catalog_models, find_catalog_model
from sizewise.graphql.context import RequestContext, yielding_to_loop
from sizewise.graphql.model_type import FieldValues, model_values
from sizewise.model_card import ModelCard
from sizewise.routing.pace_figures import LoadPace

MAX_CATALOG_MODELS = 200
"""Rows charged for the whole catalog."""


async def models(context: RequestContext) -> list[FieldValues]:
    return [_model_values(context, card) for card in context.app.cards]


async def model(context: RequestContext, name: str) -> FieldValues:
    """Raises ModelNotFound, with the nearest name."""
    return _model_values(context, context.app.aliases.find_card(name))


def _model_values(context: RequestContext, card: ModelCard) -> FieldValues:
    connections = context.app.connections
    queue, told = connections.queue(card), None
    if queue is not None:
        wait_s = queue.predicted_wait_s(context.principal.key_id)
        told = {"busy": queue.in_use, "waiting": queue.waiting, "predictedWaitS": wait_s}
    measured = context.app.resources.model_paces[card.name].by_load()
    pace = [_pace_values(load, each) for load, each in sorted(measured.items())]
    return model_values(card, connections.unavailable_reason(card), told, pace)


def _pace_values(load: int, pace: LoadPace) -> FieldValues:
    return {
        "load": load,
        "requests": pace.attempts,
        "firstTokenS": pace.first.mean if pace.first.weight else None,
        "promptTokensPerS": pace.first.per_second,
        "outputTokensPerS": pace.output_per_second,
    }


async def model_aliases(context: RequestContext) -> list[str]:
    return context.app.aliases.role_names


async def catalog_model(context: RequestContext, name: str) -> FieldValues | None:
    """By any of its names, or by the name of a configured model."""
    app = context.app
    card = next((card for card in app.cards if name in (card.name, card.model)), None)
    names = [name, card.model] if card else [name]
    weights = card.weights.bytes if card and card.weights else 0
    sizes = app.settings.sizes.thresholds
    parse = app.resources.catalog_updates.parse
    return await asyncio.to_thread(
        lambda: find_catalog_model(current_catalog(app.settings, parse), names, sizes, weights)
    )


async def catalog(context: RequestContext) -> AsyncIterator[FieldValues]:
    """Raises BadRequest if one request asks for it too often."""
    context.charge_rows(MAX_CATALOG_MODELS)
    settings, parse = context.app.settings, context.app.resources.catalog_updates.parse
    sizes = settings.sizes.thresholds
    return yielding_to_loop(
        await asyncio.to_thread(lambda: all_catalog_models(current_catalog(settings, parse), sizes))
    )
