"""What a kind of node is and what it has in hand while it runs; knows no kind, no room's tables and no engine.

A kind is one file in nodes/ and one entry point in `sizewise.nodes`: a frozen struct whose fields are its parameters
(their docs make the published schema and the studio's form) and a `run`. What a node needs of other rooms it is given
as means, by Protocol; where a means is not there, the node says which setting or extra would bring it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Annotated, ClassVar, Protocol

import msgspec
from msgspec import Meta, Struct

from sizewise.data_class import DataClass, Place, strictest
from sizewise.errors import ConfigError
from sizewise.flows.engine import Steps
from sizewise.flows.language.types import JSON, Json, Type
from sizewise.handler import Answerer, Ask, Send, Wishes
from sizewise.knowledge.document import Document
from sizewise.knowledge.ingestion import Brought, Taken
from sizewise.knowledge.knowledge_service import Mode
from sizewise.knowledge.results import Found
from sizewise.knowledge.vector_store import Where
from sizewise.messages import Chat, Reply
from sizewise.principal import Caller
from sizewise.tools.sandbox.process_pool import Ran
from sizewise.tools.sandbox.protocol import Language
from sizewise.tools.tool import Tool

Plain = Annotated[str, Meta(extra={"plain": True})]
"""A text in which {{ means nothing: code, which never has values written into it."""


Settled = Annotated[str, Meta(extra={"settled": True})]
"""A text that must be known before anything runs: a flow's name, a variable's."""


class Objection(Struct, frozen=True):
    """What a kind finds wrong with its own parameters; `name` is the parameter's."""

    name: str
    message: str
    hint: str = ""


class Given(Struct, frozen=True):
    """A node before it runs: `values` are the parameters that are known already, `typed` what each will be.

    `inner` is what an each or loop gives a round; `flow` tells what another flow takes and gives, None where there is
    none of that name.
    """

    values: Mapping[str, Json]
    typed: Mapping[str, Type]
    inner: Type = JSON
    flow: Callable[[str], Signature | None] = lambda name: None


class Signature(Struct, frozen=True):
    """What a flow takes, and which of it must be given; what it gives."""

    inputs: Mapping[str, Type]
    required: frozenset[str]
    outputs: Mapping[str, Type]
    speaks: str = ""  # the output that is its words


class Kind(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all kinds. The docstring of a kind, its first line, is what people are told of it."""

    effect: ClassVar[bool] = False
    """It does something outside, so that it is worth running where nobody uses what it gives."""
    stepped: ClassVar[bool] = True
    """It is one step, done once. Not so each, loop, subflow (their nodes are) and what waits."""
    holds: ClassVar[bool] = False
    """It has nodes and outputs of its own."""
    tightens: ClassVar[bool] = False
    """Its output says a `data_class`, and all that the run does from then on is kept so closely."""
    late: ClassVar[frozenset[str]] = frozenset()
    """Parameters whose {{ }} are worked out after each round, among the names within, and not before the node runs."""

    @classmethod
    def gives(cls, given: Given) -> Type:
        """What its output is."""
        return JSON

    @classmethod
    def speaks(cls, given: Given) -> str:
        """The field of its output whose words come while it runs; empty where none does."""
        return ""

    @classmethod
    def paths(cls, given: Given) -> tuple[str, ...]:
        """The edges that leave it one at a time; empty but for a branch."""
        return ()

    @classmethod
    def names(cls, given: Given) -> Mapping[str, Type]:
        """What its own nodes can name beside each other."""
        return {}

    @classmethod
    def objections(cls, given: Given) -> Iterator[Objection]:
        """What is wrong with it beyond its types."""
        return iter(())

    async def run(self, job: Job) -> Json:
        """Raises SizewiseError. What it gives must be as `gives` says."""
        raise NotImplementedError


# ---- what a node has in hand ----------------------------------------------------------------------------------------


class Knowledge(Protocol):
    async def search(
        self, ask: Ask, name: str, query: str, *, limit: int = 5, mode: Mode = "hybrid", where: Where | None = None
    ) -> list[Found]:
        """Passages that `ask.caller` may see, the best first."""
        ...

    async def ingest(self, ask: Ask, name: str, brought: Sequence[Brought]) -> list[Taken]:
        """Documents are in the base, and can be found, when this returns."""
        ...


class Files(Protocol):
    async def __call__(self, data: bytes, name: str) -> Document:
        """A file as it was read. Raises BadRequest where it cannot be."""
        ...


class Tools(Protocol):
    async def chosen(self, names: Sequence[str], caller: Caller) -> tuple[Tool, ...]:
        """Those that this caller may use. Raises BadRequest for a name that means nothing."""
        ...


class Sandbox(Protocol):
    async def run(
        self, language: Language, code: str, inputs: Mapping[str, object], tenant: str, *, time_s: float | None = None
    ) -> Ran:
        """What the code gave. Its inputs are names in it, as values and never as code; it reaches nothing outside."""
        ...


class Agents(Protocol):
    async def run(
        self,
        ask: Ask,
        agent: Mapping[str, Json],
        task: str,
        send: Send,
        *,
        key: str,
        steps: Steps | None = None,
        place: str = "agent",
    ) -> Json:
        """`text`, `steps`, and why it `ended`. `agent` is its name, or all of it; what `ask` may cost, all of it may.
        Its own steps begin with `place`."""
        ...


class Memory(Protocol):
    async def recall(self, ask: Ask, whose: str, query: str, limit: int) -> list[Json]: ...
    async def remember(self, ask: Ask, whose: str, text: str, *, key: str) -> list[Json]: ...
    async def forget(self, ask: Ask, whose: str, query: str) -> list[Json]: ...


class Got(Struct, frozen=True):
    """An answer of HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http(Protocol):
    async def __call__(
        self,
        caller: Caller,
        method: str,
        host: str,
        target: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        data_class: DataClass,
        limit: Place,
        most: int,
    ) -> Got:
        """Asks a host of the settings, by its name there. `target` is appended to its URL; `most`: bytes of the answer.

        Raises BadRequest for a host that nobody allowed, EgressDenied, Upstream."""
        ...

    def host(self, url: str) -> tuple[str, str]:
        """The name of the allowed host that a whole URL means, and the target there. Raises EgressDenied."""
        ...


class Library(Protocol):
    """Other flows."""

    async def version(self, ask: Ask, name: str) -> str:
        """The version that `NAME` or `NAME@VERSION` means now. Raises UnknownModel, Forbidden."""
        ...

    async def flow(self, ask: Ask, name: str, version: str) -> Runnable: ...


class Runnable(Protocol):
    """A flow that was checked, for whoever runs it within another."""

    @property
    def name(self) -> str: ...


class Bounds(Protocol):
    """The class of data, and how far it may go; None is nowhere."""

    @property
    def data_class(self) -> DataClass: ...
    @property
    def limit(self) -> Place | None: ...


class Closest(Struct, frozen=True):
    data_class: DataClass = "confidential"
    limit: Place | None = "machine"


def closest(ask: Ask) -> Bounds:
    """The strictest there is, for want of better knowledge."""
    return Closest()


class Quote(Struct, frozen=True):
    """What a question would cost, and who would be asked first, as the router would have it. `cost` in pico-dollars,
    None where a price is unknown; `window` in tokens; `objection` says why nobody fits."""

    model: str = ""
    cost: int | None = None
    window: int | None = None
    objection: str = ""


@dataclass(frozen=True, slots=True)
class Means:
    """What nodes reach beyond themselves. `answer` is the house's whole onion; None: there is no such thing here.

    `told` says of a request the class of its data, and how far that may go: the router's own word.
    """

    answer: Answerer
    told: Callable[[Ask], Bounds] = closest
    knowledge: Knowledge | None = None
    files: Files | None = None
    tools: Tools | None = None
    sandbox: Sandbox | None = None
    agents: Agents | None = None
    memory: Memory | None = None
    http: Http | None = None
    library: Library | None = None
    quote: Callable[[Ask], Quote] | None = None


class Body(Protocol):
    """The nodes that an each or loop holds, or another flow's."""

    async def __call__(self, mark: str, names: Mapping[str, Json]) -> Json:
        """One round of them: what their outputs come to. `mark` tells rounds apart in the keys of steps: [3]."""
        ...

    def late(self, name: str, names: Mapping[str, Json]) -> Json:
        """A `late` parameter, worked out among these names."""
        ...

    async def flow(self, flow: Runnable, inputs: Mapping[str, Json], send: Send) -> Json:
        """Another flow, whole, a floor deeper. Raises BadRequest where that is too deep."""
        ...


def endless() -> int | None:
    """Pico-dollars left, where nobody set a limit."""
    return None


@dataclass(frozen=True, slots=True)
class Job:
    """One node under way. `place` is where in the run (each[3].answer), `key` that with the run's id: what stands
    behind the key happens once, so it is sent where others can tell repetitions by it.

    `ask` is whose run it is, and how its data must be kept; its `what` is nobody's. `send` takes events of models: the
    words go to the client where this node feeds what the client reads (`speaks`), else nowhere; what was spent is
    booked. `left`: pico-dollars that the run may still spend.
    """

    place: str
    key: str
    ask: Ask
    means: Means
    send: Send
    steps: Steps
    body: Body
    speaks: bool = False
    left: Callable[[], int | None] = endless

    def asking(self, what: Chat, wishes: Wishes = Wishes()) -> Ask:  # noqa: B008  # frozen
        """A question of this node. What it wishes can only tighten what the run's caller wished."""
        now, outer = perf_counter(), self.ask.wishes
        if outer.max_ms is not None:
            outer = msgspec.structs.replace(outer, max_ms=max(1, outer.max_ms - int((now - self.ask.started) * 1000)))
        outer = msgspec.structs.replace(outer, max_cost=self.left())
        return msgspec.structs.replace(self.ask, what=what, started=now, wishes=tightened(outer, wishes))

    @property
    def data_class(self) -> DataClass:
        """How closely what the node has in hand must be kept."""
        return self.means.told(self.ask).data_class

    @property
    def limit(self) -> Place:
        """How far that may go, at most."""
        return self.means.told(self.ask).limit or "process"

    async def answer(self, what: Chat, wishes: Wishes = Wishes()) -> Reply:  # noqa: B008  # frozen
        return await self.means.answer(self.asking(what, wishes), self.send)


def tightened(outer: Wishes, inner: Wishes) -> Wishes:
    """Of limits the smaller, of classes the stricter. The outer session, key and policy are the run's, not a node's."""
    classes: list[DataClass] = [each for each in (outer.data_class, inner.data_class) if each is not None]
    return Wishes(
        inner.policy,
        _least(outer.max_cost, inner.max_cost),
        _least(outer.max_ms, inner.max_ms),
        max(filter(None, (outer.min_quality, inner.min_quality)), default=None),
        strictest(*classes) if classes else None,
        "deny" if "deny" in (outer.online, inner.online) else inner.online or outer.online,
        inner.session,
        inner.idempotency_key,
        inner.cache or outer.cache,
        outer.by,
        max(filter(None, (outer.min_window, inner.min_window)), default=None),
    )


def _least(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


def missing(what: str, hint: str) -> ConfigError:
    """There is no such means here."""
    return ConfigError(f"this server has no {what}", hint)
