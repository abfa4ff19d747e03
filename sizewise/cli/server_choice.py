"""Which home commands work on where none is named: that of the user's running server; calls no server."""

from __future__ import annotations

import shlex
from pathlib import Path

from sizewise.errors import BadRequest, ExternalFailure, SizewiseError
from sizewise.settings.load import home_folder, named_home, named_server, server_root
from sizewise.storage.running_servers import RunningServer, running_servers

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
    if str(home_folder()) in (each.home for each in running):
        return None
    return Path(running[0].home) if len(running) == 1 else None


def server_at(url: str) -> RunningServer | None:
    """The running server of this user at the URL."""
    return next((each for each in running_servers() if each.url == url), None)


def not_running(home: Path) -> SizewiseError:
    """That no server runs with this home, and those that run with others."""
    others = running_servers()
    if not others:
        return ExternalFailure(f"no Sizewise is running in {str(home)!r}", "start it: sizewise up")
    listed = [f"{each.url} in {each.home!r}" for each in others[:MAX_LISTED]]
    if len(others) > MAX_LISTED:
        listed.append(f"{len(others) - MAX_LISTED} more")
    example = f"--home {shlex.quote(others[0].home)}"
    if home == home_folder() and not named_home() and len(others) > 1:
        return BadRequest(
            f"{len(others)} servers of yours are running, and none is chosen: {', '.join(listed)}",
            f"choose one by its home: {example}; or for all commands of this terminal: export SIZEWISE_HOME=...",
        )
    return ExternalFailure(
        f"no Sizewise is running in {str(home)!r}, but there is {', '.join(listed)}",
        f"start it: sizewise up; or choose the other: {example}",
    )
