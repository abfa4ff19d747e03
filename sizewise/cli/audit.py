"""`sizewise audit`: the trail shown, exported and proved; what holds is worked out here and not asked of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from sizewise.audit_log.hash_chain import Broken, Deed, Line, against, broken, holding
from sizewise.cli.lazy_group import Verb, Verbs
from sizewise.cli.options import served, server, wants_json
from sizewise.cli.output import when, write_file, write_json, write_table
from sizewise.errors import BadRequest, Outside

VERBS: Mapping[str, Verb] = {
    "list": Verb("sizewise.cli.audit:lines", "Who did what, newest first."),
    "export": Verb("sizewise.cli.audit:export", "The whole trail, one line of JSON each."),
    "verify": Verb("sizewise.cli.audit:verify", "Whether the trail holds, or an export of it."),
}
_FIELDS = "seq at actor action resource before after error credential previous hash"
LAST = f"query ($last: Int!) {{ me {{ tenant }} audit(last: $last) {{ {_FIELDS} }} }}"
AFTER = f"query ($after: Int!) {{ me {{ tenant }} audit(last: 1000, after: $after) {{ {_FIELDS} }} }}"


class Told(Struct):
    """A line as the server tells it. `at`: unix ms."""

    seq: int
    at: int
    actor: str
    action: str
    resource: str
    before: dict[str, object] | None
    after: dict[str, object] | None
    error: str
    credential: str
    previous: str
    hash: str


class Me(Struct):
    tenant: str


class Trail(Struct):
    me: Me
    audit: list[Told]


@click.group(cls=Verbs, verbs=VERBS, invoke_without_command=True)
@served
@click.pass_context
def audit(ctx: click.Context) -> None:
    """The audit trail: list, export, verify.

    Alone it lists the newest lines.

    \b
    Example: sizewise audit
    """
    if ctx.invoked_subcommand is None:
        _list(20)


@click.command(name="list")
@click.option("--last", type=click.IntRange(1, 1_000), default=20, help="Lines, at most 1,000. [20]")
@served
def lines(last: int) -> None:
    """Who did what, newest first.

    \b
    Example: sizewise audit list --last 50
    """
    _list(last)


def _list(last: int) -> None:
    told = asyncio.run(server().graphql(LAST, Trail, last=last)).audit
    if wants_json():
        write_json(msgspec.to_builtins({"audit": told}))
        return
    write_table(
        ("NO", "AT", "WHO", "ACTION", "THING", "CAME OF IT"),
        [(str(t.seq), when(t.at), t.actor, t.action, t.resource, t.error or "done") for t in told],
        right="NO",
    )


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file; else stdout.")
@served
def export(output: Path | None) -> None:
    """The whole trail, one line of JSON each.

    Keep it elsewhere: `sizewise audit verify --against FILE` shows later whether the trail was written anew.

    \b
    Example: sizewise audit export -o audit.jsonl
    """
    text = b"".join(msgspec.json.encode(line) + b"\n" for line in _trail())
    if output is None:
        click.echo(text.decode(), nl=False)
    else:
        write_file(output, text)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option(
    "--against",
    "older",
    type=click.Path(path_type=Path, dir_okay=False),
    help="An export from before: it must begin so.",
)
@click.option("--hash", "known", metavar="HASH", help="The newest hash as it was once: a line must have it.")
@served
def verify(file: Path | None, older: Path | None, known: str | None) -> int:
    """Whether the trail holds, or an export of it.

    Exit code 1 when it does not; the first line that breaks it is named. A
    running server's trail is never empty.

    \b
    Example: sizewise audit verify --against audit.jsonl
    """
    now = _read(file) if file else _trail()
    found = broken(now)
    if found is None and older is not None:
        before = _read(older)
        found = broken(before) or against(now, before)
    if found is None and known is not None:
        found = holding(now, known.strip().lower())
    if found is None and not now and file is None:
        found = Broken(0, "the trail is empty, and a server that serves has written to it")
    if wants_json():
        shown = None if found is None else {"line": found.seq, "why": found.why}
        write_json({"holds": found is None, "lines": len(now), "hash": now[-1].hash if now else None, "broken": shown})
    elif found is None:
        click.echo(
            f"{len(now):,} lines, and each follows from the one before"
            + (f"; the last is {now[-1].hash}" if now else "")
        )
    else:
        click.echo(f"broken at line {found.seq}: {found.why}")
    return 0 if found is None else 1


def _trail() -> list[Line]:
    """The whole trail of the running server."""
    return list(asyncio.run(_asked()))


async def _asked() -> list[Line]:
    here, found = server(), list[Line]()
    while True:
        told = await here.graphql(AFTER, Trail, after=found[-1].seq if found else 0)
        found += [
            Line(
                t.seq,
                t.at,
                Deed(told.me.tenant, t.actor, t.action, t.resource, t.before, t.after, t.error, t.credential),
                t.previous,
                t.hash,
            )
            for t in told.audit
        ]
        if len(told.audit) < 1_000:
            return found


def _read(file: Path) -> list[Line]:
    """Raises BadRequest for what is no export."""
    return list(_lines(file))


def _lines(file: Path) -> Iterator[Line]:
    try:
        with file.open("rb") as opened:
            for number, text in enumerate(opened, 1):
                try:
                    yield msgspec.json.decode(text, type=Line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    hint = "sizewise audit export makes one"
                    raise BadRequest(f"{str(file)!r} is no export: line {number} cannot be read", hint) from error
    except OSError as error:
        raise Outside(f"cannot read {str(file)!r}: {error.strerror}", "check its path") from error
