"""Options of commands that select request records, and the arguments of the query that they make; reads no record."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TypedDict, TypeVar, cast

import click

from sizewise.cli.value_completion import complete_model_name, complete_policy

F = TypeVar("F", bound=Callable[..., object])
UNITS: Mapping[str, str] = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
AGO = re.compile(r"([0-9]{1,5})(m|h|d|w)")
"""Such as 24h."""


class RecordCriteria(TypedDict, total=False):
    """Of the operations ListRecords and ExportRecords; what is not given is left out."""

    since: int
    until: int
    model: str
    requested_model: str
    policy: str
    endpoint: str
    key: str
    project: str
    status: int
    error: str
    failed: bool
    session: str
    end_user: str
    tag: str
    flow: str
    agent: str
    min_cost: str
    min_ms: float


class Moment(click.ParamType[int]):
    """A time in unix ms: a date, a date with time, or how long ago."""

    name = "when"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).strip()
        if match := AGO.fullmatch(text):
            then = datetime.now().astimezone() - timedelta(**{UNITS[match[2]]: int(match[1])})
        else:
            try:
                then = datetime.fromisoformat(text).astimezone()
            except ValueError:
                self.fail(f"{text!r} is no time: use 2026-11-28, 2026-11-28T09:30, or how long ago: 24h", param, ctx)
        return max(0, int(then.timestamp() * 1000))


_OPTIONS = (
    click.option("--since", type=Moment(), help="Only requests that ended since: 2026-11-28, 24h, 7d."),
    click.option("--until", type=Moment(), help="Only requests that ended before: a time as for --since."),
    click.option("-m", "--model", shell_complete=complete_model_name, help="Only requests answered by this model."),
    click.option("--requested-model", help="Only requests for this model, such as auto."),
    click.option("--policy", shell_complete=complete_policy, help="Only requests under this routing policy."),
    click.option("--endpoint", help="Only requests of this endpoint, such as chat or embeddings."),
    click.option("--key", help="Only requests of the key with this id."),
    click.option("--project", help="Only requests of this project."),
    click.option("--status", type=int, help="Only requests with this HTTP status; 0: unknown."),
    click.option("--error", metavar="CODE", help="Only requests with this error, such as upstream_timeout."),
    click.option("--failed/--ok", default=None, help="Only requests with an error, or without one."),
    click.option("--session", help="Only requests of this conversation of the client: `x-sizewise-session`."),
    click.option("--end-user", help="Only requests of this user of the client, by the name that it sends as `user`."),
    click.option("--tag", help="Only requests with this tag, such as `team=search`."),
    click.option("--flow", help="Only requests of this flow."),
    click.option("--agent", help="Only requests of this agent."),
    click.option("--min-cost", metavar="DOLLARS", help="Only requests that cost at least this, such as 0.05."),
    click.option("--min-ms", type=click.FloatRange(min=0), help="Only requests that took at least this long."),
)


FILTERS = (
    "since",
    "until",
    "model",
    "requested_model",
    "policy",
    "endpoint",
    "key",
    "project",
    "status",
    "error",
    "failed",
    "session",
    "end_user",
    "tag",
    "flow",
    "agent",
    "min_cost",
    "min_ms",
)
"""The names of the options."""


def filter_options(verb: F) -> F:
    for option in reversed(_OPTIONS):
        verb = option(verb)
    return verb


def criteria(**given: object) -> RecordCriteria:
    """Of the options' values. Raises click.UsageError for no amount, or a time that ends before it begins."""
    amount = given.get("min_cost")
    if amount is not None and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,12})?", str(amount)) is None:
        raise click.BadParameter(f"{amount!r} is no amount of dollars such as 0.05", param_hint="--min-cost")
    since, until = given.get("since"), given.get("until")
    if isinstance(since, int) and isinstance(until, int) and since >= until:
        raise click.BadParameter("that is not before --until", param_hint="--since")
    found = {name: value for name, value in given.items() if value is not None and value != ""}
    return cast("RecordCriteria", found)  # the names and types are those of the options
