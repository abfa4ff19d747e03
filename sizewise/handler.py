"""The handler protocol: `reply = await handler(request, send)`, with its request, options and event types.

`send` gets events while they happen; the whole reply is returned. Cancelling the task stops the model.
At most ten kinds of event; a new one needs a decision record.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from msgspec import Raw, Struct

from sizewise.data_class import DataClass, Place
from sizewise.messages import ChatRequest, EmbeddingRequest, JsonFields, Reply, Usage
from sizewise.principal import Principal


class RequestOptions(Struct, frozen=True):
    """What the request itself asks of the router, from headers or the body's `sizewise` object. None is "not said"."""

    policy: str | None = None
    max_cost: int | None = None  # pico-dollars
    max_latency_ms: int | None = None  # milliseconds to the last token
    min_quality: float | None = None  # 0..1 of the reference model
    data_class: DataClass | None = None
    online: Literal["deny", "allow"] | None = None
    session: str | None = None
    idempotency_key: str | None = None
    cache: Literal["no-cache", "no-store"] | None = None  # HTTP's words: ask anew; and keep nothing of it either
    constraint_source: str = ""  # whose word class and online are, where it is not the request's own
    min_context_tokens: int | None = (
        None  # tokens of the window that a model has, however little of it this prompt takes
    )


NO_OPTIONS = RequestOptions()


class GuardrailScan(Struct, frozen=True):
    """Which guardrails mask what they find, and whether they found nothing in `payload`, this very request."""

    payload: ChatRequest | EmbeddingRequest
    masking_guardrails: frozenset[str]
    clean: bool


class Spotlighting(Struct, frozen=True):
    delimit: bool = False  # every attempt adds marks around what tools brought
    datamark: bool = False  # and between its words
    canary: str = ""  # of this request alone, behind its system prompt; empty: none


class Request(Struct, frozen=True):
    """One question on its way in: budgets, egress, record and cache stand once in front of both kinds."""

    payload: ChatRequest | EmbeddingRequest
    principal: Principal
    trace_id: str  # 32 hex digits, W3C trace id
    started_at: float  # time.perf_counter() at the door, seconds
    options: RequestOptions = NO_OPTIONS
    endpoint: str = "chat"
    reach: Place | None = None  # the furthest place it may go to, once that is decided; None: as its data class says
    scan: GuardrailScan | None = None  # None: no guard has looked at it
    spotlighting: Spotlighting | None = None  # None: nothing is added to it


class TextDelta(Struct, frozen=True):
    """Words for `choice`. `frame` is the upstream chunk these words came in, when unchanged and of OpenAI's shape."""

    choice: int
    text: str
    logprobs: Raw | None = None
    frame: bytes | None = None


class ToolDelta(Struct, frozen=True):
    """A piece of tool call number `index`; `json` is a fragment of its arguments, `id` and `name` come once."""

    choice: int
    index: int
    id: str = ""
    name: str = ""
    json: str = ""
    frame: bytes | None = None


class ReasoningDelta(Struct, frozen=True):
    """Reasoning that the model shows; `signature` must travel back unchanged with the next request."""

    choice: int
    text: str
    signature: str = ""
    frame: bytes | None = None


class RawDelta(Struct, frozen=True):
    """A part of the stream that nobody here reads (annotations, audio, refusals): passed on as it came."""

    choice: int
    fields: JsonFields
    frame: bytes | None = None


class ModelSelected(Struct, frozen=True):
    """Comes once, before the first word the client sees: who answers, why in one sentence, by which policy."""

    model: str
    reason: str
    attempts: int
    policy: str = ""
    data_class: DataClass | None = None  # by which it was decided who may
    online: bool = True  # whether it might have gone beyond this machine


class ChoiceFinished(Struct, frozen=True):
    """Choice number `choice` is complete. Usage comes with the Reply."""

    choice: int
    finish_reason: str
    frame: bytes | None = None


AttemptResult = Literal["answered", "distrusted", "failed", "cancelled", "lost_race", "judged"]
"""judged: it was asked for its opinion of another's answer, and gave one."""


class AttemptFinished(Struct, frozen=True):
    """One attempt, booked: sent for every attempt, also failed, discarded and cancelled ones.

    Times are seconds since the request reached the door; `cost` whole pico-dollars, None when the price is unknown.
    """

    model: str
    place: str
    result: AttemptResult
    reason: str
    start_s: float
    first_token_s: float | None  # first word, None when there was none
    end_s: float
    usage: Usage
    cost: int | None
    error_code: str = ""  # a code of errors.py
    score: float | None = None  # 0..1, the judge's trust, None when nobody judged


GuardrailAction = Literal["flagged", "masked", "removed", "local", "blocked"]  # from the least to the most


class GuardrailTriggered(Struct, frozen=True):
    """What guards found, as (guard, kind, how often), and what was done about it; never a word of the text."""

    findings: tuple[tuple[str, str, int], ...]
    action: GuardrailAction


Event = (
    TextDelta
    | ToolDelta
    | ReasoningDelta
    | RawDelta
    | ModelSelected
    | ChoiceFinished
    | AttemptFinished
    | GuardrailTriggered
)
Send = Callable[[Event], Awaitable[None]]


class Handler(Protocol):
    """Raises SizewiseError. A failure before the first event may be tried elsewhere; after it nothing can be unsaid."""

    async def __call__(self, request: Request, send: Send) -> Reply: ...


async def discard_events(event: Event) -> None:
    """The `send` of whoever only wants the reply."""
