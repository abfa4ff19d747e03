"""Tells the running server of this home, if there is one, that the catalogue has changed."""

from __future__ import annotations

from msgspec import Struct

from sizewise.cli.api_client import running
from sizewise.settings.load import Settings


class _Reloaded(Struct):
    models: list[str]


class _Told(Struct):
    reload: _Reloaded


async def noticed(settings: Settings) -> bool:
    """False when no server is running. Raises ConfigError when it cannot take the settings as they are now."""
    server = running(settings)
    if server is None:
        return False
    await server.graphql("mutation { reload { models } }", _Told)
    return True
