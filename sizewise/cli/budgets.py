"""`sizewise budgets`: lists limits and budgets with what is left, and sets them on the running server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime

import click
import msgspec
from msgspec import UNSET, UnsetType

from sizewise.cli import operations
from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import dim, write_json, write_table
from sizewise.errors import BadRequest

COMMANDS: Mapping[str, LazyCommand] = {
    "list": LazyCommand("sizewise.cli.budgets:list_", "List every limit, and what is left of it."),
    "set": LazyCommand(
        "sizewise.cli.budgets:set_", "Set the limits of organization, project:NAME, user:ID, key:ID or model:NAME."
    ),
}

NONE = "none"
DOLLARS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,12})?")


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@server_options
@click.pass_context
def budgets(ctx: click.Context) -> None:
    """Show rate limits and budgets, and what is left.

    Without a command it lists every limit: requests and tokens per minute, dollars per day and month. Minutes, days and
    months are in UTC.

    \b
    Example: sizewise budgets
    """
    if ctx.invoked_subcommand is None:
        _list()


@click.command("list")
@server_options
def list_() -> None:
    """List every limit, and what is left of it.

    \b
    Example: sizewise budgets list
    """
    _list()


def _list() -> None:
    _show(asyncio.run(operations.list_budgets(api_client())))


@click.command("set")
@click.argument("scope")
@click.option("--rpm", metavar="N", help="Requests per minute.")
@click.option("--tpm", metavar="N", help="Tokens per minute, input and output.")
@click.option("--usd-day", metavar="N", help="Dollars per day.")
@click.option("--usd-month", metavar="N", help="Dollars per month.")
@server_options
def set_(scope: str, rpm: str | None, tpm: str | None, usd_day: str | None, usd_month: str | None) -> None:
    """Set the limits of organization, project:NAME, user:ID, key:ID or model:NAME.

    Limits without an option stay unchanged; `none` removes one. If sizewise.toml has a limit too, the stricter one
    applies.

    \b
    Example: sizewise budgets set project:shop --usd-day 5 --rpm 600
    """
    limits = _count("rpm", rpm), _count("tpm", tpm), _dollars(usd_day), _dollars(usd_month)
    if all(each is UNSET for each in limits):
        raise BadRequest(
            "no limit was given", "use --rpm, --tpm, --usd-day or --usd-month, each with a number or `none`"
        )
    changed = operations.set_budget(
        api_client(),
        scope=scope,
        requests_per_minute=limits[0],
        tokens_per_minute=limits[1],
        usd_per_day=limits[2],
        usd_per_month=limits[3],
    )
    _show(asyncio.run(changed))


def _dollars(text: str | None) -> str | UnsetType | None:
    """None removes the limit, UNSET leaves it as it is."""
    if text is None or text == NONE:
        return UNSET if text is None else None
    if DOLLARS.fullmatch(text):
        return text
    raise BadRequest(f"{text[:50]!r} is not an amount of dollars", "write it as 0.25; `none` removes the limit")


def _count(option: str, text: str | None) -> int | UnsetType | None:
    """None removes the limit, UNSET leaves it as it is."""
    if text is None or text == NONE:
        return UNSET if text is None else None
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise BadRequest(f"--{option} {text[:40]!r} is not a whole number", "use a number or `none`")
    return int(text)


def _show(found: list[operations.Budget]) -> None:
    if wants_json():
        write_json(msgspec.to_builtins({"budgets": found}))
        return
    if not found:
        click.echo(dim("no limits are set; set one with: sizewise budgets set organization --usd-day 5"), err=True)
        return
    write_table(
        ("SCOPE", "LIMIT", "SPENT", "RESERVED", "LEFT", "RENEWS", "FROM"),
        [
            (each.scope, _limit(each), each.spent, each.reserved, each.remaining, _time(each.resets), each.source)
            for each in found
        ],
    )


def _limit(each: operations.Budget) -> str:
    what, _, every = each.unit.partition("/")
    return f"${each.limit} per {every}" if what == "usd" else f"{each.limit} {what} per {every}"


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
