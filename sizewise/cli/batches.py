"""`sizewise batches`: batches of `/v1/batches`, what is done of them and what they cost; uploads and downloads none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import format_count, format_money, format_time, write_json, write_pairs, write_table
from sizewise.cli.printable import printable
from sizewise.errors import BadRequest, PathNotFound

COMMANDS: Mapping[str, LazyCommand] = {
    "list": LazyCommand("sizewise.cli.batches:list_", "List batches, newest first."),
    "show": LazyCommand("sizewise.cli.batches:show", "Show one: its counts, cost, files and errors."),
    "cancel": LazyCommand("sizewise.cli.batches:cancel", "Begin no further request of one."),
}

MOST = 100
SHORT = 18  # batch_ and twelve digits


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@server_options
@click.pass_context
def batches(ctx: click.Context) -> None:
    """See and cancel batches of requests.

    They are made at /v1/batches, as OpenAI's API has it. Without a command it lists them.

    \b
    Example: sizewise batches
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(COMMANDS["list"].load())


@click.command("list")
@click.option("-n", "--last", default=20, type=click.IntRange(1, MOST), help="Number of batches. [20]")
@server_options
def list_(last: int = 20) -> None:
    """List batches, newest first.

    \b
    Example: sizewise batches list --json
    """
    found = asyncio.run(operations.list_batches(api_client(), first=last))
    if wants_json():
        write_json(msgspec.to_builtins({"batches": found}))
        return
    write_table(
        ("ID", "STATUS", "ANSWERED", "FAILED", "OF", "COST", "CREATED"),
        [
            (
                each.id[:SHORT],
                each.status,
                format_count(each.done - each.failed),
                format_count(each.failed),
                format_count(each.total),
                format_money(each.cost_usd),
                format_time(each.created),
            )
            for each in found
        ],
    )
    if len(found) == last:
        click.echo(f"The newest {last}; more: -n {MOST}", err=True)


@click.command()
@click.argument("id")
@server_options
def show(id: str) -> None:
    """Show one: its counts, cost, files and errors.

    ID is the id, or how it begins.

    \b
    Example: sizewise batches show batch_3f2a
    """
    _write(asyncio.run(_found(api_client(), id)))


@click.command()
@click.argument("id")
@server_options
def cancel(id: str) -> None:
    """Begin no further request of one.

    Those in flight end, and what was answered is in its output file. ID is the id, or how it begins.

    \b
    Example: sizewise batches cancel batch_3f2a
    """
    _write(asyncio.run(_canceled(api_client(), id)))


async def _found(client: ApiClient, id: str) -> operations.Batch:
    """By its id, or the only one of the newest whose id begins so. Raises PathNotFound, BadRequest."""
    if (found := await operations.show_batch(client, id=id)) is not None:
        return found
    begin = [each for each in await operations.list_batches(client, first=MOST) if each.id.startswith(id)]
    if len(begin) > 1:
        raise BadRequest(f"{len(begin)} batches begin with {id[:100]!r}", "give more of the id: sizewise batches")
    if not begin:
        raise PathNotFound(f"there is no batch {id[:100]!r}", "list them: sizewise batches")
    return begin[0]


async def _canceled(client: ApiClient, id: str) -> operations.Batch:
    return await operations.cancel_batch(client, id=(await _found(client, id)).id)


def _write(batch: operations.Batch) -> None:
    if wants_json():
        write_json(msgspec.to_builtins(batch))
        return
    most = f" of at most {format_money(batch.max_cost_usd)}" if batch.max_cost_usd is not None else ""
    write_pairs(
        [
            ("id", batch.id),
            ("status", batch.status),
            ("asks", batch.endpoint),
            ("requests", printable(batch.sentence)),
            ("cost", f"{format_money(batch.cost_usd)}{most}"),
            ("created", format_time(batch.created)),
            ("expires", format_time(batch.expires)),
            *((name, file) for name, file in (("output", batch.output_file), ("errors", batch.error_file)) if file),
            *((f"failed {printable(each.code)}", format_count(each.count)) for each in batch.request_errors),
            *([("cut", printable(batch.cut))] if batch.cut else []),
            *((f"line {each.line}" if each.line else "error", printable(each.message)) for each in batch.errors),
        ]
    )
