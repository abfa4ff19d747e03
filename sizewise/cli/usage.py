"""`sizewise usage`: requests, tokens and cost on the server over a time, by model, key, end user and others."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import click
import msgspec
from msgspec import UNSET

from sizewise.cli import operations
from sizewise.cli.options import api_client, refuse_options, server_options, wants_json
from sizewise.cli.output import dim, format_count, format_money, format_seconds, write_json, write_table
from sizewise.cli.users import user_id
from sizewise.cli.value_completion import complete_flow, complete_model_name, complete_policy
from sizewise.errors import BadRequest

HOUR_MS = 3_600_000
UNITS: Mapping[str, int] = {"h": 1, "d": 24, "w": 168}
"""Hours."""
KEYS: Mapping[str, operations.UsageKey] = {
    "model": "model",
    "key": "key",
    "user": "user",
    "end-user": "endUser",
    "session": "session",
    "release": "release",
    "tag": "tag",
    "flow": "flow",
    "node": "node",
    "policy": "policy",
    "status": "status",
    "endpoint": "endpoint",
    "project": "project",
}


@click.command()
@click.option("--by", multiple=True, type=click.Choice(list(KEYS)), help="A row for each; may be repeated. [model]")
@click.option("--since", default="7d", show_default=True, metavar="TIME", help="From when: 24h, 7d, 4w or 2026-11-01.")
@click.option("--until", metavar="TIME", help="To when. [now]")
@click.option("--step", metavar="TIME", help="Split the time into rows of this length: 1h, 1d, 1w. [no split]")
@click.option("--compare", is_flag=True, help="Show what made it dearer or cheaper than as long a time before.")
@click.option("--first", type=int, help="Show this many keys, the dearest, and the rest as one row. [100]")
@click.option("-m", "--model", shell_complete=complete_model_name, help="Only attempts at this model.")
@click.option("--policy", shell_complete=complete_policy, help="Only requests of this policy.")
@click.option("--key", metavar="ID", help="Only requests of the key with this id.")
@click.option("--user", metavar="USER", help="Only requests of this user, by e-mail address or id.")
@click.option("--end-user", metavar="NAME", help="Only requests of this user of the client, by the client's name.")
@click.option("--session", metavar="ID", help="Only requests of this conversation.")
@click.option("--release", metavar="HASH", help="Only requests that this release answered, by its whole hash.")
@click.option("--tag", help="Only requests with this tag.")
@click.option("--flow", shell_complete=complete_flow, help="Only requests of this flow.")
@click.option("--node", metavar="PATH", help="Only requests of this node of a flow.")
@click.option("--status", type=int, help="Only requests with this HTTP status.")
@click.option("--endpoint", help="Only requests to this API, such as chat.")
@click.option("--project", metavar="NAME", help="Only requests of this project.")
@server_options
def usage(
    by: Sequence[str],
    since: str,
    until: str | None,
    step: str | None,
    compare: bool,
    first: int | None,
    **filters: str | int | None,
) -> None:
    """Show requests, tokens and cost, the dearest first.

    Times are UTC, in whole hours or days.

    \b
    Example: sizewise usage --by model --since 7d
             sizewise usage --by end-user --by flow --since 30d
             sizewise usage --by key --model openai/gpt-5 --step 1d
             sizewise usage --compare --since 7d --project web
    """
    keys = tuple(by) or (("end-user",) if filters["end_user"] else ("model",))  # no sums of end users are by model
    now_ms = time.time_ns() // 1_000_000
    given = {name: value for name, value in filters.items() if value is not None}
    if isinstance(user := given.get("user"), str) and "@" in user:
        given["user"] = user_id(user)
    start, end = _moment(since, now_ms), UNSET if until is None else _moment(until, now_ms)
    if compare:
        refuse_options("with --compare, which shows each model of one time", "by", "step", "first")
        change = asyncio.run(operations.get_usage_change(api_client(), since=start, until=end, **given))  # type: ignore[arg-type]  # as below
        _show_change(change)
        return
    found = asyncio.run(
        operations.get_usage(
            api_client(),
            by=[KEYS[each] for each in keys],
            since=start,
            until=end,
            step=UNSET if step is None else _hours(step),
            first=UNSET if first is None else first,
            **given,  # type: ignore[arg-type]  # click has checked them
        )
    )
    if wants_json():
        write_json(msgspec.to_builtins(found))
        return
    _show(found, keys, stepped=step is not None)


def _show_change(change: operations.GetUsageChangeResult) -> None:
    if wants_json():
        write_json(msgspec.to_builtins(change))
        return
    times = f"{_time(change.since)} to {_time(change.until)} UTC, against the time since {_time(change.compared_since)}"
    click.echo(dim(times), err=True)
    click.echo(change.sentence)
    if change.models:
        total = ("total", change.before.cost_usd, change.after.cost_usd, change.difference_usd, change.parts)
        names = [("all others" if each.model is None else each.model or "-") for each in change.models]
        models = [
            (name, each.before_usd, each.after_usd, each.difference_usd, each.parts)
            for name, each in zip(names, change.models, strict=True)
        ]
        write_table(
            ("MODEL", "BEFORE", "AFTER", "CHANGE", "VOLUME", "MIX", "TOKENS", "PRICE"),
            [
                [name, format_money(before), format_money(after), _signed(difference), *_parts(parts)]
                for name, before, after, difference, parts in (*models, total)
            ],
            right="BEFORE AFTER CHANGE VOLUME MIX TOKENS PRICE",
        )
    if change.before.unpriced or change.after.unpriced:
        unpriced = format_count(change.before.unpriced + change.after.unpriced)
        click.echo(dim(f"{unpriced} requests have a part without a known price"), err=True)


def _parts(parts: operations.CostParts) -> list[str]:
    return [_signed(each) for each in (parts.volume_usd, parts.mix_usd, parts.tokens_usd, parts.price_usd)]


def _signed(amount: str) -> str:
    return f"-${amount[1:]}" if amount.startswith("-") else f"+${amount}" if amount != "0" else "$0"


def _show(found: operations.Usage, keys: Sequence[str], stepped: bool) -> None:
    click.echo(dim(f"{_time(found.since)} to {_time(found.until)} UTC"), err=True)
    if not found.total.requests and not found.rows:
        click.echo("no request is like that", err=True)
        return
    heads = [*(["SINCE"] if stepped else []), *(each.upper() for each in keys)]
    rows = sorted(found.rows, key=lambda each: each.at) if stepped else found.rows
    table = [
        [*([_time(each.at)] if stepped else []), *_names(each, keys, found.folded.count), *_cells(each)]
        for each in rows
    ]
    total = [*(["total"] + [""] * (len(heads) - 1)), *_cells(found.total)]
    write_table(
        (*heads, "REQUESTS", "ERRORS", "TOKENS", "COST", "P50", "P95"),
        [*table, total],
        right="REQUESTS ERRORS TOKENS COST P50 P95",
    )
    if found.total.unpriced:
        click.echo(dim(f"{format_count(found.total.unpriced)} requests have a part without a known price"), err=True)
    if "tag" in keys:
        click.echo(dim("a request with several tags is in the row of each, and once in the total"), err=True)


def _names(row: operations.UsageRow, keys: Sequence[str], folded: int) -> list[str]:
    if row.key is None:
        return [f"other ({folded:,})", *[""] * (len(keys) - 1)]
    return [value or "-" for value in row.key]


def _cells(row: operations.UsageRow | operations.UsageSums) -> list[str]:
    about = "~" if row.tokens.estimated else ""
    return [
        format_count(row.requests),
        format_count(row.errors),
        f"{about}{row.tokens.input}+{row.tokens.output}",
        format_money(row.cost_usd),
        format_seconds(row.p50_ms),
        format_seconds(row.p95_ms),
    ]


def _time(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1_000, UTC):%Y-%m-%d %H:%M}"


def _hours(text: str) -> int:
    """'1d' -> 24. Raises BadRequest."""
    found = re.fullmatch(r"0*([1-9]\d{0,5})(h|d|w)", text)
    if found is None:
        raise BadRequest(f"{text!r} is no length of time", "write it as 24h, 7d or 4w")
    return int(found[1]) * UNITS[found[2]]


def _moment(text: str, now_ms: int) -> int:
    """Unix ms. Raises BadRequest."""
    if text[-1:] in UNITS:
        return max(0, now_ms - _hours(text) * HOUR_MS)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRequest(f"{text!r} is no time", "write it as 24h, 7d, 4w, 2026-11-01 or 2026-11-01T12:00") from error
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)
