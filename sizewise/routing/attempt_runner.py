"""Attempt runner: one call to one model with its timeout, holding or relaying the stream. Does no accounting.

Besides executor.py, choice_calls.py and run_all.py the only file here that may use the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from time import perf_counter

import msgspec

from sizewise.attempt_progress import ProgressUpdate
from sizewise.deadline import Deadline
from sizewise.errors import SizewiseError, UpstreamTimeout
from sizewise.handler import ConnectModel, Request, Send
from sizewise.messages import ChatRequest, Reply
from sizewise.model_card import ModelCard
from sizewise.routing.attempt_limits import SpendLimiter, SpendReservation
from sizewise.routing.attempt_record import AttemptRecord
from sizewise.routing.choice_calls import ChoiceCalls
from sizewise.routing.client_reply import ClientReply
from sizewise.routing.effort import with_effort
from sizewise.routing.llm_verifier import parse_verification, verification_request
from sizewise.routing.policy import Attempt, Verdict
from sizewise.routing.request_rewrite import with_logprobs, with_token_limit
from sizewise.routing.stream_relay import holding_send, passing_send, recording_send
from sizewise.routing.structured_output import OutputSchema

FAST_START_S = 1.0  # seconds from arrival to the first attempt; a slower one gets a timer of its own


class HedgeGroup:
    """Attempts in a race; the first with content wins and cancels the others."""

    __slots__ = ("attempts", "winner")

    def __init__(self) -> None:
        self.attempts: dict[asyncio.Task[None], AttemptRecord] = {}
        self.winner: asyncio.Future[AttemptRecord] = asyncio.get_running_loop().create_future()

    def claim_win(self, attempt: AttemptRecord) -> bool:
        if not self.winner.done():
            self.winner.set_result(attempt)
            for task, other in self.attempts.items():
                if other is not attempt:
                    task.cancel()
        return self.winner.result() is attempt

    def has_lost(self, attempt: AttemptRecord) -> bool:
        return self.winner.done() and self.winner.result() is not attempt


class AttemptRunner:
    """`await runner(attempt, move)` makes one attempt. `deadline`: time.perf_counter() at the end of the request.
    `total_timeout`: the timer shared by first attempts. `output_schema`: the JSON schema that every reply is checked
    against. `spend_limiter`: reserves the worst-case cost before an attempt, and settles the actual cost however it
    ended.
    """

    __slots__ = (
        "_client_reply",
        "_connect",
        "_output_schema",
        "_request",
        "_spend_limiter",
        "_streams",
        "_total_timeout",
        "deadline",
    )

    def __init__(
        self,
        *,
        connect: ConnectModel,
        request: Request,
        client_reply: ClientReply,
        output_schema: OutputSchema | None,
        total_timeout: Deadline,
        deadline: float,
        spend_limiter: SpendLimiter,
    ) -> None:
        self._spend_limiter = spend_limiter
        self._connect = connect
        self._request = request
        self._client_reply = client_reply
        self._output_schema = output_schema
        self._streams = isinstance(request.payload, ChatRequest) and request.payload.stream
        self._total_timeout = total_timeout
        self.deadline = deadline

    def __call__(
        self,
        attempt: AttemptRecord,
        move: Attempt,
        hedge_group: HedgeGroup | None = None,
        chat: ChatRequest | None = None,
    ) -> Coroutine[object, object, None]:
        """Makes one attempt. Records the outcome in `attempt`; raises only what is not the model's failure."""
        lease = self._spend_limiter.reserve(self._request.principal, attempt.card, chat or self._request.payload)
        if lease is None:
            return self._run(attempt, move, hedge_group, chat)
        return self._run_reserved(lease, attempt, move, hedge_group, chat)

    async def _run_reserved(
        self,
        reservation: SpendReservation,
        attempt: AttemptRecord,
        move: Attempt,
        hedge_group: HedgeGroup | None,
        chat: ChatRequest | None,
    ) -> None:
        try:
            if not reservation.try_acquire():
                await reservation.acquire()
        except SizewiseError as error:
            attempt.error = error  # never sent, so it is not reported
            return
        asked = chat or self._request.payload
        if reservation.max_tokens is not None and isinstance(asked, ChatRequest):
            chat = with_token_limit(asked, reservation.max_tokens)
        try:
            await self._run(attempt, move, hedge_group, chat)
        finally:
            usage, cost = attempt.usage_and_cost(self._client_reply.prompt_tokens)
            reservation.settle(cost, usage.input + usage.output)

    async def _run(
        self,
        attempt: AttemptRecord,
        move: Attempt,
        hedge_group: HedgeGroup | None,
        chat: ChatRequest | None,
    ) -> None:
        request, held, clock = self._request, move.stream_mode == "hold", None
        attempt.was_sent, attempt.result = True, "failed"  # until it succeeds
        asked = chat or request.payload
        if attempt.card.effort is not None and isinstance(asked, ChatRequest):
            chat = asked = with_effort(asked, attempt.card.effort)
        if held and attempt.card.logprobs and isinstance(asked, ChatRequest) and not asked.logprobs:
            chat, attempt.added_logprobs = with_logprobs(asked), True
        if chat is not None:
            request = msgspec.structs.replace(request, payload=chat)
        limit = self._limit(attempt, move)
        if limit is None:
            self._total_timeout.begin(self._request.started_at)
        try:
            if request.options.progress:
                await self._client_reply.send(progress_of(attempt, held))
            answerer = self._connect(attempt.card)
            if type(asked) is ChatRequest and asked.n > 1 and attempt.card.makes_single_choices:
                answerer = ChoiceCalls(answerer, attempt, self._client_reply.prompt_tokens + attempt.extra_tokens)
            if limit is None:
                attempt.reply = await answerer(request, self._relay(attempt, held, hedge_group))
            else:
                async with asyncio.timeout(limit) as clock:
                    lifted = clock if move.stream_mode != "hold" else None
                    attempt.reply = await answerer(request, self._relay(attempt, held, hedge_group, lifted))
            if self._output_schema is not None and not attempt.is_verification:
                self._check_output(attempt, self._output_schema)
            attempt.result = "answered"
            if hedge_group is not None and not hedge_group.claim_win(attempt):
                attempt.result = "lost_race"
            elif not held:
                self._client_reply.delivered = attempt
        except SizewiseError as error:
            attempt.error = error
        except TimeoutError as error:
            if clock is None or not clock.expired():
                raise  # not our timer: an exception of the handler
            attempt.error = self._timeout_error(attempt, move)
            attempt.error.__cause__ = error
        except asyncio.CancelledError as error:
            if limit is None and self._total_timeout.expired():
                attempt.error = self._timeout_error(attempt, move)
                attempt.error.__cause__ = error
                return
            attempt.result = "lost_race" if hedge_group is not None and hedge_group.has_lost(attempt) else "cancelled"
            raise
        finally:
            if limit is None:
                self._total_timeout.end()
            attempt.ended_at = perf_counter() - self._request.started_at

    async def ask_verifier(
        self,
        verifier: ModelCard,
        reply: Reply,
        begin_attempt: Callable[[], AttemptRecord | None],
    ) -> Verdict:
        """The verdict of `verifier` on `reply`, asked twice, with the possible verdicts in both orders. `begin_attempt`
        returns None if no further attempt is allowed.
        """
        what, said = self._request.payload, list[Reply | None]()
        for turned in (False, True):
            one = begin_attempt() if isinstance(what, ChatRequest) else None
            if one is None:
                break
            one.is_verification = True
            assert isinstance(what, ChatRequest)
            await self(one, Attempt(verifier, one.why, "hold"), chat=verification_request(what, reply, turned))
            if one.reply is None:
                break
            one.result = "judged"
            said.append(one.reply)
        first, second, *_ = (*said, None, None)
        return parse_verification(verifier.name, first, second)

    def _check_output(self, attempt: AttemptRecord, output_schema: OutputSchema) -> None:
        """Raises InvalidOutput if the reply violates the schema."""
        assert attempt.reply is not None
        attempt.violation = output_schema.find_violation(attempt.reply, attempt.held_events)
        if attempt.violation is not None:
            attempt.result = "failed" if self._client_reply.delivered is attempt else "distrusted"
            raise attempt.violation.error(attempt.card)

    def _limit(self, attempt: AttemptRecord, move: Attempt) -> float | None:
        """Seconds until an unfinished attempt fails: the hold timeout of the move, within the request's deadline and
        what that leaves to the next model. None: the shared timer of first attempts suffices.
        """
        if attempt.limit_s is not None:
            return min(self.remaining_s(), move.hold_timeout_s, attempt.limit_s)
        if move.stream_mode != "stream":
            return min(self.remaining_s(), move.hold_timeout_s)
        usual = (
            attempt.number == 1 and attempt.started_at < FAST_START_S and self._request.options.max_latency_ms is None
        )
        return None if usual else self.remaining_s()

    def remaining_s(self) -> float:
        return max(0.0, self.deadline - perf_counter())

    def _timeout_error(self, attempt: AttemptRecord, move: Attempt) -> UpstreamTimeout:
        if attempt.limit_s is not None and self.remaining_s() > 0:
            words = f"did not answer within {attempt.limit_s:.1f} seconds: the rest is for another model"
        elif move.stream_mode == "stream" or self.remaining_s() == 0:
            words = f"did not finish within the request's {self.deadline - self._request.started_at:g} seconds"
        else:
            words = f"did not answer within {move.hold_timeout_s:g} seconds"
        own = self._request.options.max_latency_ms
        hint = (
            "try again later"
            if own is None
            else f"allow more than {own} ms, set a lower `max_tokens`, or try again later"
        )
        return UpstreamTimeout(f"{attempt.card.name} {words}", hint)

    def _relay(
        self,
        attempt: AttemptRecord,
        is_held: bool,
        hedge_group: HedgeGroup | None,
        timeout: asyncio.Timeout | None = None,
    ) -> Send:
        promise, what = self._output_schema, self._request.payload
        if (
            promise is not None
            and isinstance(what, ChatRequest)
            and not attempt.is_verification
            and not promise.is_enforced_by(attempt.card, what)
        ):
            is_held, hedge_group = True, None  # until it is checked; only then is the winner of a race known
        begins, send = partial(self._on_first_event, attempt, hedge_group, timeout), self._client_reply.send
        if not self._streams:
            return recording_send(attempt, begins, send)
        return (
            holding_send(attempt, begins, send)
            if is_held
            else passing_send(attempt, begins, self._client_reply.begin_delivery, send)
        )

    def _on_first_event(
        self,
        attempt: AttemptRecord,
        hedge_group: HedgeGroup | None,
        timeout: asyncio.Timeout | None,
    ) -> None:
        """Records the time of the first content event; in a race, cancels an attempt that has lost."""
        if not attempt.has_content:
            attempt.has_content = True
            if attempt.first_token_at is None:  # else the model has reported it
                attempt.first_token_at = perf_counter() - self._request.started_at
            if timeout is not None:
                timeout.reschedule(asyncio.get_running_loop().time() + self.remaining_s())
        if hedge_group is not None and not hedge_group.claim_win(attempt):
            raise asyncio.CancelledError


def progress_of(attempt: AttemptRecord, held: bool) -> ProgressUpdate:
    if attempt.is_verification:
        return ProgressUpdate("verification", attempt.card.name, attempt.why)
    return ProgressUpdate("attempt", attempt.card.name, attempt.why, held)


async def wait_for_progress(hedge_group: HedgeGroup, seconds: float) -> None:
    """Waits until an attempt has won or failed, or `seconds` are over."""
    running = [task for task in hedge_group.attempts if not task.done()]
    if running:
        first: set[asyncio.Future[AttemptRecord] | asyncio.Task[None]] = {hedge_group.winner, *running}
        await asyncio.wait(first, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
