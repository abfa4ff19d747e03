"""Reloads the running server of this home, if there is one, after the catalog has changed."""

from __future__ import annotations

from dataclasses import dataclass

from sizewise.cli import operations
from sizewise.cli.api_client import running_server
from sizewise.settings.load import Settings


@dataclass(frozen=True, slots=True)
class ReloadedServer:
    """A server that has reloaded, and the models that it serves now."""

    url: str
    models: tuple[str, ...]


async def reload_running_server(settings: Settings) -> bool:
    """False if no server is running. Raises ConfigError if the server cannot apply the current settings."""
    return await reloaded_server(settings) is not None


async def reloaded_server(settings: Settings) -> ReloadedServer | None:
    """None if no server is running. Raises ConfigError if the server cannot apply the current settings."""
    server = running_server(settings)
    return None if server is None else ReloadedServer(server.url, tuple((await operations.reload(server)).models))
