"""The server about itself: can it answer, and reading its settings anew; builds nothing, the house does that."""

from __future__ import annotations

from collections.abc import Mapping

from sizewise import __version__
from sizewise.graphql.context import Context


async def health(context: Context) -> Mapping[str, object]:
    ready, impaired = context.house.ready()
    return {"ready": ready, "impaired": impaired, "version": __version__}


async def reload(context: Context) -> Mapping[str, object]:
    """Raises ConfigError when the settings are wrong: the house that stands goes on."""
    await context.reload()
    return {"models": [card.name for card in context.live().cards]}
