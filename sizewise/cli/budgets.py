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
    "set": LazyCommand("sizewise.cli.budgets:set_", "Limit organization, project:NAME, user:ID, key:ID or model:NAME."),
}

_FIELDS = "scope unit limit spent reserved remaining resets source"
LIST = f"{{ budgets {{ {_FIELDS} }} }}"
SET = f"mutation ($scope: String!%s) {{ setBudget(scope: $scope%s) {{ {_FIELDS} }} }}"
NONE = "none"
DOLLARS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,12})?")


class Budget(Struct):
    """Amounts are of `unit`; `resets` is unix ms."""

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
    """What may be asked and spent, and what is left.

    Alone it lists every limit: of requests and tokens a minute, and of
    dollars a day and a month. Minutes, days and months are those of UTC.

    \b
    Example: sizewise budgets
    """
    if ctx.invoked_subcommand is None:
        _show(asyncio.run(api_client().graphql(LIST, BudgetsResponse)).budgets)


@click.command("set")
@click.argument("scope")
@click.option("--rpm", metavar="N", help="Requests a minute.")
@click.option("--tpm", metavar="N", help="Tokens a minute, read and said.")
@click.option("--usd-day", metavar="N", help="Dollars a day.")
@click.option("--usd-month", metavar="N", help="Dollars a month.")
@server_options
def set_(scope: str, rpm: str | None, tpm: str | None, usd_day: str | None, usd_month: str | None) -> None:
    """Limit organization, project:NAME, user:ID, key:ID or model:NAME.

    What is not said stays as it is; `none` takes a limit away. Where
    sizewise.toml has a limit too, the stricter of both holds.

    \b
    Example: sizewise budgets set project:shop --usd-day 5 --rpm 600
    """
    said = {"requestsPerMinute": _count("rpm", rpm), "tokensPerMinute": _count("tpm", tpm)}
    said |= {"usdPerDay": _dollars(usd_day), "usdPerMonth": _dollars(usd_month)}
    given = {name: value for name, value in said.items() if value is not None}
    if not given:
        raise BadRequest("no limit was said", "say --rpm, --tpm, --usd-day or --usd-month, each a number or `none`")
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
    raise BadRequest(f"{text[:50]!r} is no amount of dollars", "write it as 0.25; `none` takes the limit away")


def _count(option: str, text: str | None) -> int | str | None:
    if text is None or text == NONE:
        return text
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise BadRequest(f"--{option} {text[:40]!r} is no whole number", "give one, or `none`")
    return int(text)


def _show(found: list[Budget]) -> None:
    if wants_json():
        write_json(msgspec.to_builtins({"budgets": found}))
        return
    if not found:
        click.echo(dim("nothing is limited yet: sizewise budgets set organization --usd-day 5"), err=True)
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
    return f"${each.limit} a {every}" if what == "usd" else f"{each.limit} {what} a {every}"


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
