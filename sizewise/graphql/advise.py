"""The `advise` field: a small or a large model for a workload, from the catalog; asks no model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date

from sizewise.advisor.assumptions import parse_assumptions
from sizewise.advisor.criteria import parse_weights
from sizewise.advisor.recommendation import recommend
from sizewise.advisor.workload import parse_workload
from sizewise.app.advice_json import advice_json, catalog_offers
from sizewise.app.application import Application
from sizewise.app.measured_assumptions import measured_assumptions
from sizewise.catalog.current_catalog import current_catalog
from sizewise.catalog.memory_check import available_memory
from sizewise.errors import BadRequest
from sizewise.flows.language.types import Json
from sizewise.graphql.context import RequestContext


async def advise(context: RequestContext, input: Json = None, weights: Json = None) -> dict[str, object]:
    """Raises BadRequest."""
    given = {name.replace("_", "-"): text for name, text in _texts(input, "input").items()}
    weighed = tuple(f"{name}={number}" for name, number in _texts(weights, "weights").items())
    return await asyncio.to_thread(_advise, context.app, given, weighed)


def _advise(app: Application, given: Mapping[str, str], weights: tuple[str, ...]) -> dict[str, object]:
    settings, resources = app.settings, app.resources
    work = parse_workload(given, today=date.today().isoformat(), free_memory=available_memory())
    assumptions = parse_assumptions(())
    if work.memory_is_free:
        assumptions = measured_assumptions(assumptions, settings, measure=resources.machine_speed.measure)
    catalog = current_catalog(settings, resources.catalog_updates.parse)
    offers = catalog_offers(catalog, catalog.load_models(), settings.sizes.thresholds)
    return advice_json(recommend(work, offers, assumptions, parse_weights(weights), ()))


def _texts(said: Json, name: str) -> dict[str, str]:
    if not isinstance(said, Mapping | None):
        raise BadRequest(f"`{name}` is not an object", 'pass names with values, as {"task": "classify"}', param=name)
    return {key: str(value) for key, value in (said or {}).items() if value is not None and value != ""}
