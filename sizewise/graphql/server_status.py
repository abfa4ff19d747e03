"""Fields of the server itself: health, and reloading the settings."""

from __future__ import annotations

from collections.abc import Mapping

from sizewise import __version__
from sizewise.app.readiness import check_readiness
from sizewise.graphql.context import RequestContext


async def health(context: RequestContext) -> Mapping[str, object]:
    ready, impaired = check_readiness(context.app)
    return {"ready": ready, "impaired": impaired, "version": __version__}


async def reload(context: RequestContext) -> Mapping[str, object]:
    """Raises ConfigError if the settings are invalid; the current application stays in use."""
    await context.reload()
    return {"models": [card.name for card in context.get_app().cards]}
