"""Rows of what happened, told in the words of schema.graphql; contents only where they are kept, and only to few."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from msgspec.structs import replace

from sizewise.auth.api_keys import deed
from sizewise.auth.authorization import Thing, demand
from sizewise.graphql.context import Context, unhurried
from sizewise.graphql.keys import thing
from sizewise.graphql.model_type import Told
from sizewise.money import dollars
from sizewise.telemetry.tables import Filter, Record, Try, Whole


async def records(
    context: Context,
    last: int = 20,
    model: str | None = None,
    status: int | None = None,
    since: int | None = None,
    trace: str | None = None,
) -> AsyncIterator[Told]:
    """Raises BadRequest when `last` is not from 1 to 1000."""
    context.take(last)
    wanted = Filter(context.caller.tenant, model or "", status, since, trace or "", _project(context))
    found = await context.house.means.keeper.records(wanted, last)
    return unhurried(_record(each) for each in found)


async def record(context: Context, trace: str) -> list[Told]:
    context.take(100)
    return [
        _whole(context, each)
        for each in await context.house.means.keeper.trace(trace, context.caller.tenant, _project(context))
    ]


async def erase_records(context: Context, key: str) -> Told:
    """By the id of a key that the caller reaches; one of a session, or of a key long forgotten, is for whoever sees the
    whole organisation. That it was begun stands in the trail before anything is gone."""
    keeper, caller = context.house.means.keeper, context.caller
    found = next((each for each in await keeper.accounts.list(caller.tenant) if each.id == key), None)
    demand(
        caller,
        "erase_records",
        thing(found) if found else Thing(caller.tenant if caller.wide else "", name=f"key:{key}"),
    )
    begun = deed(caller, caller.tenant, "erase_records", f"key:{key[:100]}")
    await keeper.note(begun)
    gone = await keeper.erase(caller.tenant, key)
    after: dict[str, object] = {"records": gone.records, "contents": gone.contents, "feedback": gone.feedback}
    await keeper.note(replace(begun, after=after))
    return dict(after)


def _project(context: Context) -> str:
    """The one project whose records the caller may see; empty: all."""
    return "" if context.caller.wide else context.caller.project


def _whole(context: Context, whole: Whole) -> Told:
    """`contents` are opened only where they were asked for."""
    found: Told = {**_record(whole.record), "attempts": [_attempt(each) for each in whole.attempts]}
    return {**found, "contents": partial(_contents, context, whole.record)}


async def _contents(context: Context, record: Record, info: object) -> Told | None:
    """Who reads them leaves a line in the trail."""
    context.may("read_contents")
    keeper, caller = context.house.means.keeper, context.caller
    found = await keeper.content(record.id, record.tenant)
    if found is None:
        return None
    await keeper.note(deed(caller, caller.tenant, "read_contents", f"record:{record.trace}"))
    return {"request": found.asked, "response": found.said, "truncated": found.cut}


def _record(record: Record) -> Told:
    return {
        "trace": record.trace,
        "at": record.at,
        "door": record.door,
        "key": record.key,
        "project": record.project,
        "requestedModel": record.asked,
        "policy": record.policy,
        "model": record.model,
        "why": record.why,
        "status": record.status,
        "error": record.error,
        "stream": record.stream,
        "degraded": record.degraded,
        "guardrails": record.guards,
        "dataClass": record.data_class,
        "tokens": _tokens(record),
        "costUsd": _cost(record.cost),
        "firstTokenMs": record.first_ms,
        "totalMs": record.total_ms,
        "attemptCount": record.attempts,
        "attempts": None,
        "contents": None,
    }


def _attempt(attempt: Try) -> Told:
    return {
        "number": attempt.number,
        "model": attempt.model,
        "place": attempt.place,
        "result": attempt.result,
        "why": attempt.why,
        "score": attempt.score,
        "error": attempt.error,
        "tokens": _tokens(attempt),
        "costUsd": _cost(attempt.cost),
        "startedMs": attempt.began_ms,
        "firstTokenMs": attempt.first_ms,
        "endedMs": attempt.ended_ms,
    }


def _tokens(row: Record | Try) -> Told:
    return {
        "input": row.input,
        "output": row.output,
        "cached": row.cached,
        "cacheWrite": row.cache_write,
        "reasoning": row.reasoning,
        "estimated": row.estimated,
    }


def _cost(pico: int | None) -> str | None:
    return None if pico is None else dollars(pico)
