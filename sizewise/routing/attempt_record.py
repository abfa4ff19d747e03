"""Attempt record: the state of one call to a model, and the outcome, tokens and cost that follow from it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sizewise.attempt_progress import AttemptStage
from sizewise.energy import BY_SIZE
from sizewise.errors import (
    Busy,
    ModelUnavailable,
    SizewiseError,
    StreamInterrupted,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from sizewise.handler import (
    AttemptFinished,
    AttemptResult,
    ChoiceFinished,
    RawDelta,
    ReasoningDelta,
    TextDelta,
    ToolDelta,
)
from sizewise.messages import NO_USAGE, Choice, MediaRequest, Reply, Usage
from sizewise.model_card import ModelCard
from sizewise.money import Price
from sizewise.routing.policy import AttemptOutcome, RequestFeatures
from sizewise.routing.requirements import BYTES_PER_TOKEN, expected_cost, text_bytes
from sizewise.routing.structured_output import SchemaViolation

ModelEvent = TextDelta | ToolDelta | ReasoningDelta | RawDelta | ChoiceFinished
"""Content events from the model."""

RESUMABLE_ERRORS = (UpstreamError, ModelUnavailable, Busy)
"""Errors that can interrupt an answer. Others (a guardrail block, an exhausted budget) concern the request."""

BILLED_ERRORS = (UpstreamTimeout, UpstreamProtocolError)
"""Failures before the first content in which the model has probably read and billed the prompt."""


class AttemptRecord:
    """The state of one attempt. Times are seconds since the request arrived."""

    # Class-level defaults, because most attempts never set them and construction is in the hot path.
    was_sent = False
    first_token_at: float | None = None
    has_content: bool = False  # whether a content event has come
    result: AttemptResult = "cancelled"
    reply: Reply | None = None
    error: SizewiseError | None = None
    error_code = ""  # of `error`, once reported
    other_bytes = 0  # bytes other than plain text
    is_plain_text = True  # nothing but plain text arrived
    resumed_from = ""  # the text that the client had when this attempt started
    violation: SchemaViolation | None = None  # how the reply violates the requested JSON schema
    extra_tokens = 0  # tokens of the prompt in addition to the request's
    added_logprobs = False  # log-probabilities were requested although the client did not
    is_verification = False  # asked to judge another model's answer
    score: float | None = None  # of the judge
    chance: float | None = None  # that the answer is right, by a prior
    threshold: float | None = None  # the score, or chance, from which it is shown
    verdict_why = ""
    modalities: frozenset[str] = frozenset()  # of the request, besides text
    media: MediaRequest | None = None  # the request, if it is one for audio or images
    price_time = 0.0  # unix seconds at the start, if the price depends on time
    wait_s = 0.0  # in the model's queue, or until it was loaded
    load = 0  # requests that the model worked on, with this one; 0: unknown
    energy: tuple[int, int] | None = None  # if this machine answered: microjoules, and how they were found
    limit_s: float | None = None  # seconds until it leaves the rest of the request's time to the next model
    calls: Sequence[AttemptRecord] = ()  # one for each choice, if the model makes one per call
    _usage_and_cost: tuple[Usage, int | None] | None = None

    def __init__(self, number: int, card: ModelCard, why: str, started_at: float) -> None:
        self.number = number  # from 1
        self.card = card
        self.why = why
        self.started_at = self.ended_at = started_at
        self.text_parts: list[str] = []  # plain text, as it arrived
        self.held_events: list[ModelEvent] = []

    @property
    def in_progress(self) -> bool:
        return self.reply is None and self.error is None

    @property
    def resumable_text(self) -> str:
        """All text that the client has, if it is plain text and the model was interrupted."""
        return (
            self.resumed_from + "".join(self.text_parts)
            if self.is_plain_text and isinstance(self.error, RESUMABLE_ERRORS)
            else ""
        )

    def record_stage(self, event: AttemptStage) -> None:
        if event.stage == "first_token":
            self.first_token_at = self.first_token_at or event.seconds
            return
        if event.stage == "energy":
            self.energy = event.energy, event.energy_source
            return
        self.wait_s += event.seconds
        self.load = event.load or self.load

    def to_outcome(self, prompt_tokens: int, delivered: bool) -> AttemptOutcome:
        usage, cost = self.usage_and_cost(prompt_tokens)
        seconds = self.ended_at - self.started_at
        if self.reply is not None and self.error is None:
            return AttemptOutcome(
                self.card,
                self.reply,
                seconds=seconds,
                usage=usage,
                cost=cost,
                why=self.why,
                attempt_number=self.number,
            )
        error = self.error or SizewiseError("the attempt was stopped internally")
        return AttemptOutcome(
            card=self.card,
            reply=None,
            error=error.code,
            message=error.message,
            retry_after=error.retry_after,
            delivered=delivered,
            delivered_text=self.resumable_text if delivered else "",
            seconds=seconds,
            usage=usage,
            cost=cost,
            why=self.why,
            attempt_number=self.number,
            is_retryable=error.retryable,
        )

    def usage_and_cost(self, prompt_tokens: int) -> tuple[Usage, int | None]:
        """Tokens and pico-dollars, after the end. `prompt_tokens`: the estimate for the request."""
        booked = self._usage_and_cost
        if booked is None and self.calls:
            made = [call.usage_and_cost(prompt_tokens + self.extra_tokens) for call in self.calls if call.was_sent]
            costs = [cost for _, cost in made if cost is not None]
            cost = sum(costs) if len(costs) == len(made) else None
            booked = self._usage_and_cost = (sum((usage for usage, _ in made), start=NO_USAGE), cost)
        if booked is None:
            usage = self._count_usage(prompt_tokens + self.extra_tokens)
            booked = self._usage_and_cost = (usage, self._count_cost(usage))
        return booked

    def call(self, why: str) -> AttemptRecord:
        """A record for one of the calls that this attempt makes."""
        one = AttemptRecord(self.number, self.card, f"{self.why}; {why}", self.started_at)
        one.price_time, one.modalities = self.price_time, self.modalities
        return one

    def calls_made(self) -> list[AttemptRecord]:
        """Its `calls` that were sent, each with what became of the whole."""
        made = [call for call in self.calls if call.was_sent]
        for call in made:
            call.score, call.chance, call.verdict_why = self.score, self.chance, self.verdict_why
            call.threshold = self.threshold
            if call.result == "answered" and self.result not in ("failed", "cancelled"):
                call.result = self.result
        return made

    def forget_error(self) -> None:
        """Keeps its code."""
        self.error_code = "" if self.error is None else self.error.code
        self.error = None
        for call in self.calls:
            call.error = None

    def _count_energy(self, usage: Usage) -> tuple[int, int] | None:
        """As AttemptFinished has it; no tokens take nothing."""
        if self.energy is not None:
            return self.energy
        if not usage.output and not usage.input and usage.units is None:
            return 0, 0
        each = self.card.energy_per_token
        return None if each is None or usage.units is not None else (each * usage.output, BY_SIZE)

    def _count_usage(self, prompt_tokens: int) -> Usage:
        """As reported by the model, else estimated."""
        reply = self.reply
        if reply is not None:
            return with_estimated_usage(reply, prompt_tokens)
        size = sum(map(text_bytes, self.text_parts)) + self.other_bytes
        nothing_came = size == 0 and (self.media is None or self.first_token_at is None)
        if nothing_came and self.error is not None and not isinstance(self.error, BILLED_ERRORS):
            return NO_USAGE
        if self.media is not None:
            return Usage(estimated=True, units=self.media.units)
        return Usage(prompt_tokens, -(-size // BYTES_PER_TOKEN), estimated=True)

    def _count_cost(self, usage: Usage) -> int | None:
        """Whole pico-dollars, never rounded; no tokens cost nothing, whatever the price.

        Where our price is unknown or does not apply: the cost reported by the upstream, if the card trusts it.
        """
        card, price = self.card, self.card.price
        if not usage.input and not usage.output and not usage.reported_cost and usage.units is None:
            return 0
        if price.schedule:
            price = price.at(self.price_time, self.price_time + self.ended_at - self.started_at)
        cost = None
        if usage.units is not None:
            cost = (
                None
                if usage.unpriced_reason
                else price.media_cost(usage.units, usage.input, usage.output, usage.cached)
            )
        elif not usage.unpriced_reason and not (price.unpriced_modalities and self._is_unpriced(price, usage)):
            cost = price.cost(
                usage.input,
                usage.output,
                usage.cached,
                usage.cache_write,
                usage.reasoning,
                usage.cache_write_1h,
            )
            if price.units is not None and cost is not None:
                cost += price.units.request or 0
        return usage.reported_cost if cost is None and card.endpoint.reports_cost else cost

    def _is_unpriced(self, price: Price, usage: Usage) -> bool:
        """Whether there are tokens that the price does not cover."""
        return bool(price.unpriced_modalities & self.modalities) or usage.audio > 0

    def to_event(self, prompt_tokens: int) -> AttemptFinished:
        usage, cost = self.usage_and_cost(prompt_tokens)
        why = f"{self.why}; {self.verdict_why}" if self.verdict_why else self.why
        code = self.error.code if self.error is not None else ""
        if not code and self.result == "failed":
            code = "internal_error"
        return AttemptFinished(
            model=self.card.name,
            place=self.card.place,
            result=self.result,
            reason=why,
            start_s=self.started_at,
            first_token_s=self.first_token_at,
            end_s=self.ended_at,
            usage=usage,
            cost=cost,
            error_code=code,
            score=self.score if self.chance is None or self.score == 0 else self.chance,
            threshold=self.threshold,
            wait_s=self.wait_s,
            load=self.load,
            energy=self._count_energy(usage),
        )


def total_cost(attempts: list[AttemptRecord], features: RequestFeatures) -> int:
    """Pico-dollars of all attempts, running ones at their expected cost; an unknown price counts as 0."""
    total = 0
    for one in attempts:
        cost = expected_cost(one.card, features) if one.in_progress else one.usage_and_cost(features.prompt_tokens)[1]
        total += cost or 0
    return total


def stream_cut_error(attempt: AttemptRecord) -> SizewiseError | None:
    """The error that ends an answer of which the client has seen a part; None if it was not interrupted."""
    error = attempt.error
    if not isinstance(error, RESUMABLE_ERRORS) or isinstance(error, StreamInterrupted):
        return error
    ended = StreamInterrupted(
        f"{attempt.card.name}: the answer was interrupted: {error.message}",
        "send the request again",
    )
    ended.__cause__ = error
    return ended


def with_estimated_usage(reply: Reply, prompt_tokens: int) -> Usage:
    """The reply's usage, with estimates for what the model did not report."""
    usage = reply.usage
    if not usage.estimated:
        return usage
    out = usage.output or -(-sum(map(_size, reply.choices)) // BYTES_PER_TOKEN)
    return msgspec.structs.replace(usage, input=usage.input or prompt_tokens, output=out)


def _size(choice: Choice) -> int:
    calls = sum(text_bytes(call.function.name + call.function.arguments) for call in choice.tool_calls if call.function)
    return text_bytes(choice.text) + text_bytes(choice.reasoning) + calls


def error_class(code: str) -> type[SizewiseError]:
    """The class in errors.py with this code; SizewiseError for an unknown code."""
    classes: list[type[SizewiseError]] = [SizewiseError]
    for kind in classes:
        if kind.code == code:
            return kind
        classes += kind.__subclasses__()
    return SizewiseError
