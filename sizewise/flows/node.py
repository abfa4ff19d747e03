"""Base class of nodes, and what a node may access while it runs; knows no node type, table or engine.

A node type is one file in nodes/ and one entry point in `sizewise.nodes`: a frozen struct with a `run`. Its fields are
its parameters; their descriptions appear in the published JSON Schema and the docs. Nodes reach other packages through
the Protocols of `NodeDependencies`; if a dependency is missing, the error names the setting that enables it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from time import perf_counter
from typing import Annotated, ClassVar, Protocol

import msgspec
from msgspec import Meta, Struct

from sizewise.data_class import DataBounds, DataClass, Place, strictest
from sizewise.errors import ConfigError
from sizewise.flows.engine import Steps
from sizewise.flows.language.types import JSON, Json, Type
from sizewise.handler import Handler, Request, RequestOptions, Send
from sizewise.knowledge.document import Document
from sizewise.knowledge.results import SearchMode, SearchResponse
from sizewise.knowledge.upload import DocumentUpload, IngestionResult
from sizewise.knowledge.vector_store import TagFilter
from sizewise.messages import ChatRequest, Reply
from sizewise.principal import Principal
from sizewise.telemetry.spans import SpanRecorder, unrecorded_spans
from sizewise.tools.sandbox.process_pool import CodeResult
from sizewise.tools.sandbox.protocol import Language
from sizewise.tools.tool import ToolAccess

PlainText = Annotated[str, Meta(extra={"plain": True})]
"""Text in which {{ }} is not evaluated: code, so that values are never written into it."""


StaticText = Annotated[str, Meta(extra={"settled": True})]
"""Text without expressions, known before the flow runs: the name of a flow or variable."""


class ParameterError(Struct, frozen=True):
    """An error that a node type finds in its own parameters; `name` is the parameter."""

    name: str
    message: str
    hint: str = ""


class ValidationContext(Struct, frozen=True):
    """A node before it runs: `values` are the constant parameters, `types` the types of all.

    `body_type` is the type of one round of an each or loop. `signature_of` returns the signature of another flow by
    name, None if there is none.
    """

    values: Mapping[str, Json]
    types: Mapping[str, Type]
    body_type: Type = JSON
    signature_of: Callable[[str], FlowSignature | None] = lambda name: None


class FlowSignature(Struct, frozen=True):
    """Input and output types of a flow; `required`: inputs without a default."""

    inputs: Mapping[str, Type]
    required: frozenset[str]
    outputs: Mapping[str, Type]
    text_output: str = ""  # the output that is its text as a model


class Node(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all node types. The first line of a subclass's docstring is its description in the docs and schema."""

    has_side_effects: ClassVar[bool] = False
    """It acts on other systems, so the validator does not warn if its output is unused."""
    is_step: ClassVar[bool] = True
    """It is stored as one step. False for each, loop and subflow, whose inner nodes are steps, and nodes that wait."""
    has_body: ClassVar[bool] = False
    """It has `nodes` and `outputs` of its own."""
    sets_data_class: ClassVar[bool] = False
    """Its output has a `data_class`, which tightens that of the rest of the run."""
    least_parameters: ClassVar[int] = 0
    """Parameters of a model below which it is too small for what the node asks of it; 0: any may do."""
    late_parameters: ClassVar[frozenset[str]] = frozenset()
    """Parameters evaluated after each round, with the names of the body, instead of before the node runs."""

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        """The type of its output."""
        return JSON

    @classmethod
    def streaming_field(cls, context: ValidationContext) -> str:
        """The field of its output that streams while it runs; empty if none does."""
        return ""

    @classmethod
    def case_names(cls, context: ValidationContext) -> tuple[str, ...]:
        """The cases of a branch, exactly one taken per run; empty for other nodes."""
        return ()

    @classmethod
    def body_scope(cls, context: ValidationContext) -> Mapping[str, Type]:
        """Names that the nodes of its body can use, in addition to each other."""
        return {}

    @classmethod
    def validate(cls, context: ValidationContext) -> Iterator[ParameterError]:
        """Errors in the parameters beyond their types."""
        return iter(())

    async def run(self, context: NodeContext) -> Json:
        """Returns a value of `output_type`. Raises SizewiseError."""
        raise NotImplementedError


# ---- what a node can access -----------------------------------------------------------------------------------------


class KnowledgeAccess(Protocol):
    async def search(
        self,
        request: Request,
        name: str,
        query: str,
        *,
        limit: int = 5,
        mode: SearchMode = "hybrid",
        where: TagFilter | None = None,
    ) -> SearchResponse:
        """Passages that `request.principal` may see, best first."""
        ...

    async def ingest(self, request: Request, name: str, documents: Sequence[DocumentUpload]) -> list[IngestionResult]:
        """When this returns, the documents are stored and searchable."""
        ...


class FileReader(Protocol):
    async def __call__(self, data: bytes, name: str) -> Document:
        """Parses a file. Raises BadRequest if it cannot be read."""
        ...


class SandboxAccess(Protocol):
    async def run(
        self,
        language: Language,
        code: str,
        inputs: Mapping[str, object],
        tenant: str,
        *,
        time_s: float | None = None,
    ) -> CodeResult:
        """Runs code without access to files or network. `inputs` become variables, never part of the code."""
        ...


class AgentAccess(Protocol):
    async def run(
        self,
        request: Request,
        agent: Mapping[str, Json],
        task: str,
        send: Send,
        *,
        key: str,
        steps: Steps | None = None,
        path: str = "agent",
    ) -> Json:
        """Returns the fields of AgentResult. `agent`: its name, or a whole spec; `path`: prefix of its step keys. The
        cost limit of `request` holds for the whole task.
        """
        ...


class MemoryAccess(Protocol):
    async def recall(self, request: Request, subject: str, query: str, limit: int) -> list[Json]: ...
    async def remember(self, request: Request, subject: str, text: str, *, key: str) -> list[Json]: ...
    async def forget(self, request: Request, subject: str, query: str) -> list[Json]: ...


class HttpResponse(Struct, frozen=True):
    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpAccess(Protocol):
    async def __call__(
        self,
        principal: Principal,
        method: str,
        host: str,
        target: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        data_class: DataClass,
        limit: Place,
        max_bytes: int,
    ) -> HttpResponse:
        """Sends a request to a configured host. `target` is appended to its URL; `max_bytes` limits the response body.

        Raises BadRequest for an unknown host, Forbidden, EgressDenied, UpstreamError.
        """
        ...

    def match_url(self, url: str) -> tuple[str, str]:
        """The name of the allowed host that serves `url`, and the target there. Raises EgressDenied, BadRequest."""
        ...


class FlowAccess(Protocol):
    """Loads other flows."""

    async def resolve_version(self, request: Request, name: str) -> str:
        """The version that `NAME` or `NAME@VERSION` refers to now. Raises PathNotFound, Forbidden, BadRequest."""
        ...

    async def load_flow(self, request: Request, name: str, version: str) -> RunnableFlow: ...


class RunnableFlow(Protocol):
    """A compiled flow, opaque to nodes; pass it to `NodeBody.run_flow`."""

    @property
    def name(self) -> str: ...


class StrictestBounds(Struct, frozen=True):
    data_class: DataClass = "confidential"
    limit: Place | None = "machine"


def strictest_bounds(request: Request) -> DataBounds:
    """The default without a router: confidential, on this machine."""
    return StrictestBounds()


class CostEstimate(Struct, frozen=True):
    """The first model that the router would call, and its cost. `cost` in pico-dollars, None if a price is unknown;
    `context_window` in tokens. `reason`: why no model fits; `too_long`: a shorter prompt might. `prompt_tokens` are
    exact if `counted`. `slots`: concurrent requests, 0: unlimited or unknown; `is_local`: it runs in this process.
    `expected_s`: predicted seconds to the last token, None if not measured yet. `parameters`: None if unknown.
    """

    model: str = ""
    cost: int | None = None
    context_window: int | None = None
    reason: str = ""
    too_long: bool = False
    prompt_tokens: int = 0
    counted: bool = False
    slots: int = 0
    is_local: bool = False
    expected_s: float | None = None
    parameters: int | None = None


class EstimateCost(Protocol):
    async def __call__(self, request: Request, *, exact: bool = False) -> CostEstimate:
        """`exact`: have the prompt's tokens counted if a tokenizer is here. Raises ModelNotFound."""
        ...


@dataclass(frozen=True, slots=True)
class NodeDependencies:
    """Services that nodes use; None: not available here. `handler` is the application with all its middleware.

    `data_bounds` returns the data class and the place limit that the router applies to a request.
    """

    handler: Handler
    data_bounds: Callable[[Request], DataBounds] = strictest_bounds
    _: KW_ONLY
    knowledge: KnowledgeAccess | None = None
    read_file: FileReader | None = None
    tools: ToolAccess | None = None
    sandbox: SandboxAccess | None = None
    agents: AgentAccess | None = None
    memory: MemoryAccess | None = None
    http: HttpAccess | None = None
    flows: FlowAccess | None = None
    estimate_cost: EstimateCost | None = None
    spans: SpanRecorder = field(default_factory=unrecorded_spans)


class NodeBody(Protocol):
    """Runs the body of an each or loop, or another flow."""

    async def __call__(self, suffix: str, names: Mapping[str, Json]) -> Json:
        """Runs one round and returns its outputs. `suffix`, such as `[3]`, makes the step keys of the round unique."""
        ...

    def require_rounds(self, count: int) -> None:
        """Raises RunLimitExceeded if `count` rounds exceed the steps that the run has left."""
        ...

    def evaluate_parameter(self, name: str, names: Mapping[str, Json]) -> Json:
        """Evaluates one of `late_parameters` with these names in scope."""
        ...

    async def run_flow(self, flow: RunnableFlow, inputs: Mapping[str, Json], send: Send) -> Json:
        """Runs another flow one level deeper. Raises BadRequest if that is too deep."""
        ...


def no_limit() -> int | None:
    """`remaining_cost` of a run without a cost limit."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeContext:
    """A node that runs. `path`: its place in the run (`each[3].answer`). `idempotency_key`: run id and path; send it to
    other systems so that they can detect repetitions.

    `request`: principal and options of the run; its `payload` is empty. `send` takes model events: text reaches the
    client only if `streams`, and costs are always counted. `remaining_cost`: pico-dollars that the run may still spend.
    """

    path: str
    idempotency_key: str
    request: Request
    dependencies: NodeDependencies
    send: Send
    steps: Steps
    body: NodeBody
    streams: bool = False
    remaining_cost: Callable[[], int | None] = no_limit

    def build_request(self, payload: ChatRequest, options: RequestOptions = RequestOptions()) -> Request:  # frozen
        """A model request of this node. `options` can only tighten those of the run."""
        now, outer = perf_counter(), self.request.options
        if outer.max_latency_ms is not None:
            outer = msgspec.structs.replace(
                outer,
                max_latency_ms=max(1, outer.max_latency_ms - int((now - self.request.started_at) * 1000)),
            )
        outer = msgspec.structs.replace(outer, max_cost=self.remaining_cost())
        return msgspec.structs.replace(
            self.request,
            payload=payload,
            started_at=now,
            options=tighten_options(outer, options),
        )

    @property
    def data_class(self) -> DataClass:
        """The data class of the node's data."""
        return self.dependencies.data_bounds(self.request).data_class

    @property
    def limit(self) -> Place:
        """The furthest place that the node's data may reach."""
        return self.dependencies.data_bounds(self.request).limit or "process"

    async def ask_model(self, payload: ChatRequest, options: RequestOptions = RequestOptions()) -> Reply:  # frozen
        return await self.dependencies.handler(self.build_request(payload, options), self.send)


def tighten_options(outer: RequestOptions, inner: RequestOptions) -> RequestOptions:
    """The stricter of each limit and data class. Policy, session (which routes) and idempotency key are those of
    `inner` only; whose costs they are, `outer` says, and whose conversation, the request's origin.
    """
    classes: list[DataClass] = [each for each in (outer.data_class, inner.data_class) if each is not None]
    return RequestOptions(
        policy=inner.policy,
        max_cost=_least(outer.max_cost, inner.max_cost),
        max_latency_ms=_least(outer.max_latency_ms, inner.max_latency_ms),
        min_quality=max(filter(None, (outer.min_quality, inner.min_quality)), default=None),
        data_class=strictest(*classes) if classes else None,
        online="deny" if "deny" in (outer.online, inner.online) else inner.online or outer.online,
        session=inner.session,
        idempotency_key=inner.idempotency_key,
        cache=inner.cache or outer.cache,
        constraint_source=outer.constraint_source,
        min_context_tokens=max(filter(None, (outer.min_context_tokens, inner.min_context_tokens)), default=None),
        progress=outer.progress,
        end_user=outer.end_user,
        tags=outer.tags,
        prompt=inner.prompt,
    )


def _least(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


def missing_dependency(name: str, hint: str) -> ConfigError:
    """The error for a dependency that is None."""
    return ConfigError(f"this server has no {name}", hint)
