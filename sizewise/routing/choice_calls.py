"""Choice calls: `n` choices of a model that makes one per call, as `n` calls whose replies become one.

Each call is recorded and billed by itself. Knows no policy: to it, this is one attempt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter

from msgspec import structs

from sizewise.attempt_progress import AttemptStage
from sizewise.errors import SizewiseError
from sizewise.handler import Event, Handler, Request, Send
from sizewise.messages import NO_USAGE, ChatRequest, Choice, Reply
from sizewise.routing.attempt_record import AttemptRecord
from sizewise.routing.request_rewrite import single_choice_request
from sizewise.routing.run_all import run_all
from sizewise.routing.stream_relay import SIDE_EVENTS, record_event

CALLS_AT_ONCE = 4
"""Calls for one request that are with the model at a time."""


class ChoiceCalls:
    """A handler that calls `handler` once for each choice. The first error cancels the other calls and is raised.

    `attempt`: gets a record of each call. `prompt_tokens`: the estimate for the prompt, for replies without usage.
    """

    def __init__(self, handler: Handler, attempt: AttemptRecord, prompt_tokens: int) -> None:
        self._handler = handler
        self._attempt = attempt
        self._prompt_tokens = prompt_tokens
        self._places = asyncio.Semaphore(CALLS_AT_ONCE)
        self._sending = asyncio.Lock()

    async def __call__(self, request: Request, send: Send) -> Reply:
        chat = request.payload
        assert isinstance(chat, ChatRequest)
        calls = self._attempt.calls = [self._attempt.call(f"choice {i + 1} of {chat.n}") for i in range(chat.n)]
        await run_all([self._call(one, number, request, chat, send) for number, one in enumerate(calls)])
        return self._merge(calls)

    async def _call(self, one: AttemptRecord, number: int, request: Request, chat: ChatRequest, send: Send) -> None:
        async with self._places:
            one.was_sent, one.result = True, "failed"  # until it succeeds
            one.started_at = perf_counter() - request.started_at
            try:
                asked = _with_payload(request, single_choice_request(chat, number))
                one.reply = await self._handler(asked, self._relay(one, number, request.started_at, send))
                one.result = "answered"
            except SizewiseError as error:
                one.error = error
                raise
            except asyncio.CancelledError:
                one.result = "cancelled"
                raise
            finally:
                one.ended_at = perf_counter() - request.started_at

    def _relay(self, one: AttemptRecord, number: int, started_at: float, send: Send) -> Send:
        async def relay(event: Event) -> None:
            if isinstance(event, AttemptStage) and event.stage == "energy":
                return one.record_stage(event)
            if not isinstance(event, SIDE_EVENTS):
                if one.first_token_at is None:
                    one.first_token_at = perf_counter() - started_at
                record_event(one, event)
                event = structs.replace(event, choice=number, frame=None)  # the upstream's chunk has another number
            async with self._sending:  # a `send` is for one caller at a time
                await send(event)

        return relay

    def _merge(self, calls: Sequence[AttemptRecord]) -> Reply:
        replies = [one.reply for one in calls if one.reply is not None]
        choices = [
            structs.replace(reply.choices[0] if reply.choices else Choice(), index=number)
            for number, reply in enumerate(replies)
        ]
        usage = sum((one.usage_and_cost(self._prompt_tokens)[0] for one in calls), start=NO_USAGE)
        return Reply(tuple(choices), usage, replies[0].model, replies[0].id)


def _with_payload(request: Request, chat: ChatRequest) -> Request:
    """A prompt that guardrails have found clean need not be scanned again for each call."""
    scan = request.scan
    if scan is not None and scan.clean and scan.payload is request.payload:
        scan = structs.replace(scan, payload=chat)
    return structs.replace(request, payload=chat, scan=scan)
