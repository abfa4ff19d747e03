"""Policy executor: performs the moves of a policy for one request and reports every attempt once.

Invariants: an attempt is reported exactly once; a held reply is not sent unless the policy returns it; nothing starts
over once the client has seen content; if the client leaves, every attempt is cancelled. Only one attempt at a time
uses the client's `send`, and attempts are reported after all have ended, so no lock is needed around it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from time import perf_counter, time

import msgspec

from sizewise.errors import BudgetExceeded, UpstreamTimeout
from sizewise.handler import Request
from sizewise.messages import ChatRequest, MediaRequest, Reply
from sizewise.model_card import ModelCard
from sizewise.money import format_dollars
from sizewise.routing.attempt_limits import AttemptLimits
from sizewise.routing.attempt_record import AttemptRecord, total_cost
from sizewise.routing.attempt_runner import AttemptRunner, HedgeGroup, wait_for_progress
from sizewise.routing.client_reply import ClientReply
from sizewise.routing.context_fit import fits_context
from sizewise.routing.deadlines import TimeForecast, time_limit
from sizewise.routing.learned_judge import answer_signals
from sizewise.routing.llm_verifier import lower_verdict
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.pace import ModelPaces
from sizewise.routing.policy import (
    Attempt,
    AttemptOutcome,
    Candidates,
    Hedge,
    Judge,
    JudgeReplies,
    Move,
    MoveResult,
    Parallel,
    RequestFeatures,
    Resume,
    Verdict,
)
from sizewise.routing.request_rewrite import resume_request
from sizewise.routing.requirements import BYTES_PER_TOKEN, Requirements, expected_cost
from sizewise.routing.run_all import run_all
from sizewise.routing.structured_output import repair_request

MAX_PAUSE_S = 60.0  # before an attempt, seconds


class PolicyExecution:
    """The execution of a policy for one request."""

    __slots__ = (
        *(
            "_request",
            "_runner",
            "_candidates",
            "_client_reply",
            "_judge",
            "_client_left",
            "_requirements",
            "_blocked_error",
            "_plan",
            "_repaired",
        ),
        *("_limits", "_forecast"),
    )

    def __init__(
        self,
        *,
        judge: Judge,
        plan: RoutePlan,
        requirements: Requirements,
        candidates: Candidates,
        request: Request,
        client_reply: ClientReply,
        runner: AttemptRunner,
        limits: AttemptLimits,
        forecast: TimeForecast,
    ) -> None:
        self._limits = limits
        self._forecast = forecast
        self._judge = judge
        self._plan = plan
        self._requirements = requirements
        self._candidates = candidates
        self._request = request
        self._client_reply = client_reply
        self._runner = runner
        self._blocked_error: BudgetExceeded | UpstreamTimeout | None = None  # why an attempt was not made
        self._repaired = False  # a request is repaired only once
        self._client_left = False  # before the end

    async def run(self, first_attempt: AttemptRecord | None = None) -> Reply:
        """`first_attempt`: the finished attempt of the policy's first move, if already made."""
        route = self._plan.policy.route(self._requirements.features, self._candidates)
        told: MoveResult | None = None
        try:
            if first_attempt is not None:
                next(route)
                told = self._outcome(first_attempt)
            while True:
                try:
                    move = route.send(told)  # type: ignore[arg-type]  # a generator starts with None
                except StopIteration as stop:
                    outcome: AttemptOutcome = stop.value
                    break
                told = await self._perform_move(move)
            return await self._client_reply.finish(outcome, self._blocked_error)
        except asyncio.CancelledError:
            self._client_left = True
            raise
        finally:
            try:
                route.close()
            finally:
                await report_attempts(self._client_reply, self._client_left, self._forecast.paces)

    def _perform_move(self, move: Move) -> Awaitable[MoveResult]:
        if isinstance(move, JudgeReplies):
            return self._judge_replies(move)
        if isinstance(move, Resume):
            return self._resume(move)
        if self._client_reply.delivered is not None:
            raise self._client_reply.already_answered_error()
        if isinstance(move, Attempt):
            return self._attempt(move)
        if isinstance(move, Hedge):
            return self._hedge(move)
        if isinstance(move, Parallel):
            return self._parallel(move)
        raise self._client_reply.policy_fault(f"yields a {type(move).__name__}, which is not a move")

    # ---- moves ------------------------------------------------------------------------------------------------------

    async def _attempt(self, move: Attempt) -> AttemptOutcome:
        pause = move.delay_s
        if move.jitter_s > 0:
            pause += move.jitter_s * self._limits.draw()
        failed = self._failed_attempt(move.card) if self._client_reply.attempts else None
        if failed is not None and pause >= self._runner.remaining_s():
            return self._outcome(failed)
        if pause > 0:
            await asyncio.sleep(min(pause, MAX_PAUSE_S, self._runner.remaining_s()))
        if failed is not None and not self._limits.may_retry(move.card):
            return self._outcome(failed)
        if self._is_blocked(move.card):
            return self._blocked_outcome(move)
        one = self._begin(move.card, move.why)
        one.limit_s, one.threshold = self._time_limit(move), move.threshold
        await self._runner(one, move)
        return self._outcome(one if one.violation is None else await self._repair_output(one, move))

    async def _parallel(self, move: Parallel) -> tuple[AttemptOutcome, ...]:
        made = [None if self._is_blocked(each.card) else self._begin(each.card, each.why) for each in move.attempts]
        pairs = list(zip(made, move.attempts, strict=True))
        for one, each in pairs:
            if one is not None:
                one.limit_s, one.threshold = self._time_limit(each), each.threshold
        held = [(one, msgspec.structs.replace(each, stream_mode="hold")) for one, each in pairs if one is not None]
        await run_all([self._runner(one, each) for one, each in held])
        return tuple(self._blocked_outcome(each) if one is None else self._outcome(one) for one, each in pairs)

    async def _hedge(self, move: Hedge) -> AttemptOutcome:
        race = HedgeGroup()
        last: AttemptOutcome | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for each in move.attempts:
                    if self._is_blocked(each.card):
                        last = self._blocked_outcome(each)
                        continue
                    one = self._begin(each.card, each.why)
                    race.attempts[group.create_task(self._runner(one, each, race))] = one
                    if move.delay_s > 0:
                        await wait_for_progress(race, move.delay_s)
                    if race.winner.done():
                        break
        except BaseExceptionGroup as faults:
            raise faults.exceptions[0] from None
        if race.winner.done():
            return self._outcome(race.winner.result())
        if race.attempts:
            one = [*race.attempts.values()][-1]
            return self._outcome(
                one if one.violation is None else await self._repair_output(one, Attempt(one.card, one.why)),
            )
        if last is None:
            raise self._client_reply.policy_fault("yields a Race without models")
        return last

    async def _resume(self, move: Resume) -> AttemptOutcome:
        broken, what = self._client_reply.delivered, self._request.payload
        allowed = (
            broken is not None
            and broken.reply is None
            and self._requirements.features.is_plain_text
            and move.card.prefill
        )
        if broken is None or not allowed or not isinstance(what, ChatRequest) or move.prefix != broken.resumable_text:
            raise self._client_reply.policy_fault(
                "yields a Resume although no answer that can be resumed was interrupted"
            )
        if self._is_blocked(move.card):
            return self._outcome(broken)
        one = self._begin(move.card, move.why)
        one.resumed_from = move.prefix
        chat = resume_request(what, move.prefix, len(move.prefix) // 4)
        await self._runner(one, Attempt(move.card, move.why), chat=chat)
        return self._outcome(one)

    async def _judge_replies(self, move: JudgeReplies) -> Verdict:
        """Stores the verdict in the attempts whose replies were judged."""
        verdict = self._judge(self._requirements.features, move.replies)
        if (by := move.verifier) is not None and verdict.score != 0:
            best = move.replies[verdict.best_index]
            verdict = lower_verdict(
                verdict,
                await self._runner.ask_verifier(by, best, partial(self._begin_verification, by)),
            )
        if move.prior is not None:
            chance = move.prior.chance(answer_signals(move.replies[verdict.best_index]))
            verdict = msgspec.structs.replace(verdict, chance=chance)
        for one in self._client_reply.attempts:
            if any(one.reply is reply for reply in move.replies):
                one.score, one.chance, one.verdict_why = verdict.score, verdict.chance, verdict.why
        return verdict

    def _begin_verification(self, card: ModelCard) -> AttemptRecord | None:
        return None if self._is_blocked(card) else self._begin(card, "verifies the answer")

    async def _repair_output(self, attempt: AttemptRecord, move: Attempt) -> AttemptRecord:
        """Shows the model how its answer violates the schema, and asks once more: once per request, within its limits.

        Returns the attempt that counts: the second, or the first if the second failed.
        """
        breach, what = attempt.violation, self._request.payload
        if (
            breach is None
            or self._repaired
            or self._client_reply.delivered is attempt
            or not isinstance(what, ChatRequest)
        ):
            return attempt
        more, question = breach.size // BYTES_PER_TOKEN, self._requirements.features
        question = msgspec.structs.replace(question, prompt_tokens=question.prompt_tokens + more)
        if self._is_blocked(attempt.card, question) or not fits_context(attempt.card, question):
            return attempt
        self._repaired = True
        again = self._begin(attempt.card, f"{attempt.card.name} violated the schema ({breach.keyword}); retried once")
        again.extra_tokens = more
        await self._runner(again, move, chat=repair_request(what, breach))
        return attempt if again.error is not None else again

    # ---- one attempt ------------------------------------------------------------------------------------------------

    def _begin(self, card: ModelCard, why: str) -> AttemptRecord:
        for candidate in self._candidates:
            if candidate.card is card:
                break
        else:
            raise self._client_reply.policy_fault(f"uses {card.name}, which is not among the candidates")
        one = begin_attempt(card, why, self._client_reply, self._request)
        if card.price.unpriced_modalities:
            one.modalities = self._requirements.modalities
        return one

    def _time_limit(self, move: Attempt) -> float | None:
        """Seconds that the attempt may take of the request's own deadline; None: all that is left."""
        if self._forecast.left_s is None:
            return None
        made = {one.card.name for one in self._client_reply.attempts} | {move.card.name}
        others = (each for each in self._candidates if each.card.name not in made)
        return time_limit(move, others, self._runner.remaining_s(), self._forecast, self._requirements.features)

    # ---- accounting -------------------------------------------------------------------------------------------------

    def _outcome(self, attempt: AttemptRecord) -> AttemptOutcome:
        return attempt.to_outcome(
            self._requirements.features.prompt_tokens,
            self._client_reply.delivered is attempt or bool(attempt.resumed_from),
        )

    def _failed_attempt(self, card: ModelCard) -> AttemptRecord | None:
        """The last attempt at `card`, if it failed."""
        last = next((one for one in reversed(self._client_reply.attempts) if one.card is card), None)
        return last if last is not None and last.error is not None else None

    def _is_blocked(self, card: ModelCard, features: RequestFeatures | None = None) -> bool:
        """Whether an attempt at `card` would be too late, or could exceed the maximum cost of the request."""
        if not self._client_reply.attempts:
            return False  # the constraints have checked the first
        if self._runner.remaining_s() == 0:
            given = self._runner.deadline - self._request.started_at
            self._blocked_error = UpstreamTimeout(
                f"the request's timeout of {given:g} seconds has passed",
                "raise the timeout, or try again later",
            )
            return True
        limit = self._requirements.max_cost
        if limit is None:
            return False
        sums = total_cost(self._client_reply.attempts, self._requirements.features)
        more = expected_cost(card, features or self._requirements.features) or 0
        if sums + more <= limit:
            return False
        self._blocked_error = BudgetExceeded(
            f"{format_dollars(sums)} dollars are spent, and {card.name} could cost {format_dollars(more)} more; "
            f"the request allows {format_dollars(limit)}",
            "raise the maximum cost, or request fewer tokens",
        )
        return True

    def _blocked_outcome(self, move: Attempt) -> AttemptOutcome:
        assert self._blocked_error is not None
        return AttemptOutcome(
            move.card,
            error=self._blocked_error.code,
            message=self._blocked_error.message,
            why=move.why,
        )


def begin_attempt(card: ModelCard, why: str, client_reply: ClientReply, request: Request) -> AttemptRecord:
    """A new attempt, added to the attempts of the request."""
    one = AttemptRecord(len(client_reply.attempts) + 1, card, why, perf_counter() - request.started_at)
    if card.price.schedule:
        one.price_time = time()
    if isinstance(request.payload, MediaRequest):
        one.media = request.payload
    client_reply.attempts.append(one)
    return one


async def report_attempts(client_reply: ClientReply, client_left: bool, paces: ModelPaces) -> None:
    """Sends one AttemptFinished per call of each attempt, whatever happened, and measures the model's pace by it.
    `client_left`: before the end.
    """
    cancelled: asyncio.CancelledError | None = None
    for one in client_reply.attempts:
        if not one.was_sent:
            continue  # its hedge was won before it started
        if one.result == "answered" and one is not client_reply.delivered:
            one.result = client_reply.discarded_result(one, client_left)
        for call in one.calls_made() if one.calls else (one,):
            event = call.to_event(client_reply.prompt_tokens)
            if one.media is None:  # a pace in tokens says nothing of audio and images
                paces[event.model].finished.append(event)
            try:
                await client_reply.send(event)
            except asyncio.CancelledError as error:
                cancelled = error  # report the others anyway
    for one in client_reply.attempts:
        if one.error is not None or one.calls:
            one.forget_error()  # its traceback refers to this frame: a reference cycle
    if cancelled is not None:
        raise cancelled
