"""`sizewise savings`: what policies saved, with the interval, and what is known of the quality lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from sizewise.cli.options import served, server, wants_json
from sizewise.cli.paper import count, money, write_json, write_table
from sizewise.errors import BadRequest, Outside
from sizewise.evals.plane import Dot, drawn

QUERY = """query ($days: Float) {
  savings(days: $days) { policy large requests small unpriced spentUsd aloneUsd savedUsd withinUsd curves }
}"""


class Saving(Struct, rename="camel"):
    policy: str
    large: str
    requests: int
    small: int
    unpriced: int
    spent_usd: str
    alone_usd: str | None
    saved_usd: str | None
    within_usd: str | None
    curves: dict[str, list[tuple[float, float]]] | None = None


class Told(Struct):
    savings: list[Saving]


@click.command("savings")
@click.option("--days", default=30.0, show_default=True, help="How far back.")
@click.option("--picture", type=click.Path(path_type=Path), help="Draw cost against quality of one policy, as SVG.")
@click.option("--policy", metavar="NAME", help="Only this one.")
@served
def savings(days: float, picture: Path | None, policy: str | None) -> None:
    """What policies saved, and what is known of the quality lost.

    Against asking the large model always: it is taken to read and write as many tokens as the model that answered.

    \b
    Example: sizewise savings --days 7
    """
    told = asyncio.run(server().graphql(QUERY, Told, days=days)).savings
    told = [each for each in told if policy in (None, each.policy)]
    if picture is not None:
        _draw(told, picture)
    if wants_json():
        write_json(msgspec.to_builtins(told))
        return
    if not told:
        click.echo(
            "No policy that chooses has answered anything yet." if policy is None else "It has answered nothing."
        )
        return
    heads = ("POLICY", "REQUESTS", "SMALL", "SPENT", "LARGE ALONE", "SAVED", "QUALITY LOST")
    write_table(heads, [_row(each) for each in told])
    if any(each.unpriced for each in told):
        click.echo()
        click.echo(f"{count(sum(each.unpriced for each in told))} requests of unknown price count as free.")


def _row(each: Saving) -> tuple[str, ...]:
    small = f"{each.small / max(1, each.requests):.0%}"
    return (
        each.policy,
        count(each.requests),
        small,
        money(each.spent_usd),
        money(each.alone_usd),
        _saved(each),
        "not measured",
    )


def _saved(each: Saving) -> str:
    if each.saved_usd is None or each.within_usd is None:
        return "unknown"
    alone = float(each.alone_usd or 0)
    if not alone:
        return "nothing to save"
    return f"{float(each.saved_usd) / alone:.1%} +- {float(each.within_usd) / alone:.1%}"


def _draw(told: list[Saving], file: Path) -> None:
    if len(told) != 1:
        names = ", ".join(each.policy for each in told) or "none has answered anything"
        raise BadRequest(f"a picture is of one policy, and there are {len(told)}", f"--policy NAME: {names}")
    its = told[0]
    alone = float(its.alone_usd or 0)
    if not alone:
        raise BadRequest(f"what {its.large!r} alone would cost is unknown or nothing", "give its price in the settings")
    cost, within = float(its.spent_usd) / alone, float(its.within_usd or 0) / alone
    dots = [Dot(its.large, 1.0, 1.0), Dot(its.policy, cost, 1.0, within=within, open=True)]
    title = f"{its.policy}: {count(its.requests)} requests"
    try:
        file.write_text(drawn(title, its.curves or {}, dots))
    except OSError as error:
        raise Outside(f"cannot write {str(file)!r}: {error.strerror}", "name another file") from error
