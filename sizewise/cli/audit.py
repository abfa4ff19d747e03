"""`sizewise audit`: lists, exports and verifies the audit log; verification does not trust the server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from sizewise.audit_log.hash_chain import AuditEntry, AuditEvent, ChainBreak, verify_chain, verify_export, verify_hash
from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import format_time, write_file, write_json, write_table
from sizewise.errors import BadRequest, ExternalFailure

COMMANDS: Mapping[str, LazyCommand] = {
    "list": LazyCommand("sizewise.cli.audit:lines", "Who did what, newest first."),
    "export": LazyCommand("sizewise.cli.audit:export", "The whole trail, one line of JSON each."),
    "verify": LazyCommand("sizewise.cli.audit:verify", "Whether the trail holds, or an export of it."),
}
_FIELDS = "seq at actor action resource before after error credential previous hash"
LAST = f"query ($last: Int!) {{ me {{ tenant }} audit(last: $last) {{ {_FIELDS} }} }}"
AFTER = f"query ($after: Int!) {{ me {{ tenant }} audit(last: 1000, after: $after) {{ {_FIELDS} }} }}"


class AuditLogEntry(Struct):
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


class AuditResponse(Struct):
    me: Me
    audit: list[AuditLogEntry]


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@server_options
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
@server_options
def lines(last: int) -> None:
    """Who did what, newest first.

    \b
    Example: sizewise audit list --last 50
    """
    _list(last)


def _list(last: int) -> None:
    told = asyncio.run(api_client().graphql(LAST, AuditResponse, last=last)).audit
    if wants_json():
        write_json(msgspec.to_builtins({"audit": told}))
        return
    write_table(
        ("NO", "AT", "WHO", "ACTION", "THING", "CAME OF IT"),
        [(str(t.seq), format_time(t.at), t.actor, t.action, t.resource, t.error or "done") for t in told],
        right="NO",
    )


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file; else stdout.")
@server_options
def export(output: Path | None) -> None:
    """The whole trail, one line of JSON each.

    Keep it elsewhere: `sizewise audit verify --verify_export FILE` shows later whether the trail was written anew.

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
@server_options
def verify(file: Path | None, older: Path | None, known: str | None) -> int:
    """Whether the trail holds, or an export of it.

    Exit code 1 when it does not; the first line that breaks it is named. A
    running server's trail is never empty.

    \b
    Example: sizewise audit verify --against audit.jsonl
    """
    now = _read(file) if file else _trail()
    found = verify_chain(now)
    if found is None and older is not None:
        before = _read(older)
        found = verify_chain(before) or verify_export(now, before)
    if found is None and known is not None:
        found = verify_hash(now, known.strip().lower())
    if found is None and not now and file is None:
        found = ChainBreak(0, "the trail is empty, and a server that serves has written to it")
    if wants_json():
        shown = None if found is None else {"line": found.seq, "why": found.reason}
        write_json({"holds": found is None, "lines": len(now), "hash": now[-1].hash if now else None, "broken": shown})
    elif found is None:
        click.echo(
            f"{len(now):,} lines, and each follows from the one before"
            + (f"; the last is {now[-1].hash}" if now else ""),
        )
    else:
        click.echo(f"broken at line {found.seq}: {found.reason}")
    return 0 if found is None else 1


def _trail() -> list[AuditEntry]:
    """The whole trail of the running server."""
    return list(asyncio.run(_fetch_trail()))


async def _fetch_trail() -> list[AuditEntry]:
    here, found = api_client(), list[AuditEntry]()
    while True:
        told = await here.graphql(AFTER, AuditResponse, after=found[-1].seq if found else 0)
        found += [
            AuditEntry(
                t.seq,
                t.at,
                AuditEvent(told.me.tenant, t.actor, t.action, t.resource, t.before, t.after, t.error, t.credential),
                t.previous,
                t.hash,
            )
            for t in told.audit
        ]
        if len(told.audit) < 1_000:
            return found


def _read(file: Path) -> list[AuditEntry]:
    """Raises BadRequest for what is no export."""
    return list(_lines(file))


def _lines(file: Path) -> Iterator[AuditEntry]:
    try:
        with file.open("rb") as opened:
            for number, text in enumerate(opened, 1):
                try:
                    yield msgspec.json.decode(text, type=AuditEntry)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    hint = "sizewise audit export makes one"
                    raise BadRequest(f"{str(file)!r} is no export: line {number} cannot be read", hint) from error
    except OSError as error:
        raise ExternalFailure(f"cannot read {str(file)!r}: {error.strerror}", "check its path") from error
