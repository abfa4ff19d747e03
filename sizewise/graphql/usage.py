"""The fields `usage`, tokens and cost over a time by model, key and others, and `usageChange`, what made it dearer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from sizewise.errors import BadRequest, Forbidden
from sizewise.graphql.context import MAX_ROWS, RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.model_card import ModelCard
from sizewise.money import format_dollars, short_dollars
from sizewise.telemetry.usage_change import CostParts, UsageChange, explain_change
from sizewise.telemetry.usage_query import DAY_HOURS, END_USER_KEYS, HOUR_MS, USAGE_KEYS, UsageKey, UsageQuery
from sizewise.telemetry.usage_report import UsageReport, UsageRow, read_usage, read_usages
from sizewise.telemetry.usage_sums import Sums, about_percentile
from sizewise.telemetry.usage_tables import COST, REQUESTS, SUMS

DEFAULT_HOURS = 7 * DAY_HOURS
DEFAULT_KEYS = 100
MAX_HOURS = 4 * 366 * DAY_HOURS
MAX_MODELS = 1_000_000
PARTS: Mapping[str, str] = {
    "volume": "by the number of requests",
    "mix": "by the mix of models",
    "tokens": "by tokens an attempt",
    "price": "by prices",
}
"""As the sentence of a change names them."""
KEYS: Mapping[str, UsageKey] = {"endUser" if each == "end_user" else each: each for each in USAGE_KEYS}
"""By the names of schema.graphql."""


async def usage(
    context: RequestContext,
    filter: Mapping[UsageKey, str | int | None] | None = None,
    since: int | None = None,
    until: int | None = None,
    step: int = 0,
    by: Sequence[str] = (),
    first: int | None = None,
) -> FieldValues:
    """Times are rounded to whole hours, outwards, or to days where only days are stored. Raises BadRequest,
    Forbidden.
    """
    services, now_ms = context.services, time.time_ns() // 1_000_000
    keys = tuple(KEYS[each] for each in by)
    filters = await _filters(context, filter or {})
    whole_days = step >= DAY_HOURS or "end_user" in (*keys, *filters)
    start, end = _range(since, until, now_ms, whole_days or _is_old(context, since, now_ms))
    query = UsageQuery(
        tenant=context.principal.tenant,
        since=start,
        until=end,
        step=step,
        by=keys,
        filters=filters,
        users=await services.users.callers(context.principal.tenant) if "user" in (*keys, *filters) else {},
        limit=_limit(first, start, end, step),
    )
    _check(query)
    await services.records.flush_if_healthy()
    report = await asyncio.to_thread(services.storage.database.read_transaction, partial(read_usage, query=query))
    context.charge_rows(len(report.rows))
    return _payload(report, start, end, now_ms)


async def usage_change(
    context: RequestContext,
    filter: Mapping[UsageKey, str | int | None] | None = None,
    since: int | None = None,
    until: int | None = None,
) -> FieldValues:
    """Against as many hours or days before. Raises BadRequest, Forbidden."""
    services, now_ms = context.services, time.time_ns() // 1_000_000
    filters = await _filters(context, filter or {})
    start, end = _range(since, until, now_ms, _is_old(context, since, now_ms))
    if _is_old(context, (2 * start - end) * HOUR_MS, now_ms):
        start, end = _range(since, until, now_ms, whole_days=True)
    query = UsageQuery(
        tenant=context.principal.tenant,
        since=start,
        until=end,
        by=("model",),
        filters=filters,
        users=await services.users.callers(context.principal.tenant) if "user" in filters else {},
        limit=MAX_MODELS,
    )
    _check(query)
    await services.records.flush_if_healthy()
    cards = {card.name: card for card in context.app.cards}
    queries = (replace(query, since=2 * start - end, until=start), query)
    read = partial(read_usages, queries=queries)
    before, after = await asyncio.to_thread(services.storage.database.read_transaction, read)
    explain = partial(
        explain_change, before, after, partial(_list_cost, cards), filtered=not filters.keys() <= {"project"}
    )
    change = await asyncio.to_thread(explain)
    context.charge_rows(len(change.models))
    return {
        "comparedSince": (2 * start - end) * HOUR_MS,
        "since": start * HOUR_MS,
        "until": end * HOUR_MS,
        "asOf": now_ms,
        "sentence": _sentence(change),
        "before": _sums(change.before),
        "after": _sums(change.after),
        "differenceUsd": format_dollars(change.parts.total),
        "parts": _parts(change.parts),
        "models": [
            {
                "model": each.model,
                "beforeUsd": format_dollars(each.before),
                "afterUsd": format_dollars(each.after),
                "differenceUsd": format_dollars(each.parts.total),
                "parts": _parts(each.parts),
            }
            for each in change.models
        ],
    }


def _list_cost(cards: Mapping[str, ModelCard], model: str, sums: Sums) -> int:
    """Pico-dollars at the plain price of today; 0: there is none."""
    card, its = cards.get(model), dict(zip(SUMS, sums, strict=True))
    if card is None:
        return 0
    plain = replace(card.price, tiers=(), schedule=())
    return plain.cost(its["input"], its["output"], its["cached"], its["cache_write"], its["reasoning"]) or 0


def _parts(parts: CostParts) -> FieldValues:
    return {f"{name}Usd": format_dollars(getattr(parts, name)) for name in PARTS}


def _sentence(change: UsageChange) -> str:
    difference, spent = change.parts.total, short_dollars(change.after[COST])
    if not change.before[REQUESTS] and not change.before[COST]:
        if not change.after[REQUESTS]:
            return "No request in this time, nor in as long a time before."
        return f"{spent}, and no request in as long a time before."
    if not difference:
        return f"{spent}, as much as in as long a time before."
    parts = {name: getattr(change.parts, name) for name in PARTS}
    ranked = sorted((name for name in PARTS if parts[name]), key=lambda name: -abs(parts[name]))
    why = ", ".join(f"{'+' if parts[name] > 0 else ''}{short_dollars(parts[name])} {PARTS[name]}" for name in ranked)
    than = f"{short_dollars(abs(difference))} {'more' if difference > 0 else 'less'} than in as long a time before"
    return f"{spent}, {than} ({short_dollars(change.before[COST])}): {why}."


async def _filters(context: RequestContext, given: Mapping[UsageKey, str | int | None]) -> dict[UsageKey, str | int]:
    principal = context.principal
    found = {name: value for name, value in given.items() if value is not None}
    name = found.get("end_user")
    if name:
        await context.services.end_users.load(principal.tenant)
        found["end_user"] = context.services.end_users.hash(principal.tenant, str(name))
    if not principal.all_projects:
        if found.get("project", principal.project) != principal.project:
            raise Forbidden("your key has access to its own project alone", "leave the project out")
        found["project"] = principal.project
    return found


def _is_old(context: RequestContext, since: int | None, now_ms: int) -> bool:
    hourly = context.app.settings.records.hourly_usage_days * DAY_HOURS * HOUR_MS
    return since is not None and since < now_ms - hourly


def _range(since: int | None, until: int | None, now_ms: int, whole_days: bool) -> tuple[int, int]:
    """In hours since 1970. Raises BadRequest."""
    unit = DAY_HOURS if whole_days else 1
    end = -(-min(now_ms if until is None else until, now_ms + HOUR_MS) // (HOUR_MS * unit)) * unit
    start = (end - DEFAULT_HOURS) if since is None else since // (HOUR_MS * unit) * unit
    if not start < end:
        raise BadRequest("the time ends before it begins", "use a `since` before `until`", param="since")
    return max(start, end - MAX_HOURS), end


def _limit(first: int | None, start: int, end: int, step: int) -> int:
    """Keys that have rows of their own. Raises BadRequest."""
    if step < 0 or (step > DAY_HOURS and step % DAY_HOURS) or (0 < step < DAY_HOURS and DAY_HOURS % step):
        raise BadRequest(f"{step} hours are no step", "use hours that divide a day, or whole days", param="step")
    buckets = -(-(end - start) // step) + 1 if step else 1
    most = MAX_ROWS // buckets - 1
    wanted = min(DEFAULT_KEYS, most) if first is None else first
    if most < 1 or wanted > most:
        raise BadRequest(f"that makes more than {MAX_ROWS:,} rows", "use a longer step or a smaller `first`")
    if wanted < 1:
        raise BadRequest(f"cannot show {wanted} keys", "use at least 1", param="first")
    return wanted


def _check(query: UsageQuery) -> None:
    if len(set(query.by)) != len(query.by):
        raise BadRequest("a key is in `by` twice", "name each key once", param="by")
    others = sorted(query.keys - END_USER_KEYS)
    if query.rollup is not None and "end_user" in query.keys and others:
        raise BadRequest(
            f"end users are not added up by {', '.join(others)}",
            "combine endUser with project and flow alone",
            param="by",
        )
    if "end_user" in query.keys and query.step % DAY_HOURS and query.rollup is not None:
        raise BadRequest("end users are added up by day", "use a step of 24 hours or more", param="step")


def _payload(report: UsageReport, start: int, end: int, now_ms: int) -> FieldValues:
    return {
        "since": start * HOUR_MS,
        "until": end * HOUR_MS,
        "asOf": now_ms,
        "rows": [_row(each, start * HOUR_MS) for each in report.rows],
        "total": _sums(report.total),
        "folded": {"count": report.folded_series, **_sums(report.folded)},
    }


def _row(row: UsageRow, start_ms: int) -> FieldValues:
    return {"key": None if row.key is None else list(row.key), "at": max(row.at, start_ms), **_sums(row.sums)}


def _sums(sums: Sums) -> FieldValues:
    named = dict(zip(SUMS, sums, strict=True))
    return {
        **{name: named[name] for name in ("requests", "errors", "degraded", "unpriced", "attempts")},
        "costUsd": format_dollars(named["cost"]),
        "tokens": {
            **{name: named[name] for name in ("input", "output", "cached", "reasoning")},
            "cacheWrite": named["cache_write"],
            "estimated": named["estimated"] > 0,
        },
        "p50Ms": about_percentile(sums, 0.5),
        "p95Ms": about_percentile(sums, 0.95),
    }
