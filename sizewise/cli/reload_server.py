"""Reloads the running server of this home, if there is one, after the catalog has changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from sizewise.cli import operations
from sizewise.cli.api_client import running_server
from sizewise.cli.server_choice import servers_to_choose_from
from sizewise.errors import SizewiseError
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


async def reloaded_servers(settings: Settings) -> list[ReloadedServer]:
    """That of the home; where several run and none is chosen, all of them, each with the token of its own home. For
    changes of the cache folder, which all share. Raises ConfigError as `reloaded_server`, when all were told.
    """
    homes = [Path(each.home) for each in servers_to_choose_from(settings.home)] or [settings.home]
    found, failures = list[ReloadedServer](), list[SizewiseError]()
    for home in homes:
        try:
            server = await reloaded_server(replace(settings, home=home))
        except SizewiseError as error:
            failures.append(error)
        else:
            found += [server] if server is not None else []
    if failures:
        raise failures[0]
    return found
