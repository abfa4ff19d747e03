"""Reloads the running server of this home, if there is one, after the catalog has changed."""

from __future__ import annotations

from sizewise.cli import operations
from sizewise.cli.api_client import running_server
from sizewise.settings.load import Settings


async def reload_running_server(settings: Settings) -> bool:
    """False if no server is running. Raises ConfigError if the server cannot apply the current settings."""
    server = running_server(settings)
    if server is None:
        return False
    await operations.reload(server)
    return True
