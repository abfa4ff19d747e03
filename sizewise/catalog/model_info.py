"""Model metadata, each fact with source and date; plain values, reads no files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Generic, Literal, TypeVar

from sizewise.catalog.memory_estimate import MemoryEstimate, compute_bytes
from sizewise.model_card import DEFAULT_SIZE_THRESHOLDS, ModelTask, SizeClass, SizeThresholds
from sizewise.money import Price

T = TypeVar("T")
Architecture = Literal["dense", "moe"]

QUANTIZATION_BITS: Mapping[str, float] = MappingProxyType(
    {
        "F32": 32.0,
        "F16": 16.0,
        "BF16": 16.0,
        "FP8": 8.0,
        "Q8_0": 8.5,
        "Q6_K": 6.5625,
        "Q5_K_M": 5.58,
        "Q5_0": 5.5,
        "Q4_K_M": 4.77,
        "Q4_1": 5.0,
        "Q4_0": 4.5,
        "MXFP4": 4.25,
        "Q3_K_M": 3.81,
        "Q2_K": 2.89,
    },
)
"""Bits that a weight takes, scales included, by the name of its quantisation."""
OUTPUT_HEAD_BITS = 6.5625
"""Of the matrix that turns the last layer into tokens, where the others have fewer."""
DEFAULT_BATCH_TOKENS = 32
"""Tokens read at a time, where nobody says."""


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """`date`: the day of the source, else that on which it was read. `claimed`: said, but not by who must know."""

    value: T
    source: str
    date: str
    claimed: bool = False

    def __str__(self) -> str:
        return f"{'claimed: ' if self.claimed else ''}{self.source}, {self.date}"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model as its vendor made it, whoever serves it. None is *unknown*."""

    name: str
    title: str
    vendor: str
    task: ModelTask = "chat"
    other_names: frozenset[str] = frozenset()  # other names that mean this very model, in small letters
    offers: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Endpoint -> its names for the model; each has a line in prices.toml."""

    parameters: Fact[int] | None = None  # in total
    active: Fact[int] | None = None  # of them, for one token; where it is a mixture of experts
    architecture: Fact[Architecture] | None = None
    layers: Fact[int] | None = None
    hidden: Fact[int] | None = None  # width of the embedding
    heads: Fact[int] | None = None
    kv_heads: Fact[int] | None = None
    head_dim: Fact[int] | None = None
    latent: Fact[int] | None = None  # numbers kept a token and layer, where keys and values are kept compressed
    attention_layers: Fact[int] | None = None  # those that keep keys and values, where not all do
    sliding: Fact[int] | None = None  # tokens that sliding_layers look back
    sliding_layers: Fact[int] | None = None
    vocabulary: Fact[int] | None = None  # tokens
    experts: Fact[int] | None = None
    experts_used: Fact[int] | None = None  # for one token
    dimensions: Fact[int] | None = None  # of the vector, where it embeds

    context: Fact[int] | None = None  # tokens, prompt and answer together
    max_output: Fact[int] | None = None  # tokens
    sees: Fact[frozenset[str]] | None = None  # beside text
    tools: Fact[bool] | None = None
    thinks: Fact[bool] | None = None  # reasons before it answers, always or when asked
    structured: Fact[bool] | None = None  # keeps to a JSON Schema at its vendor's door

    languages: Fact[frozenset[str]] | None = None  # listed by the vendor: codes of ISO 639
    measured: Fact[Mapping[str, float]] | None = None  # language -> share right, 0..1
    scores: Fact[Mapping[str, float]] | None = None  # benchmark -> share right, 0..1

    licence: Fact[str] | None = None
    cutoff: Fact[str] | None = None  # end of its knowledge: 2024, 2024-06 or 2024-06-30
    released: Fact[str] | None = None
    retires: Fact[str] | None = None  # or retired
    price: Fact[Price] | None = None  # of who sells it, where no known endpoint has a line
    seller: Fact[str] | None = None

    def facts(self) -> Iterator[tuple[str, Fact[object]]]:
        """What is known, in the order above."""
        for each in fields(self):
            fact = getattr(self, each.name)
            if isinstance(fact, Fact):
                yield each.name, fact

    def size_class(self, sizes: SizeThresholds = DEFAULT_SIZE_THRESHOLDS) -> SizeClass:
        """By all its parameters, the active ones or not: they are what has to be held."""
        return sizes.classify(self.parameters.value if self.parameters else None)

    def weights_bytes(self, quantization: str) -> int | None:
        """Bytes of its weights; None where parameters are unknown. KeyError for an unknown quantisation."""
        bits = QUANTIZATION_BITS[quantization.upper()]
        if self.parameters is None:
            return None
        head = self.vocabulary.value * self.hidden.value if self.vocabulary and self.hidden else 0
        head = min(head, self.parameters.value)
        return round(((self.parameters.value - head) * bits + head * max(bits, OUTPUT_HEAD_BITS)) / 8)

    def kv_cache_bytes(self, context: int, bits: float = 16) -> int | None:
        """Bytes of keys and values of one request with `context` tokens; None where its shape is unknown."""
        layers = self.attention_layers or self.layers
        if layers is None:
            return None
        if self.latent is not None:
            numbers = self.latent.value
        elif self.kv_heads is not None and self.head_dim is not None:
            numbers = 2 * self.kv_heads.value * self.head_dim.value
        else:
            return None
        short = self.sliding_layers.value if self.sliding_layers and self.sliding else 0
        seen = min(context, self.sliding.value) if self.sliding else context
        return round(((layers.value - short) * context + short * seen) * numbers * bits / 8)

    def estimate_memory(
        self,
        quantization: str,
        context: int,
        slots: int = 1,
        *,
        batch: int = DEFAULT_BATCH_TOKENS,
    ) -> MemoryEstimate | None:
        """What it takes to run `slots` requests of `context` tokens at the same time; None where too little is known.

        Computed, never written down: weights by bits, keys and values at 16 bits, room for computing as llama.cpp
        takes it. KeyError for an unknown quantisation.
        """
        weights = self.weights_bytes(quantization)
        return None if weights is None else self.estimate_memory_for_file(weights, context, slots, batch=batch)

    def estimate_memory_for_file(
        self,
        weights: int,
        context: int,
        slots: int = 1,
        *,
        batch: int = DEFAULT_BATCH_TOKENS,
    ) -> MemoryEstimate | None:
        """The same, with a file at hand that has so many bytes of weights: some files hold a matrix twice."""
        cache = self.kv_cache_bytes(context)
        if cache is None or self.heads is None or self.vocabulary is None:
            return None
        room = compute_bytes(
            heads=self.heads.value,
            vocabulary=self.vocabulary.value,
            context=context,
            slots=slots,
            batch=batch,
        )
        return MemoryEstimate(weights, cache * slots, room)
