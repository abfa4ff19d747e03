"""Shadow run of a canary: it answers copies of some of stable's requests; nobody sees those answers.

A request is drawn by chance, at most one of a session, and none that a flow with a node that may act answers. The copy
runs after stable's answer has gone out, and none begins once a day's budget is spent. It is a request of its own:
data classes, limits and records apply to it. Of each pair outcomes, times and costs are stored, and the verdict of a
judge that does not know which answer is which; no text.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from sizewise.errors import BudgetExceeded, SizewiseError
from sizewise.evals.daily_budget import DailyBudget
from sizewise.evals.llm_judge import signed_preference
from sizewise.evals.shadow_requests import is_comparable, judge_request, shadow_request
from sizewise.handler import AttemptFinished, Event, Handler, Request, Send
from sizewise.messages import ChatRequest, Reply
from sizewise.money import PICO_PER_DOLLAR
from sizewise.releases.canary import tables
from sizewise.releases.canary.tables import OPEN_STATES, SHADOW, Canary, CanaryPair
from sizewise.releases.canary.unit_queries import error_of, first_id
from sizewise.request_origin import ReleaseLabel
from sizewise.routing.text.transcript import answer_text, question_text
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner

log = logging.getLogger("sizewise.releases")

Place = tuple[str, str, str]
MAX_RUNNING = 4
"""Pairs in progress in this process."""
KEPT_SESSIONS = 10_000
FLOW = "flow:"
METADATA = "metadata"
SHADOW_ARM = "shadow"
"""Of the records of copies: they are of no arm that is compared."""


class ArmAnswer(Struct):
    """How one arm answered. `cost`: pico-dollars, None if unknown. `reply`: None: it failed."""

    error: float = 0.0
    total_ms: float = 0.0
    cost: int | None = 0
    reply: Reply | None = None


class CanaryShadow:
    """One per process; outlives reloads. Not thread-safe: use it on the event loop."""

    def __init__(
        self,
        *,
        read: TransactionRunner,
        write: AsyncTransactionRunner,
        numbers: Iterator[int],
        handler_of: Callable[[Place, str], Awaitable[Handler]],
        acting_node: Callable[[Place, str, str], Awaitable[str]],
        judge: Callable[[], Handler],
        draw: Callable[[], float],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`numbers`: ids of records. `handler_of`: of a release, by place and hash. `acting_node`: of its flow, which
        is not run twice if it has one. `judge`: what answers a judge's prompts. `draw` returns a random number from 0
        to 1. `clock`: unix seconds.
        """
        self._read = read
        self._write = write
        self._numbers = numbers
        self._handler_of = handler_of
        self._acting_node = acting_node
        self._judge = judge
        self._draw = draw
        self._budget = DailyBudget(lambda since: read(lambda c: tables.pairs_cost(c, first_id(since))), clock)
        self._canaries: dict[Place, Canary] = {}
        self._sessions: OrderedDict[tuple[int, str], None] = OrderedDict()
        self.tasks: set[asyncio.Task[None]] = set()

    async def refresh(self) -> None:
        """Learns which canaries want pairs. Raises StorageError."""
        found = await asyncio.to_thread(self._read, tables.open_canaries)
        self._canaries = {each.place: each for each in found if self._wants_pairs(each)}

    def _wants_pairs(self, canary: Canary) -> bool:
        """In its shadow run; after that for the sake of its quality alone."""
        return canary.state in OPEN_STATES and (canary.state == SHADOW or bool(canary.settings.judge))

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def observing(self, handler: Handler, place: Place) -> Handler:
        """Stable's `handler`, of which some requests are copied."""

        async def call(request: Request, send: Send) -> Reply:
            canary = self._canaries.get(place)
            if canary is None or not self._takes(canary, request):
                return await handler(request, send)
            seen, begun = ArmAnswer(), time.perf_counter()
            try:
                seen.reply = await handler(request, _counting(seen, send))
                return seen.reply
            except SizewiseError as error:
                seen.error = error_of(error.status)
                raise
            finally:
                seen.total_ms = (time.perf_counter() - begun) * 1e3
                if seen.reply is not None or seen.error:  # otherwise the client has left
                    self._start(canary, request, seen)

        return call

    def _takes(self, canary: Canary, request: Request) -> bool:
        if self._draw() >= canary.settings.shadow_rate or len(self.tasks) >= MAX_RUNNING:
            return False
        if not is_comparable(request):
            return False
        if not self._left(canary):
            return False
        if session := request.options.session:
            key = canary.number, session
            if key in self._sessions:
                return False
            self._sessions[key] = None
            if len(self._sessions) > KEPT_SESSIONS:
                self._sessions.popitem(last=False)
        return True

    def _left(self, canary: Canary) -> int:
        """Pico-dollars of today's budget."""
        return self._budget.remaining(round(canary.settings.shadow_usd_per_day * PICO_PER_DOLLAR))

    def _start(self, canary: Canary, request: Request, stable: ArmAnswer) -> None:
        task = asyncio.get_running_loop().create_task(self._pair(canary, request, stable))
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            code = fault.code if isinstance(fault, SizewiseError) else type(fault).__name__
            log.error("a pair of a shadow run failed: %s", code)

    async def _pair(self, canary: Canary, request: Request, stable: ArmAnswer) -> None:
        if not await self._may_copy(canary, request.payload.model):
            return
        answered = await self._answer(canary, request)
        if answered is None:
            return
        worse, spent = await self._compare(canary, request, stable, answered)
        pair = CanaryPair(
            number=next(self._numbers),
            canary=canary.number,
            trace=request.trace_id,
            stable_error=stable.error,
            canary_error=answered.error,
            stable_ms=stable.total_ms,
            canary_ms=answered.total_ms,
            stable_cost=stable.cost,
            canary_cost=answered.cost,
            worse=worse,
            spent=(answered.cost or 0) + spent,
        )
        await self._write(lambda c: tables.insert_pair(c, canary.tenant, pair))

    async def _may_copy(self, canary: Canary, model: str) -> bool:
        if not model.startswith(FLOW):
            return True
        try:
            return not await self._acting_node(canary.place, canary.release, model.removeprefix(FLOW))
        except SizewiseError:  # it has no such flow: its answer says so
            return True

    async def _answer(self, canary: Canary, request: Request) -> ArmAnswer | None:
        """The canary's answer; None if the budget does not allow it."""
        seen, begun = ArmAnswer(), time.perf_counter()
        copy = shadow_request(
            request, request.payload.model, begun, None
        )  # a limit would refuse models without a price
        if request.payload.model.startswith(FLOW) and METADATA in request.payload.fields:  # inputs of a flow by name
            fields = copy.payload.fields | {METADATA: request.payload.fields[METADATA]}
            copy = replace(copy, payload=replace(copy.payload, fields=fields))
        copy = replace(copy, release=ReleaseLabel(canary.environment, canary.release, SHADOW_ARM))
        try:
            handler = await self._handler_of(canary.place, canary.release)
            seen.reply = await handler(copy, _counting(seen, _discard))
        except BudgetExceeded:
            self._budget.exhaust()
            return None
        except SizewiseError as error:
            seen.error = error_of(error.status)
            if not seen.error:  # a limit, not the release
                return None
        finally:
            self._budget.spend(seen.cost or 0)
        seen.total_ms = (time.perf_counter() - begun) * 1e3
        return seen

    async def _compare(
        self, canary: Canary, request: Request, stable: ArmAnswer, answered: ArmAnswer
    ) -> tuple[float | None, int]:
        """The judge's verdict, -1..1, and its cost in pico-dollars."""
        judged = ArmAnswer()
        if not canary.settings.judge or stable.reply is None or answered.reply is None:
            return None, 0
        assert isinstance(request.payload, ChatRequest)

        async def ask(prompt: str) -> str:
            asked = judge_request(request, canary.settings.judge, prompt, time.perf_counter(), None)
            return (await self._judge()(asked, _counting(judged, _discard))).text

        texts = answer_text(answered.reply), answer_text(stable.reply)
        try:
            worse = await signed_preference(ask, question_text(request.payload), *texts)
        except SizewiseError as error:
            if isinstance(error, BudgetExceeded):
                self._budget.exhaust()
            worse = None
        self._budget.spend(judged.cost or 0)
        return worse, judged.cost or 0


def _counting(seen: ArmAnswer, send: Send) -> Send:
    async def on_event(event: Event) -> None:
        if isinstance(event, AttemptFinished):
            seen.cost = None if seen.cost is None or event.cost is None else seen.cost + event.cost
        await send(event)

    return on_event


async def _discard(event: Event) -> None:
    return None
