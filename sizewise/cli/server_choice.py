"""Which home commands work on where none is named: that of the user's running server; calls no server."""

from __future__ import annotations

import shlex
from pathlib import Path

from sizewise.errors import BadRequest, ExternalFailure, SizewiseError
from sizewise.settings.load import home_folder, named_home, named_server, server_root
from sizewise.storage.running_servers import RunningServer, is_server_running, running_servers

MAX_LISTED = 5


def home_of_running_server(url: str, *, takes_url: bool) -> Path | None:
    """The home of the server that runs, where neither --home nor SIZEWISE_HOME names one; None: the default home.

    `url`: of --url. `takes_url`: whether the command has that option: a command that has not works on this machine
    alone, so that SIZEWISE_URL chooses among the servers of this machine for it.
    """
    if named_home():
        return None
    named = server_root(url) or named_server()
    if named:
        other = None if takes_url else server_at(named)
        return None if other is None else Path(other.home)
    running = running_servers()
    return None if len(running) != 1 or is_server_running(home_folder()) else Path(running[0].home)


def server_at(url: str) -> RunningServer | None:
    """The running server of this user at the URL."""
    return next((each for each in running_servers() if each.url == url), None)


def servers_to_choose_from(home: Path) -> list[RunningServer]:
    """If none runs with the home, which nothing names, and several do with others: these."""
    others = running_servers()
    is_named = named_home() or home != home_folder()
    return [] if is_named or len(others) < 2 or is_server_running(home) else others


def not_chosen(servers: list[RunningServer]) -> BadRequest:
    """Of `servers_to_choose_from`."""
    return BadRequest(
        f"{len(servers)} servers of yours are running, and none is chosen: {list_servers(servers)}",
        f"choose one, such as --home {shlex.quote(servers[0].home)} (or --url); or for all commands of this terminal:"
        " export SIZEWISE_HOME=...",
    )


def not_running(home: Path) -> SizewiseError:
    """That no server runs with this home, and those that run with others."""
    if several := servers_to_choose_from(home):
        return not_chosen(several)
    others = running_servers()
    if not others:
        return ExternalFailure(f"no Sizewise is running in {str(home)!r}", "start it: sizewise up")
    return ExternalFailure(
        f"no Sizewise is running in {str(home)!r}, but there is {list_servers(others)}",
        f"start it: sizewise up; or choose the other: --home {shlex.quote(others[0].home)}",
    )


def list_servers(servers: list[RunningServer]) -> str:
    listed = [f"{each.url} in {each.home!r}" for each in servers[:MAX_LISTED]]
    if len(servers) > MAX_LISTED:
        listed.append(f"{len(servers) - MAX_LISTED} more")
    return ", ".join(listed)
