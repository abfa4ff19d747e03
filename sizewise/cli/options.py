"""Options that verbs share, each with one spelling and one help text, before or behind a verb's own verb.

Their values wait in click's context, where `settings`, `server` and `wants_json` find them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from sizewise.cli.api_client import Server, find, running
from sizewise.settings.load import Settings, load

F = TypeVar("F", bound=Callable[..., object])

_META = "sizewise.cli."


def _noted(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """The innermost place wins; what was not said there does not undo what was said before."""
    if value and param.name:
        ctx.meta[_META + param.name] = value


def _said(name: str) -> object:
    return click.get_current_context().meta.get(_META + name)


as_json = click.option(
    "--json",
    "as_json",
    is_flag=True,
    expose_value=False,
    callback=_noted,
    help="Print JSON for scripts, and nothing else.",
)
_home = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    expose_value=False,
    callback=_noted,
    help="The folder of everything that is kept.",
)
_config = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    expose_value=False,
    callback=_noted,
    help="The settings, a sizewise.toml.",
)
_elsewhere = click.option(
    "--url",
    metavar="URL",
    expose_value=False,
    callback=_noted,
    help="Ask another server (or SIZEWISE_URL); its key is SIZEWISE_KEY.",
)


def placed(verb: F) -> F:
    """For verbs that work on this machine: --home, --config, --json."""
    return _home(_config(as_json(verb)))


def served(verb: F) -> F:
    """For verbs that ask a running server: --url, --home, --config, --json."""
    return _elsewhere(placed(verb))


def wants_json() -> bool:
    return bool(_said("as_json"))


def settings() -> Settings:
    """Raises ConfigError."""
    config, home = _said("config"), _said("home")
    found = load(config if isinstance(config, Path) else None, home if isinstance(home, Path) else None)
    if not found.color:
        click.get_current_context().color = False
    return found


def server() -> Server:
    """Raises Outside when none is running."""
    found = settings()
    return find(found, _url(found))


def server_or_none() -> Server | None:
    """Raises Outside only where one was named by its URL and the key for it is missing."""
    found = settings()
    url = _url(found)
    return find(found, url) if url else running(found)


def _url(found: Settings) -> str:
    return str(_said("url") or found.url)
