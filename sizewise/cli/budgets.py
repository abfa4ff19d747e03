"""`sizewise budgets`: lists limits and budgets with what is left, and sets them on the running server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime

import click
import msgspec
from msgspec import Struct

from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import dim, write_json, write_table
from sizewise.errors import BadRequest

COMMANDS: Mapping[str, LazyCommand] = {
    "set": LazyCommand(
        "sizewise.cli.budgets:set_", "Set the limits of organization, project:NAME, user:ID, key:ID or model:NAME."
    ),
}

_FIELDS = "scope unit limit spent reserved remaining resets source"
LIST = f"{{ budgets {{ {_FIELDS} }} }}"
SET = f"mutation ($scope: String!%s) {{ setBudget(scope: $scope%s) {{ {_FIELDS} }} }}"
NONE = "none"
DOLLARS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,12})?")


class Budget(Struct):
    """Amounts are in `unit`; `resets` is unix ms."""

    scope: str
    unit: str
    limit: str
    spent: str
    reserved: str
    remaining: str
    resets: int
    source: str


class BudgetsResponse(Struct):
    budgets: list[Budget]


class SetBudgetResponse(Struct, rename="camel"):
    set_budget: list[Budget]


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
        _show(asyncio.run(api_client().graphql(LIST, BudgetsResponse)).budgets)


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
    said = {"requestsPerMinute": _count("rpm", rpm), "tokensPerMinute": _count("tpm", tpm)}
    said |= {"usdPerDay": _dollars(usd_day), "usdPerMonth": _dollars(usd_month)}
    given = {name: value for name, value in said.items() if value is not None}
    if not given:
        raise BadRequest(
            "no limit was given", "use --rpm, --tpm, --usd-day or --usd-month, each with a number or `none`"
        )
    kinds = {name: "Dollars" if name.startswith("usd") else "NonNegativeSafeInt" for name in given}
    query = SET % (
        "".join(f", ${name}: {kind}" for name, kind in kinds.items()),
        "".join(f", {name}: ${name}" for name in given),
    )
    variables = {name: None if value == NONE else value for name, value in given.items()}
    _show(asyncio.run(api_client().graphql(query, SetBudgetResponse, scope=scope, **variables)).set_budget)


def _dollars(text: str | None) -> str | None:
    if text is None or text == NONE or DOLLARS.fullmatch(text):
        return text
    raise BadRequest(f"{text[:50]!r} is not an amount of dollars", "write it as 0.25; `none` removes the limit")


def _count(option: str, text: str | None) -> int | str | None:
    if text is None or text == NONE:
        return text
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise BadRequest(f"--{option} {text[:40]!r} is not a whole number", "use a number or `none`")
    return int(text)


def _show(found: list[Budget]) -> None:
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


def _limit(each: Budget) -> str:
    what, _, every = each.unit.partition("/")
    return f"${each.limit} per {every}" if what == "usd" else f"{each.limit} {what} per {every}"


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
