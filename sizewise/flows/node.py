"""Base class of nodes, and what a node may access while it runs; knows no node type, table or engine.

A kind is one file in nodes/ and one entry point in `sizewise.nodes`: a frozen struct whose fields are its parameters
(their docs make the published schema and the studio's form) and a `run`. What a node needs of other rooms it is given
as means, by Protocol; where a means is not there, the node says which setting or extra would bring it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from time import perf_counter
from typing import Annotated, ClassVar, Protocol

import msgspec
from msgspec import Meta, Struct

from sizewise.data_class import DataClass, Place, strictest
from sizewise.errors import ConfigError
from sizewise.flows.engine import Steps
from sizewise.flows.language.types import JSON, Json, Type
from sizewise.handler import Handler, Request, RequestOptions, Send
from sizewise.knowledge.document import Document
from sizewise.knowledge.ingestion import DocumentUpload, IngestionResult
from sizewise.knowledge.knowledge_service import SearchMode
from sizewise.knowledge.results import SearchResult
from sizewise.knowledge.vector_store import TagFilter
from sizewise.messages import ChatRequest, Reply
from sizewise.principal import Principal
from sizewise.tools.sandbox.process_pool import CodeResult
from sizewise.tools.sandbox.protocol import Language
from sizewise.tools.tool import Tool

PlainText = Annotated[str, Meta(extra={"plain": True})]
"""A text in which {{ means nothing: code, which never has values written into it."""


StaticText = Annotated[str, Meta(extra={"settled": True})]
"""A text that must be known before anything runs: a flow's name, a variable's."""


class ParameterError(Struct, frozen=True):
    """What a kind finds wrong with its own parameters; `name` is the parameter's."""

    name: str
    message: str
    hint: str = ""


class ValidationContext(Struct, frozen=True):
    """A node before it runs: `values` are the parameters that are known already, `types` what each will be.

    `body_type` is what an each or loop gives a round; `flow` tells what another flow takes and gives, None where
    there is none of that name.
    """

    values: Mapping[str, Json]
    types: Mapping[str, Type]
    body_type: Type = JSON
    signature_of: Callable[[str], FlowSignature | None] = lambda name: None


class FlowSignature(Struct, frozen=True):
    """What a flow takes, and which of it must be given; what it gives."""

    inputs: Mapping[str, Type]
    required: frozenset[str]
    outputs: Mapping[str, Type]
    text_output: str = ""  # the output that is its words


class Node(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all kinds. The docstring of a kind, its first line, is what people are told of it."""

    has_side_effects: ClassVar[bool] = False
    """It does something outside, so that it is worth running where nobody uses what it gives."""
    is_step: ClassVar[bool] = True
    """It is one step, done once. Not so each, loop, subflow (their nodes are) and what waits."""
    has_body: ClassVar[bool] = False
    """It has nodes and outputs of its own."""
    sets_data_class: ClassVar[bool] = False
    """Its output says a `data_class`, and all that the run does from then on is kept so closely."""
    late_parameters: ClassVar[frozenset[str]] = frozenset()
    """Parameters whose {{ }} are worked out after each round, among the names within, and not before the node runs."""

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        """What its output is."""
        return JSON

    @classmethod
    def streaming_field(cls, context: ValidationContext) -> str:
        """The field of its output whose words come while it runs; empty where none does."""
        return ""

    @classmethod
    def case_names(cls, context: ValidationContext) -> tuple[str, ...]:
        """The edges that leave it one at a time; empty but for a branch."""
        return ()

    @classmethod
    def body_scope(cls, context: ValidationContext) -> Mapping[str, Type]:
        """What its own nodes can name beside each other."""
        return {}

    @classmethod
    def validate(cls, context: ValidationContext) -> Iterator[ParameterError]:
        """What is wrong with it beyond its types."""
        return iter(())

    async def run(self, context: NodeContext) -> Json:
        """Raises SizewiseError. What it gives must be as `output_type` says."""
        raise NotImplementedError


# ---- what a node has in hand ----------------------------------------------------------------------------------------


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
    ) -> list[SearchResult]:
        """Passages that `request.principal` may see, the best first."""
        ...

    async def ingest(self, request: Request, name: str, documents: Sequence[DocumentUpload]) -> list[IngestionResult]:
        """Documents are in the base, and can be found, when this returns."""
        ...


class FileReader(Protocol):
    async def __call__(self, data: bytes, name: str) -> Document:  # frozen
        """A file as it was read. Raises BadRequest where it cannot be."""
        ...


class ToolAccess(Protocol):
    async def select(self, names: Sequence[str], principal: Principal) -> tuple[Tool, ...]:
        """Those that this caller may use. Raises BadRequest for a name that means nothing."""
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
        """What the code gave. Its inputs are names in it, as values and never as code; it reaches nothing outside."""
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
        """`text`, `steps`, and why it `ended`. `agent` is its name, or all of it; what `request` may cost, all of it
        may. Its own steps begin with `path`.
        """
        ...


class MemoryAccess(Protocol):
    async def recall(self, request: Request, subject: str, query: str, limit: int) -> list[Json]: ...
    async def remember(self, request: Request, subject: str, text: str, *, key: str) -> list[Json]: ...
    async def forget(self, request: Request, subject: str, query: str) -> list[Json]: ...


class HttpResponse(Struct, frozen=True):
    """An answer of HTTP."""

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
        """Asks a host of the settings, by its name there. `target` is appended to its URL; `max_bytes`: bytes of the
        answer.

        Raises BadRequest for a host that nobody allowed, EgressDenied, Upstream.
        """
        ...

    def match_url(self, url: str) -> tuple[str, str]:
        """The name of the allowed host that a whole URL means, and the target there. Raises EgressDenied."""
        ...


class FlowAccess(Protocol):
    """Other flows."""

    async def resolve_version(self, request: Request, name: str) -> str:
        """The version that `NAME` or `NAME@VERSION` means now. Raises UnknownModel, Forbidden."""
        ...

    async def load_flow(self, request: Request, name: str, version: str) -> RunnableFlow: ...


class RunnableFlow(Protocol):
    """A flow that was checked, for whoever runs it within another."""

    @property
    def name(self) -> str: ...


class DataBounds(Protocol):
    """The class of data, and how far it may go; None is nowhere."""

    @property
    def data_class(self) -> DataClass: ...
    @property
    def limit(self) -> Place | None: ...


class StrictestBounds(Struct, frozen=True):
    data_class: DataClass = "confidential"
    limit: Place | None = "machine"


def strictest_bounds(request: Request) -> DataBounds:
    """The strictest there is, for want of better knowledge."""
    return StrictestBounds()


class CostEstimate(Struct, frozen=True):
    """What a question would cost, and who would be asked first, as the router would have it. `cost` in pico-dollars,
    None where a price is unknown; `context_window` in tokens; `reason` says why nobody fits.
    """

    model: str = ""
    cost: int | None = None
    context_window: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NodeDependencies:
    """What nodes reach beyond themselves. `answer` is the house's whole onion; None: there is no such thing here.

    `data_bounds` says of a request the class of its data, and how far that may go: the router's own word.
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
    estimate_cost: Callable[[Request], CostEstimate] | None = None


class NodeBody(Protocol):
    """The nodes that an each or loop holds, or another flow's."""

    async def __call__(self, suffix: str, names: Mapping[str, Json]) -> Json:
        """One round of them: what their outputs come to. `suffix` tells rounds apart in the keys of steps: [3]."""
        ...

    def evaluate_parameter(self, name: str, names: Mapping[str, Json]) -> Json:
        """A `late` parameter, worked out among these names."""
        ...

    async def run_flow(self, flow: RunnableFlow, inputs: Mapping[str, Json], send: Send) -> Json:
        """Another flow, whole, a floor deeper. Raises BadRequest where that is too deep."""
        ...


def no_limit() -> int | None:
    """Pico-dollars left, where nobody set a limit."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeContext:
    """One node under way. `path` is where in the run (each[3].answer), `idempotency_key` that with the run's id: what
    stands behind the key happens once, so it is sent where others can tell repetitions by it.

    `request` is whose run it is, and how its data must be kept; its `what` is nobody's. `send` takes events of
    models: the words go to the client where this node feeds what the client reads (`speaks`), else nowhere; what was
    spent is booked. `remaining_cost`: pico-dollars that the run may still spend.
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
        """A question of this node. What it wishes can only tighten what the run's caller wished."""
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
        """How closely what the node has in hand must be kept."""
        return self.dependencies.data_bounds(self.request).data_class

    @property
    def limit(self) -> Place:
        """How far that may go, at most."""
        return self.dependencies.data_bounds(self.request).limit or "process"

    async def ask_model(self, payload: ChatRequest, options: RequestOptions = RequestOptions()) -> Reply:  # frozen
        return await self.dependencies.handler(self.build_request(payload, options), self.send)


def tighten_options(outer: RequestOptions, inner: RequestOptions) -> RequestOptions:
    """Of limits the smaller, of classes the stricter. The outer session, key and policy are the run's, not a node's."""
    classes: list[DataClass] = [each for each in (outer.data_class, inner.data_class) if each is not None]
    return RequestOptions(
        inner.policy,
        _least(outer.max_cost, inner.max_cost),
        _least(outer.max_latency_ms, inner.max_latency_ms),
        max(filter(None, (outer.min_quality, inner.min_quality)), default=None),
        strictest(*classes) if classes else None,
        "deny" if "deny" in (outer.online, inner.online) else inner.online or outer.online,
        inner.session,
        inner.idempotency_key,
        inner.cache or outer.cache,
        outer.constraint_source,
        max(filter(None, (outer.min_context_tokens, inner.min_context_tokens)), default=None),
    )


def _least(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


def missing_dependency(name: str, hint: str) -> ConfigError:
    """There is no such means here."""
    return ConfigError(f"this server has no {name}", hint)
