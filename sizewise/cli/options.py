"""Options shared by commands, each with one spelling and one help text.

Their values are stored in click's context, where `command_settings`, `api_client` and `wants_json` read them. The
settings and the client are imported when they are used, so that `ask` shows its first line before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from sizewise.errors import BadRequest

if TYPE_CHECKING:
    from sizewise.cli.api_client import ApiClient
    from sizewise.settings.load import Settings

F = TypeVar("F", bound=Callable[..., object])

_META = "sizewise.cli."


def _remember(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """The innermost value wins; an option that is not given does not reset an outer one."""
    if value and param.name:
        ctx.meta[_META + param.name] = value


def _option(name: str) -> object:
    return click.get_current_context().meta.get(_META + name)


as_json = click.option(
    "--json",
    "as_json",
    is_flag=True,
    expose_value=False,
    callback=_remember,
    help="Print only JSON, for scripts.",
)
home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    expose_value=False,
    callback=_remember,
    help="Folder of durable data.",
)
_config = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    expose_value=False,
    callback=_remember,
    help="Settings file, a sizewise.toml.",
)

_elsewhere = click.option(
    "--url",
    metavar="URL",
    expose_value=False,
    callback=_remember,
    help="URL of another server (or SIZEWISE_URL); the API key is SIZEWISE_KEY.",
)


def local_options(verb: F) -> F:
    """For commands on this machine: --home, --config, --json."""
    return home_option(_config(as_json(verb)))


def server_options(verb: F) -> F:
    """For commands that call a server: --url, --home, --config, --json."""
    return _elsewhere(local_options(verb))


def wants_json() -> bool:
    return bool(_option("as_json"))


def wants_color() -> bool:
    """False until `command_settings` has read the settings and NO_COLOR, and after it if they rule colors out."""
    return bool(_option("color"))


def refuse_options(why: str, *names: str) -> None:
    """Of the command's parameters, by name: raises BadRequest for those that were given, which would have no effect.
    `why`: such as "with --dry-run".
    """
    context = click.get_current_context()
    given = [
        max(each.opts, key=len) if isinstance(each, click.Option) else each.make_metavar(context)
        for each in context.command.params
        if each.name in names and _is_given(context, each)
    ]
    if given:
        hint = "leave it out" if len(given) == 1 else "leave them out"
        raise BadRequest(f"{', '.join(given)} cannot be used {why}", hint)


def _is_given(context: click.Context | None, parameter: click.Parameter) -> bool:
    """Also before the verb, where its value is stored for the verb."""
    while context is not None and parameter.name:
        if context.get_parameter_source(parameter.name) is click.core.ParameterSource.COMMANDLINE:
            return True
        context = None if parameter.expose_value else context.parent
    return False


def command_settings(*, starts_server: bool = False) -> Settings:
    """Of the home that --home or SIZEWISE_HOME names, else of that of the running server, else of the default one.
    `starts_server`: never that of another server. Raises ConfigError.
    """
    from sizewise.settings.load import load_settings

    config, home = _option("config"), _option("home")
    if home is None and not starts_server:
        from sizewise.cli.server_choice import home_of_running_server

        parameters = click.get_current_context().command.params
        takes_url = any(each.name == "url" and not each.expose_value for each in parameters)
        home = home_of_running_server(str(_option("url") or ""), takes_url=takes_url)
    found = load_settings(config if isinstance(config, Path) else None, home if isinstance(home, Path) else None)
    context = click.get_current_context()
    context.meta[_META + "color"] = found.color
    if not found.color:
        context.color = False
    return found


def command_home() -> Path:
    """The home, also if its settings file is invalid."""
    from sizewise.settings.load import home_folder

    home = _option("home")
    return home_folder(home if isinstance(home, Path) else None)


def api_client() -> ApiClient:
    """Raises ExternalFailure if no server is running."""
    from sizewise.cli.api_client import find_server

    found = command_settings()
    return find_server(found, _url(found))


def api_client_or_none() -> ApiClient | None:
    """None if no server runs. Raises BadRequest if several do and none is chosen, or for a server given by its URL
    whose key is missing.
    """
    from sizewise.cli.api_client import find_server, running_server
    from sizewise.cli.server_choice import not_chosen, servers_to_choose_from

    found = command_settings()
    url = _url(found)
    if url:
        return find_server(found, url)
    if several := servers_to_choose_from(found.home):
        raise not_chosen(several)
    return running_server(found)


def _url(found: Settings) -> str:
    return str(_option("url") or found.server_url)
