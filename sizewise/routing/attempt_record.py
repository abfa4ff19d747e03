"""One attempt as it is noted while it goes, and what it comes to: an outcome, tokens, money; pure, makes none."""

from __future__ import annotations

import msgspec

from sizewise.errors import (
    Busy,
    ModelUnavailable,
    SizewiseError,
    StreamCut,
    Upstream,
    UpstreamGarbled,
    UpstreamSlow,
)
from sizewise.handler import Extra, Finished, Result, Text, Thought, ToolDelta, Tried
from sizewise.messages import Choice, Reply, Usage
from sizewise.model_card import Card
from sizewise.money import Price
from sizewise.routing.constraints import PER_TOKEN, expected
from sizewise.routing.policy import Outcome, Question
from sizewise.routing.structured_output import Breach

Said = Text | ToolDelta | Thought | Extra | Finished
"""The events that come from the model itself."""

BREAKS = (Upstream, ModelUnavailable, Busy)
"""What can happen to an answer under way. Anything else (a guard's no, a budget's end) is about the request."""

WORKED = (UpstreamSlow, UpstreamGarbled)
"""Failures before the first word in which the model will have read the prompt, and billed it. Others are refusals."""

NOTHING = Usage()


class Try:
    """What is known of one attempt. Times are seconds since the request reached the door."""

    # Set where they are known; as class values, because most attempts never need them and each is made in the hot path.
    asked = False
    first: float | None = None
    result: Result = "cancelled"
    reply: Reply | None = None
    error: SizewiseError | None = None
    code = ""  # of the error, once it is booked
    odd = 0  # characters that are not plain text
    plain = True  # nothing but plain text came
    prefix = ""  # what the client had already read when this attempt began
    breach: Breach | None = None  # of the promise of JSON, where the reply breaks it
    more = 0  # tokens that it had to read beside the question
    lent = False  # asked for log-probabilities that the client did not ask for
    judges = False  # it was asked for its opinion of another's answer
    score: float | None = None
    verdict = ""
    sees: frozenset[str] = frozenset()  # what the request holds beside text
    at = 0.0  # unix seconds when it began, where the price depends on it
    _booked: tuple[Usage, int | None] | None = None

    def __init__(self, number: int, card: Card, why: str, began: float) -> None:
        self.number = number  # from 1
        self.card = card
        self.why = why
        self.began = self.ended = began
        self.said: list[str] = []  # words of plain text, as they came
        self.events: list[Said] = []  # held back

    @property
    def under_way(self) -> bool:
        return self.reply is None and self.error is None

    @property
    def resumable(self) -> str:
        """All that the client has read, where it is plain text and the model broke off."""
        return self.prefix + "".join(self.said) if self.plain and isinstance(self.error, BREAKS) else ""

    def outcome(self, prompt: int, shown: bool) -> Outcome:
        usage, cost = self.booked(prompt)
        seconds = self.ended - self.began
        if self.reply is not None and self.error is None:
            return Outcome(
                self.card, self.reply, seconds=seconds, usage=usage, cost=cost, why=self.why, number=self.number
            )
        error = self.error or SizewiseError("the attempt was stopped from inside")
        return Outcome(
            self.card,
            None,
            error.code,
            error.message,
            error.retry_after,
            shown,
            self.resumable if shown else "",
            seconds,
            usage,
            cost,
            self.why,
            self.number,
            again=error.again,
        )

    def booked(self, prompt: int) -> tuple[Usage, int | None]:
        """Tokens and pico-dollars, once it has ended. `prompt` is the estimate of what it had to read."""
        booked = self._booked
        if booked is None:
            usage = self._usage(prompt + self.more)
            booked = self._booked = (usage, self._cost(usage))
        return booked

    def _usage(self, prompt: int) -> Usage:
        """As the model counted; else estimated."""
        reply = self.reply
        if reply is not None:
            return filled(reply, prompt)
        size = sum(map(len, self.said)) + self.odd
        if size == 0 and self.error is not None and not isinstance(self.error, WORKED):
            return NOTHING
        return Usage(prompt, -(-size // PER_TOKEN), estimated=True)

    def _cost(self, usage: Usage) -> int | None:
        """Whole pico-dollars, rounded nowhere; no tokens cost nothing, whatever the price.

        Where our own price is unknown or does not hold, the upstream's own word, if the card trusts it.
        """
        if not usage.input and not usage.output and not usage.billed:
            return 0
        card, price = self.card, self.card.price
        if price.when:
            price = price.at(self.at, self.at + self.ended - self.began)
        cost = None
        if not usage.unpriced and not (price.apart and self._apart(price, usage)):
            cost = price.of(
                usage.input, usage.output, usage.cached, usage.cache_write, usage.reasoning, usage.cache_write_1h
            )
        return usage.billed if cost is None and card.endpoint.bills else cost

    def _apart(self, price: Price, usage: Usage) -> bool:
        """Whether tokens occur that the price is not for."""
        return bool(price.apart & self.sees) or usage.audio > 0

    def tried(self, prompt: int) -> Tried:
        usage, cost = self.booked(prompt)
        why = f"{self.why}; {self.verdict}" if self.verdict else self.why
        code = self.error.code if self.error is not None else ""
        if not code and self.result == "failed":
            code = "internal_error"
        return Tried(
            self.card.name,
            self.card.place,
            self.result,
            why,
            self.began,
            self.first,
            self.ended,
            usage,
            cost,
            code,
            self.score,
        )


def spent(tries: list[Try], question: Question) -> int:
    """Pico-dollars of all attempts, those under way as expected; an unknown price counts as nothing."""
    total = 0
    for one in tries:
        cost = expected(one.card, question) if one.under_way else one.booked(question.tokens)[1]
        total += cost or 0
    return total


def cut(one: Try) -> SizewiseError | None:
    """The error that ends an answer of which the client has seen a part; None when it was not cut at all."""
    error = one.error
    if not isinstance(error, BREAKS) or isinstance(error, StreamCut):
        return error
    ended = StreamCut(f"{one.card.name} broke off in mid-answer: {error.message}", "ask again for a whole answer")
    ended.__cause__ = error
    return ended


def filled(reply: Reply, prompt: int) -> Usage:
    """The reply's usage, with estimates for what the model did not count."""
    usage = reply.usage
    if not usage.estimated:
        return usage
    out = usage.output or -(-sum(map(_size, reply.choices)) // PER_TOKEN)
    return msgspec.structs.replace(usage, input=usage.input or prompt, output=out)


def _size(choice: Choice) -> int:
    calls = sum(len(call.function.name + call.function.arguments) for call in choice.tool_calls if call.function)
    return len(choice.text) + len(choice.thought) + calls


def by_code(code: str) -> type[SizewiseError]:
    """The class of errors.py with this code; the base for a code nobody knows."""
    classes: list[type[SizewiseError]] = [SizewiseError]
    for kind in classes:
        if kind.code == code:
            return kind
        classes += kind.__subclasses__()
    return SizewiseError
