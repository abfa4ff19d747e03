"""Client reply: the model announced to the client, what the client has seen, and the reply or error it gets.

Does not know how an answer was made. Sends only what the policy has returned or streamed.
"""

from __future__ import annotations

import msgspec

from sizewise.errors import SizewiseError
from sizewise.handler import AttemptResult, ModelSelected, Send
from sizewise.messages import Reply
from sizewise.routing.attempt_record import AttemptRecord, error_class, stream_cut_error, with_estimated_usage
from sizewise.routing.data_policy import DataPolicyDecision
from sizewise.routing.freshness import freshness_warning
from sizewise.routing.policy import AttemptOutcome
from sizewise.routing.request_rewrite import join_reply, mark_degraded, reply_without_logprobs, without_logprobs
from sizewise.routing.text.time_references import NO_REFERENCE, TimeReference


class ClientReply:
    """`prompt_tokens`: the estimate for the prompt, for replies without usage. `asked_time`: that of the question,
    as of `today`.
    `compacted`: as in ModelSelected.
    """

    __slots__ = (
        "_asked_time",
        "_compacted",
        "_data_decision",
        "_policy",
        "_today",
        "announced",
        "attempts",
        "delivered",
        "prompt_tokens",
        "send",
    )

    def __init__(
        self,
        send: Send,
        policy: str,
        prompt_tokens: int,
        data_decision: DataPolicyDecision,
        *,
        asked_time: TimeReference = NO_REFERENCE,
        today: str = "",
        compacted: str = "",
    ) -> None:
        self.send = send
        self._asked_time = asked_time
        self._today = today
        self._compacted = compacted
        self._policy = policy
        self._data_decision = data_decision
        self.prompt_tokens = prompt_tokens
        self.attempts: list[AttemptRecord] = []
        self.announced = False  # ModelSelected was sent
        self.delivered: AttemptRecord | None = None  # the attempt that the client has seen, or that answered unheld

    async def begin_delivery(self, attempt: AttemptRecord) -> None:
        """Called before the client sees the first event of `attempt`."""
        self.delivered = attempt  # before anything is sent, which cannot be withdrawn
        if not self.announced:
            await self._announce(attempt, attempt.why)

    async def finish(self, outcome: AttemptOutcome, blocked_attempt_error: SizewiseError | None) -> Reply:
        """Delivers the policy's outcome: returns the reply after its held events, or raises its error, which may be
        `blocked_attempt_error`.
        """
        if not isinstance(outcome, AttemptOutcome) or not 0 <= outcome.attempt_number <= len(self.attempts):
            raise self.policy_fault("does not return any of its outcomes")
        one = self.attempts[outcome.attempt_number - 1] if outcome.attempt_number else None
        if self.delivered is not None and self.delivered is not one:
            raise self.already_answered_error()
        if one is None or outcome.reply is None:
            raise self._error(one, outcome, blocked_attempt_error)
        return await self.deliver(one, outcome.why, outcome.degraded)

    async def deliver(self, attempt: AttemptRecord, why: str, degraded: str = "") -> Reply:
        """Sends the held events of an attempt and returns its reply."""
        if attempt.reply is None or attempt.result != "answered":
            raise self.policy_fault(f"returns the answer of {attempt.card.name}, which did not answer")
        self.delivered = attempt
        if not self.announced:
            await self._announce(attempt, why)
            for event in attempt.held_events:
                await self.send(without_logprobs(event) if attempt.added_logprobs else event)
        return self._reply(attempt, attempt.reply, degraded)

    def already_answered_error(self) -> SizewiseError:
        """Why no other model can answer: the client's stream was interrupted, or it has an answer."""
        assert self.delivered is not None
        return stream_cut_error(self.delivered) or self.policy_fault(
            f"continues although {self.delivered.card.name} has answered",
        )

    def discarded_result(self, attempt: AttemptRecord, client_left: bool) -> AttemptResult:
        """The result of an attempt whose reply was not delivered."""
        if attempt.verdict_why or not (self.announced or client_left):
            return "distrusted"
        return "lost_race" if self.announced else "cancelled"

    def policy_fault(self, fault: str) -> SizewiseError:
        return SizewiseError(f"the policy {self._policy!r} {fault}", "this is a bug in the policy, not in your request")

    async def _announce(self, attempt: AttemptRecord, why: str) -> None:
        self.announced = True
        terms, attempts = self._data_decision, len(self.attempts)
        for one in self.attempts:
            if one.calls:
                attempts += len(one.calls) - 1
        await self.send(
            ModelSelected(
                model=attempt.card.name,
                reason=why,
                attempts=attempts,
                policy=self._policy,
                data_class=terms.data_class,
                online=not terms.offline_source,
                freshness=freshness_warning(attempt.card, self._asked_time, self._today),
                compacted=self._compacted,
            ),
        )

    def _reply(self, attempt: AttemptRecord, reply: Reply, degraded: str) -> Reply:
        if reply.usage.estimated:
            reply = msgspec.structs.replace(reply, usage=with_estimated_usage(reply, self.prompt_tokens))
        if attempt.added_logprobs:
            reply = reply_without_logprobs(reply)
        if attempt.resumed_from:
            reply = join_reply(attempt.resumed_from, reply)
        return mark_degraded(reply, degraded) if degraded else reply

    def _error(
        self,
        attempt: AttemptRecord | None,
        outcome: AttemptOutcome,
        blocked_attempt_error: SizewiseError | None,
    ) -> SizewiseError:
        if attempt is not None and attempt.error is not None and attempt.error.code == outcome.error:
            return (stream_cut_error(attempt) if self.delivered is attempt else None) or attempt.error
        if attempt is None and blocked_attempt_error is not None and outcome.error == blocked_attempt_error.code:
            return blocked_attempt_error
        if not outcome.error:
            return self.policy_fault("returns neither an answer nor an error")
        return error_class(outcome.error)(outcome.message or "the policy returned no answer", param="model")
