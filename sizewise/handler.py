"""The handler protocol: `reply = await handler(request, send)`, with its request, options and event types.

`send` receives events as they happen; the whole reply is returned. Cancelling the task stops the model.
At most ten kinds of event; a new one needs a decision record.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from msgspec import UNSET, Raw, Struct, UnsetType

from sizewise.attempt_progress import AttemptStage, ProgressUpdate
from sizewise.data_class import DataClass, Place
from sizewise.messages import ChatRequest, EmbeddingRequest, JsonFields, Reply, Usage
from sizewise.model_card import ModelCard
from sizewise.principal import Principal
from sizewise.prompt_reference import PromptReference
from sizewise.request_origin import ReleaseLabel, RequestOrigin


class RequestOptions(Struct, frozen=True):
    """Routing options of one request, from headers or the body's `sizewise` object. None: not set."""

    policy: str | None = None
    max_cost: int | None = None  # pico-dollars
    max_latency_ms: int | None = None  # milliseconds to the last token
    min_quality: float | None = None  # 0..1 of the reference model
    data_class: DataClass | None = None
    online: Literal["deny", "allow"] | None = None
    session: str | None = None
    idempotency_key: str | None = None
    cache: Literal["no-cache", "no-store"] | None = None  # as in HTTP: do not read it; neither read nor write
    constraint_source: str = ""  # where data_class and online come from, if not from the request
    min_context_tokens: int | None = None  # the least context window of a model, however short the prompt
    progress: bool | UnsetType = UNSET  # whether the client wants ProgressUpdate events; unset: in no digest of options
    end_user: str | UnsetType = UNSET  # the client's name of its own user; in no digest
    tags: tuple[str, ...] | UnsetType = UNSET  # the client's labels of costs; in no digest
    prompt: PromptReference | UnsetType = UNSET  # in no digest: its text is among the messages
    tool_calls: bool | UnsetType = UNSET  # whether a flow's reply lists its agents' tool calls; unset: in no digest


NO_OPTIONS = RequestOptions()


class GuardrailScan(Struct, frozen=True):
    """Result of the guardrail scan of `payload`: which guardrails mask, and whether none found anything."""

    payload: ChatRequest | EmbeddingRequest
    masking_guardrails: frozenset[str]
    clean: bool


class Spotlighting(Struct, frozen=True):
    delimit: bool = False  # each attempt puts marks around tool results
    datamark: bool = False  # and between their words
    canary: str = ""  # added to the system prompt of this request alone; empty: none


class Request(Struct, frozen=True):
    """A chat or embedding request on its way through the layers, with its principal and options."""

    payload: ChatRequest | EmbeddingRequest
    principal: Principal
    trace_id: str  # 32 hex digits, W3C trace id
    started_at: float  # time.perf_counter() at arrival, seconds
    options: RequestOptions = NO_OPTIONS
    endpoint: str = "chat"
    reach: Place | None = None  # the furthest place allowed, once decided; None: as the data class allows
    scan: GuardrailScan | None = None  # None: not scanned
    spotlighting: Spotlighting | None = None  # None: nothing is added
    pending_record: int = 0  # id of the row that stands for a call with an idempotency key; 0: none
    background: bool = False  # no one waits for it: where requests queue, it lets others go first
    origin: RequestOrigin | None = None
    response_id: str = ""  # of the API's answer, if that is not made of the trace
    release: ReleaseLabel | None = None  # None: there are no environments


class TextDelta(Struct, frozen=True):
    """Text of `choice`. `frame` is the upstream chunk that held it, if unchanged and in OpenAI's format."""

    choice: int
    text: str
    logprobs: Raw | None = None
    frame: bytes | None = None


class ToolDelta(Struct, frozen=True):
    """A fragment of tool call number `index`: `json` continues its arguments; `id` and `name` are sent once."""

    choice: int
    index: int
    id: str = ""
    name: str = ""
    json: str = ""
    frame: bytes | None = None


class ReasoningDelta(Struct, frozen=True):
    """Reasoning that the model shows. `signature` must be sent back unchanged in the next request."""

    choice: int
    text: str
    signature: str = ""
    frame: bytes | None = None


class RawDelta(Struct, frozen=True):
    """A part of the stream that Sizewise does not read (annotations, audio, refusals), passed on unchanged."""

    choice: int
    fields: JsonFields
    frame: bytes | None = None


class FirstAnswer(Struct, frozen=True):
    """What a keyed retry repeats of the first answer. `id`: its `response_id` or trace; `created`: Unix seconds."""

    id: str
    created: int


class ModelSelected(Struct, frozen=True):
    """Sent once, before the first content event: the answering model, the reason in one sentence, and the policy."""

    model: str
    reason: str
    attempts: int
    policy: str = ""
    data_class: DataClass | None = None  # the class that the constraints used
    online: bool = True  # whether models beyond this machine were allowed
    freshness: str = ""  # why its answer may be out of date, in one sentence; empty: nothing shows it
    first_answer: FirstAnswer | None = None  # None: no idempotency key
    compacted: str = ""  # which part of the conversation the model gets as excerpts, in one sentence; empty: none


class ChoiceFinished(Struct, frozen=True):
    """Choice number `choice` is complete. Usage is in the Reply."""

    choice: int
    finish_reason: str
    frame: bytes | None = None


AttemptResult = Literal["answered", "distrusted", "failed", "cancelled", "lost_race", "judged"]
"""judged: the model was asked to judge another model's answer, and did."""


class AttemptFinished(Struct, frozen=True):
    """One finished attempt. Sent for every attempt, also for failed, discarded and cancelled ones.

    Times are seconds since the request arrived; `cost` is in whole pico-dollars, None if the price is unknown.
    """

    model: str
    place: str
    result: AttemptResult
    reason: str
    start_s: float
    first_token_s: float | None  # first content; None if there was none
    end_s: float
    usage: Usage
    cost: int | None
    error_code: str = ""  # a code of errors.py
    score: float | None = None  # 0..1, the judge's trust, or a prior's chance; None if not judged
    threshold: float | None = None  # the score from which the answer is shown; None: no score decides
    wait_s: float = 0.0  # of this time, before the model worked: in its queue, or until it was loaded
    load: int = 0  # requests that the model worked on, with this one; 0: unknown
    energy: tuple[int, int] | None = None  # microjoules, and how they were found (energy.py); None: unknown


GuardrailAction = Literal["flagged", "marked", "masked", "removed", "local", "blocked"]  # mildest first


class GuardrailTriggered(Struct, frozen=True):
    """Findings of guardrails as (guardrail, kind, count), and the action taken; never any of the text."""

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
    | AttemptStage
    | ProgressUpdate
)
Send = Callable[[Event], Awaitable[None]]


class Handler(Protocol):
    """Raises SizewiseError. Before the first event another model may be tried; sent events cannot be withdrawn."""

    async def __call__(self, request: Request, send: Send) -> Reply: ...


ConnectModel = Callable[[ModelCard], Handler]
"""Makes the handler that calls one model."""


async def discard_events(event: Event) -> None:
    """A `send` for callers that need only the reply."""
