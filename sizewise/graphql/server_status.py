"""Fields of the server itself: health, and reloading the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sizewise import __version__
from sizewise.app.readiness import check_readiness
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.settings.listing import ListedKey, list_settings


async def health(context: RequestContext) -> Mapping[str, object]:
    ready, impaired = check_readiness(context.app)
    return {"ready": ready, "impaired": impaired, "version": __version__}


async def settings(context: RequestContext) -> FieldValues:
    """Raises ConfigError if the file cannot be read."""
    context.require_all_projects("manage_settings")
    its = context.app.settings
    tables = await asyncio.to_thread(list_settings, its.config_file)
    context.charge_rows(len(tables))
    return {
        "file": str(its.config_file or ""),
        "home": str(its.home),
        "cache": str(its.cache_dir),
        "tables": [
            {"header": each.header, "description": each.description, "keys": list(map(_key, each.keys))}
            for each in tables
        ],
    }


def _key(its: ListedKey) -> FieldValues:
    return {name: getattr(its, name) for name in its.__struct_fields__}


async def reload(context: RequestContext) -> Mapping[str, object]:
    """Raises ConfigError if the settings are invalid; the current application stays in use."""
    await context.reload()
    return {"models": [card.name for card in context.get_app().cards]}
