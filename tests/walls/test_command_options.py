"""Every option of every command acts or is refused by name: no path of a command ends well without reading it."""

from __future__ import annotations

from collections.abc import Mapping

import click
import pytest

from sizewise.cli.main import sizewise
from sizewise.cli.options import as_json, refuse_options, server_options, wants_json
from sizewise.cli.output import write_json
from tests.option_reads import certain_reads, commands, functions_of, module_of, never_read, unread

AGREE = frozenset({"yes", "force", "replace", "anyway"})
"""Options that only agree to what would be asked or refused otherwise: where nothing is, they have nothing to do."""
PLACES = frozenset({"home", "config"})
"""Where the settings are: a path that needs no setting reads neither. Some path does."""
EXCEPTIONS: Mapping[tuple[str, str], str] = {
    ("advise", "reasons"): "--json has every number with its source and every assumption",
    ("audit export", "as_json"): "the log itself is lines of JSON; with --output the summary is JSON",
    ("audit verify", "known"): "what is broken is told before a hash is looked for",
    ("audit verify", "older"): "what is broken is told before an older export is compared",
    ("edge deploy", "url"): "without `origin` and `keys` it says that no keys were written, and why",
    ("eval ci", "every"): "there is no eval at all",
    ("eval compare", "margin"): "there is no score to be judged",
    ("eval run", "url"): "a dry run takes all options of the run that it shows, and asks no server",
    ("flow run", "steps"): "the last chunk of the stream has the steps; a stream that broke ends with an error",
    ("flow schema", "as_json"): "what it prints is JSON",
    ("import litellm", "everything"): "--json reports every line",
    ("models update", "older"): "it only agrees to a list that would be refused, and is refused with --remove",
    ("release build", "url"): "a dry run takes all options of the build that it shows, and asks no server",
    ("release diff", "url"): "refused if both are the folder; else NamedRelease asks the server",
    ("release show", "url"): "refused for the folder; else NamedRelease asks the server",
    ("route calibrate", "writes"): "nothing is certified, so there is nothing to write, and the exit code is 1",
    ("tune distill", "base"): "read by a new run, refused while one goes on",
    ("tune distill", "preset"): "read by a new run, refused while one goes on",
    ("up", "pull"): "it says what hinders a download; where there is a model it downloads none, as its help says",
}
"""Paths that read no value of an option and drop nothing, each with the reason."""
ALL = {path.removeprefix("sizewise "): command for path, command in commands(sizewise) if path != "sizewise"}
RUN = {
    path: command
    for path, command in ALL.items()
    if not isinstance(command, click.Group) or command.invoke_without_command
}
"""Those that do something themselves."""


def dropped(command: click.Command) -> list[str]:
    never = {each.name for each in never_read(command)}
    return [each.name or "" for each in unread(command) if each.name in never or each.name not in AGREE | PLACES]


@pytest.mark.parametrize("path", RUN)
def test_every_option_acts_or_is_refused(path: str) -> None:
    silent = [name for name in dropped(RUN[path]) if (path, name) not in EXCEPTIONS]
    assert silent == [], "read it on every path, or refuse it there by name: refuse_options in sizewise/cli/options.py"


def test_the_exceptions_are_few_and_of_options_that_exist() -> None:
    known = {(path, each.name) for path, command in RUN.items() for each in command.params}
    assert set(EXCEPTIONS) <= known
    assert len(EXCEPTIONS) <= 21


def test_every_command_is_walked_with_all_its_options() -> None:
    assert len(RUN) > 170 and sum(len(command.params) for command in RUN.values()) > 1_000
    assert [path for path, command in RUN.items() if not functions_of(command)] == []


# ---- the walk sees what is dropped


@click.command()
@click.argument("name")
@click.option("--limit", type=int)
@click.option("--dry-run", is_flag=True)
@as_json
def drops_when_dry(name: str, limit: int | None, dry_run: bool) -> None:
    if dry_run:
        write_json({"name": name})
        return
    if wants_json():
        write_json({"name": name, "limit": limit})
    else:
        click.echo(f"{name} {limit}")


@click.command()
@click.argument("name")
@click.option("--limit", type=int)
@click.option("--dry-run", is_flag=True)
@as_json
def refuses_when_dry(name: str, limit: int | None, dry_run: bool) -> None:
    if dry_run:
        refuse_options("with --dry-run", "limit", "as_json")
        click.echo(name)
        return
    _inner(name, limit)


def _inner(name: str, limit: int | None) -> None:
    shown = {"name": name, "limit": limit}
    if wants_json():
        write_json(shown)
    else:
        click.echo(str(shown))


@click.command()
@click.option("--tag")
@click.option("--all", "everything", is_flag=True)
@server_options
def drops_deeper(tag: str | None, everything: bool) -> None:
    given = {"tag": tag}
    _list(given, everything)


def _list(given: dict[str, str | None], everything: bool) -> None:
    if everything:
        click.echo("all")
    else:
        click.echo(str(given))


@click.command()
@click.option("--first")
@click.option("--second")
@click.option("--third")
def short_circuits(first: str | None, second: str | None, third: str | None) -> None:
    if first and second:
        raise click.UsageError("not both")
    click.echo(first or third)


def test_a_dropped_option_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.option_reads.ROOMS", ("sizewise.cli", __name__))
    certain_reads.cache_clear()
    assert functions_of(drops_when_dry) and module_of(functions_of(drops_when_dry)[0])
    assert dropped(drops_when_dry) == ["limit", "as_json"]
    assert dropped(refuses_when_dry) == []
    assert dropped(drops_deeper) == ["tag", "url", "home", "config", "as_json"]
    assert dropped(short_circuits) == ["second", "third"]
