"""`sizewise audit`: lists, exports and verifies the audit log; verification does not trust the server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import msgspec

from sizewise.audit_log.hash_chain import AuditEntry, AuditEvent, ChainBreak, verify_chain, verify_export, verify_hash
from sizewise.cli import operations
from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import api_client, refuse_options, server_options, wants_json
from sizewise.cli.output import format_time, write_file, write_json, write_table
from sizewise.errors import BadRequest, ExternalFailure

COMMANDS: Mapping[str, LazyCommand] = {
    "list": LazyCommand("sizewise.cli.audit:lines", "Show who did what, newest first."),
    "export": LazyCommand("sizewise.cli.audit:export", "Export the whole audit log, one line of JSON each."),
    "verify": LazyCommand("sizewise.cli.audit:verify", "Verify the audit log, or an export of it."),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@server_options
@click.pass_context
def audit(ctx: click.Context) -> None:
    """List, export and verify the audit log.

    Without a command it lists the newest entries.

    \b
    Example: sizewise audit
    """
    if ctx.invoked_subcommand is None:
        _list(20)


@click.command(name="list")
@click.option("--last", type=click.IntRange(1, 1_000), default=20, help="Number of entries, at most 1,000. [20]")
@server_options
def lines(last: int) -> None:
    """Show who did what, newest first.

    \b
    Example: sizewise audit list --last 50
    """
    _list(last)


def _list(last: int) -> None:
    told = asyncio.run(operations.list_audit_events(api_client(), last=last))
    if wants_json():
        write_json(msgspec.to_builtins({"audit": told}))
        return
    write_table(
        ("NO", "AT", "WHO", "ACTION", "THING", "RESULT"),
        [(str(t.seq), format_time(t.at), t.actor, t.action, t.resource, t.error or "done") for t in told],
        right="NO",
    )


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Output file. [stdout]")
@server_options
def export(output: Path | None) -> None:
    """Export the whole audit log, one line of JSON each.

    Store it elsewhere: `sizewise audit verify --against FILE` later detects whether the log was rewritten.

    \b
    Example: sizewise audit export -o audit.jsonl
    """
    text = b"".join(msgspec.json.encode(line) + b"\n" for line in _trail())
    if output is None:
        click.echo(text.decode(), nl=False)
        return
    write_file(output, text)
    count = text.count(b"\n")
    if wants_json():
        write_json({"entries": count, "file": str(output)})
    else:
        click.echo(f"{count:,} entries are in {output}", err=True)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option(
    "--against",
    "older",
    type=click.Path(path_type=Path, dir_okay=False),
    help="An older export: the log must begin with it.",
)
@click.option("--hash", "known", metavar="HASH", help="A hash noted earlier: an entry must have it.")
@server_options
def verify(file: Path | None, older: Path | None, known: str | None) -> int:
    """Verify the audit log, or an export of it.

    Exits with 1 if it was altered, and shows the first broken entry. The log of a running server is never empty.

    \b
    Example: sizewise audit verify --against audit.jsonl
    """
    if file is None:
        now = _trail()
    else:
        refuse_options("with a FILE, which is read here", "url")
        now = _read(file)
    found = verify_chain(now)
    if found is None and older is not None:
        before = _read(older)
        found = verify_chain(before) or verify_export(now, before)
    if found is None and known is not None:
        found = verify_hash(now, known.strip().lower())
    if found is None and not now and file is None:
        found = ChainBreak(0, "the audit log is empty, but a running server always has entries")
    if wants_json():
        shown = None if found is None else {"line": found.seq, "why": found.reason}
        write_json({"holds": found is None, "lines": len(now), "hash": now[-1].hash if now else None, "broken": shown})
    elif found is None:
        click.echo(
            f"intact: {len(now):,} entries" + (f"; the last hash is {now[-1].hash}" if now else ""),
        )
    else:
        click.echo(f"broken{f' at entry {found.seq}' if found.seq else ''}: {found.reason}")
    return 0 if found is None else 1


def _trail() -> list[AuditEntry]:
    """The whole audit log of the running server."""
    return list(asyncio.run(_fetch_trail()))


async def _fetch_trail() -> list[AuditEntry]:
    here, found = api_client(), list[AuditEntry]()
    while True:
        told = await operations.export_audit_events(here, after=found[-1].seq if found else 0)
        found += [_entry(told.me.tenant, each) for each in told.audit]
        if len(told.audit) < 1_000:
            return found


def _entry(tenant: str, of: operations.AuditEvent) -> AuditEntry:
    before, after = _json_object(of.before), _json_object(of.after)
    event = AuditEvent(
        tenant=tenant,
        who=of.actor,
        action=of.action,
        thing=of.resource,
        before=before,
        after=after,
        refused=of.error,
        by=of.credential,
    )
    return AuditEntry(seq=of.seq, at=of.at, deed=event, previous=of.previous, hash=of.hash)


def _json_object(value: object) -> dict[str, object] | None:
    return value if isinstance(value, dict) else None


def _read(file: Path) -> list[AuditEntry]:
    """Raises BadRequest if `file` is not an export."""
    return list(_lines(file))


def _lines(file: Path) -> Iterator[AuditEntry]:
    try:
        with file.open("rb") as opened:
            for number, text in enumerate(opened, 1):
                try:
                    yield msgspec.json.decode(text, type=AuditEntry)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    hint = "create one with: sizewise audit export"
                    raise BadRequest(f"{str(file)!r} is not an export: line {number} cannot be read", hint) from error
    except OSError as error:
        raise ExternalFailure(f"cannot read {str(file)!r}: {error.strerror}", "check its path") from error
