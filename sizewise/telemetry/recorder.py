"""Writes down and counts every request it wraps: nobody has to call it, it listens; knows counts, never words.

Stands in the hot path. Words pass through untouched: `hear` hands back the awaitable of the `send` below instead of
being a coroutine itself, so an event costs one comparison.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from time import perf_counter

from msgspec import Struct

from sizewise.data_class import DataClass
from sizewise.errors import Forbidden, NoModelFits, OverBudget, SizewiseError
from sizewise.guardrails.summary import noted
from sizewise.handler import Answerer, Ask, Chosen, Event, Finished, Guarded, Send, Text, Tried
from sizewise.messages import Chat, Reply, Usage
from sizewise.storage.batch_writer import Entry
from sizewise.storage.database import Row
from sizewise.telemetry.metrics import Metrics
from sizewise.telemetry.tables import CHUNK, PROCESS_BITS

DECIDED = (Forbidden, NoModelFits, OverBudget)
"""Refusals of ours, whose words are the reason of a decision; an upstream's words may repeat the prompt."""
CANCELLED = 499
"""The status of a request whose client left; nginx's number, for there is no official one."""
Keep = Callable[[int, Ask, Reply | None], None]
ASKED = 200
WHY = 500
"""Characters kept of what a client or a model may have made long: the name asked for, a reason."""


def policy_asked(ask: Ask) -> str:
    """The policy by the request's own words: its wish for `auto`, the part behind `auto:`, else the role or `fixed`."""
    model = ask.what.model
    if model == "auto" and ask.wishes.policy is not None:
        return ask.wishes.policy
    if "/" in model:
        return "fixed"
    return model.partition(":")[2] or model


class Recorded:
    """An Answerer around an Answerer. Books in a `finally` without awaiting, so cancelled requests are booked too."""

    def __init__(
        self,
        answer: Answerer,
        write: Callable[[Entry], None],
        metrics: Metrics,
        numbers: Iterator[int],
        keep: Keep | None = None,
    ) -> None:
        """`write` accepts rows without waiting (Keeper.put). `numbers`: ids() of this process; they outlive Houses.

        `keep` takes the contents of a record, without waiting; None: nobody does."""
        self._answer = answer
        self._write = write
        self._metrics = metrics
        self._numbers = numbers
        self._keep = keep
        self._chunk, self._room = 0, 0

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        heard = Heard(send)
        reply: Reply | None = None
        status, error, refused = 500, "internal_error", ""
        self._metrics.in_flight += 1
        try:
            reply = await self._answer(ask, heard.hear)
            status, error = 200, ""
            return reply
        except SizewiseError as failed:
            status, error = failed.status, failed.code
            refused = failed.message if isinstance(failed, DECIDED) else ""
            raise
        except asyncio.CancelledError:
            status, error = CANCELLED, "cancelled"
            raise
        finally:
            self._metrics.in_flight -= 1
            self._book(ask, heard, reply, status, error, refused)

    def _book(self, ask: Ask, heard: Heard, reply: Reply | None, status: int, error: str, refused: str) -> None:
        total_s = perf_counter() - ask.started
        number = next(self._numbers)
        if not self._room:
            self._chunk, self._room = number, CHUNK
        self._room -= 1
        caller, what, chosen, tries, guarded = ask.caller, ask.what, heard.chosen, heard.tried, heard.guarded
        if chosen is None:
            model, why, policy, data_class = "", refused, "", None
        else:
            model, why, policy, data_class = chosen.model, chosen.why, chosen.policy, chosen.data_class
        policy = policy or policy_asked(ask)
        if len(policy) > ASKED:
            policy = policy[:ASKED]
        if len(why) > WHY:
            why = why[:WHY]
        asked = what.model
        if len(asked) > ASKED:
            asked = asked[:ASKED]
        first = None if heard.first is None else heard.first - ask.started
        place = reason = began = word = ended = score = None
        if len(tries) == 1:
            tried = tries[0]
            used, cost = tried.usage, tried.cost
            if tried.result == "answered":
                if first is None:
                    first = tried.first  # of a reply that came in one piece
                if tried.model == model and not tried.error:
                    place, began, ended, score = tried.place, tried.began * 1e3, tried.ended * 1e3, tried.score
                    if tried.first is not None:
                        word = tried.first * 1e3
                    reason = tried.why
                    if len(reason) > WHY:
                        reason = reason[:WHY]
                    if reason == why:
                        reason = None
        else:
            used, cost = _together(tries)
            if first is None:
                first = next(
                    (tried.first for tried in tries if tried.result == "answered" and tried.first is not None), None
                )
        # two tuples: one of more than thirty values would be built as a list first
        came: Row = (
            number,
            caller.tenant,
            caller.project,
            caller.key,
            ask.trace,
            (number >> PROCESS_BITS) // 1000 - int(total_s * 1e3),
            ask.door,
            asked,
            policy,
            model,
            why,
            status,
            error,
            len(tries),
        )
        took: Row = (
            used.input,
            used.output,
            used.cached,
            used.cache_write,
            used.reasoning,
            used.estimated,
            cost,
            None if first is None else first * 1e3,
            total_s * 1e3,
            type(what) is Chat and what.stream,
            reply.degraded[:WHY] if reply is not None and reply.degraded else "",
            data_class or _data_class(ask),
            noted(guarded)[:WHY] if guarded else "",
            place,
            reason,
            began,
            word,
            ended,
            score,
            self._chunk,
        )
        if place is None and tries:
            apart = [_attempt(number, each, ask, tried) for each, tried in enumerate(tries, 1)]
            self._write((("records", (came + took,)), ("attempts", apart)))
        else:
            self._write((("records", (came + took,)),))
        if self._keep is not None:
            self._keep(number, ask, reply)
        self._metrics.request(model, policy if model else "", status, total_s, first, tries)
        for event in guarded:
            self._metrics.guarded(event)


def _together(tries: list[Tried]) -> tuple[Usage, int | None]:
    """Tokens and cost of all attempts; unknown when that of one is."""
    input = output = cached = cache_write = reasoning = 0
    estimated = False
    cost: int | None = 0
    for tried in tries:
        used = tried.usage
        input += used.input
        output += used.output
        cached += used.cached
        cache_write += used.cache_write
        reasoning += used.reasoning
        estimated = estimated or used.estimated
        cost = None if cost is None or tried.cost is None else cost + tried.cost
    return Usage(input, output, cached, cache_write, reasoning, estimated=estimated), cost


def _attempt(number: int, place: int, ask: Ask, tried: Tried) -> Row:
    used = tried.usage
    return (
        number,
        place,
        ask.caller.tenant,
        ask.trace,
        tried.model,
        tried.place,
        tried.result,
        tried.why[:WHY],
        tried.began * 1e3,
        None if tried.first is None else tried.first * 1e3,
        tried.ended * 1e3,
        used.input,
        used.output,
        used.cached,
        used.cache_write,
        used.reasoning,
        used.estimated,
        tried.cost,
        tried.error,
        tried.score,
    )


class Heard(Struct):
    """What one request's events told. `first` is time.perf_counter() at the first word the client was sent."""

    send: Send
    first: float | None = None
    chosen: Chosen | None = None
    tried: list[Tried] = []
    guarded: list[Guarded] = []

    def hear(self, event: Event) -> Awaitable[None]:
        kind = type(event)
        if kind is Text:
            if self.first is None:
                self.first = perf_counter()
        elif type(event) is Tried:
            self.tried.append(event)
        elif type(event) is Chosen:
            self.chosen = event
        elif type(event) is Guarded:
            self.guarded.append(event)
        elif kind is not Finished and self.first is None:
            self.first = perf_counter()
        return self.send(event)


STRICTNESS: tuple[DataClass | None, ...] = (None, "public", "internal", "confidential")


def _data_class(ask: Ask) -> DataClass | None:
    """The stricter of what the request and the key say."""
    said, ruled = ask.wishes.data_class, ask.caller.data_class
    if said is None or ruled is None:
        return said or ruled
    return max(said, ruled, key=STRICTNESS.index)
