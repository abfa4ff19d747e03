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
Architecture = Literal["dense", "moe", "decoder", "encoder", "encoder-decoder", "dense decoder", "moe decoder"]
"""Mixture of experts or not, and which half of a transformer, as far as a source says."""

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
"""Bits per weight, including scales, by quantization."""
OUTPUT_HEAD_BITS = 6.5625
"""Bits per weight of the output head, if the other weights have fewer."""
DEFAULT_BATCH_TOKENS = 32
"""Tokens per batch, by default."""


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """`date`: the source's own date, else the date of reading. `claimed`: the source is not authoritative."""

    value: T
    source: str
    date: str
    claimed: bool = False

    def __str__(self) -> str:
        return f"{'claimed: ' if self.claimed else ''}{self.source}, {self.date}"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model as published by its vendor, independent of who serves it. None means unknown."""

    name: str
    title: str
    vendor: str
    task: ModelTask = "chat"
    aliases: frozenset[str] = frozenset()  # other names of the same model, in lower case
    offers: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Endpoint -> its names for the model, each with a line in prices.toml."""

    parameters: Fact[int] | None = None  # total
    active: Fact[int] | None = None  # per token, in a mixture of experts
    architecture: Fact[Architecture] | None = None
    layers: Fact[int] | None = None
    hidden: Fact[int] | None = None  # width of the embedding
    heads: Fact[int] | None = None
    kv_heads: Fact[int] | None = None
    head_dim: Fact[int] | None = None
    latent: Fact[int] | None = None  # numbers per token and layer, if the KV cache is compressed
    attention_layers: Fact[int] | None = None  # layers with a KV cache, if not all have one
    sliding: Fact[int] | None = None  # attention window of sliding_layers in tokens
    sliding_layers: Fact[int] | None = None
    vocabulary: Fact[int] | None = None  # tokens
    experts: Fact[int] | None = None
    experts_used: Fact[int] | None = None  # per token
    dimensions: Fact[int] | None = None  # of an embedding

    context: Fact[int] | None = None  # tokens, prompt and reply together
    max_output: Fact[int] | None = None  # tokens
    input_modalities: Fact[frozenset[str]] | None = None  # inputs besides text
    tools: Fact[bool] | None = None
    reasoning: Fact[bool] | None = None  # reasons before it answers, always or on request
    structured_outputs: Fact[bool] | None = None  # follows a JSON Schema in its vendor's API

    languages: Fact[frozenset[str]] | None = None  # listed by the vendor, as ISO 639 codes
    measured: Fact[Mapping[str, float]] | None = None  # language -> share correct, 0..1
    scores: Fact[Mapping[str, float]] | None = None  # benchmark -> share correct, 0..1

    license: Fact[str] | None = None
    training_data: Fact[str] | None = None  # where it came from, as its vendor says
    calls_home: Fact[bool] | None = None  # whether the runtime that this package embeds for it opens connections
    note: Fact[str] | None = None
    knowledge_cutoff: Fact[str] | None = None  # end of its training data: 2024, 2024-06 or 2024-06-30
    release_date: Fact[str] | None = None
    retirement_date: Fact[str] | None = None  # date of retirement, past or planned
    price: Fact[Price] | None = None  # the seller's, if no known endpoint has a line
    seller: Fact[str] | None = None

    @property
    def reasons(self) -> bool:
        """Whether the model is known to reason before it answers."""
        return self.reasoning is not None and self.reasoning.value

    def facts(self) -> Iterator[tuple[str, Fact[object]]]:
        """The known facts, in the order above."""
        for each in fields(self):
            fact = getattr(self, each.name)
            if isinstance(fact, Fact):
                yield each.name, fact

    def size_class(self, sizes: SizeThresholds = DEFAULT_SIZE_THRESHOLDS) -> SizeClass:
        """By total parameters, active or not: all of them occupy memory."""
        return sizes.classify(self.parameters.value if self.parameters else None)

    def weights_bytes(self, quantization: str) -> int | None:
        """Bytes of the weights; None if the parameters are unknown. KeyError for an unknown quantization."""
        bits = QUANTIZATION_BITS[quantization.upper()]
        if self.parameters is None:
            return None
        head = self.vocabulary.value * self.hidden.value if self.vocabulary and self.hidden else 0
        head = min(head, self.parameters.value)
        return round(((self.parameters.value - head) * bits + head * max(bits, OUTPUT_HEAD_BITS)) / 8)

    def kv_cache_bytes(self, context: int, bits: float = 16) -> int | None:
        """Bytes of the KV cache of one request with `context` tokens; None if the shape is unknown."""
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
        """Memory for `slots` concurrent requests of `context` tokens; None if too little is known.

        Computed from bits per weight, a KV cache at 16 bits and llama.cpp's compute buffers. KeyError for an unknown
        quantization.
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
        """The same for an actual file with `weights` bytes: some files hold a matrix twice."""
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
