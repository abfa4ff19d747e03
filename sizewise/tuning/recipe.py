"""Recipes of a training, by preset, and what one will take: tokens, seconds and memory; trains nothing. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from sizewise.catalog.gguf_header import GgufHeader


class Recipe(Struct, frozen=True):
    """LoRA on all linear layers. `batch`: examples a step."""

    epochs: int
    rank: int = 8
    alpha: int = 16
    batch: int = 8
    learning_rate: float = 1e-3
    seed: int = 1


class Preset(Struct, frozen=True):
    """At least so many epochs, and so many steps: a few examples are learned in as many steps as many are."""

    epochs: int
    steps: int


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {"quick": Preset(1, 40), "standard": Preset(3, 240), "thorough": Preset(6, 480)}
)
MOST_EPOCHS = 20
"""For the sake of the steps."""
FLOPS_PER_PARAMETER = 8.0
"""Of one token: two forward, two backward to the adapter, which products of so few tokens take the time of 5.4 for, and
half as much again for what is no matrix product, as profiled with a 135M model. The base gets no gradient; an embedding
is looked up, and gives logits for answers alone."""
START_S = 70.0
"""To import PyTorch, read the base, and answer the probes of both runtimes and the canaries afterwards."""
RUNTIME_BYTES = 500_000_000
"""PyTorch, transformers and PEFT in memory."""
LOADING_COPIES = 1.6
"""Of the base in 32 bits while it is read from its quantized file, as measured."""
VALUES_PER_TOKEN = 46
"""Kept in each layer for the backward pass, times its width; measured with a 135M model."""


class TrainingEstimate(Struct, frozen=True):
    """`cpu_seconds`: of the processor, so on the clock where one core is free. `bytes`: the most memory at a time."""

    tokens: int  # that are computed, of all epochs
    steps: int
    cpu_seconds: float
    bytes: int


def recipe_for(preset: Preset, examples: int) -> Recipe:
    made = Recipe(epochs=preset.epochs)
    of_steps = -(-preset.steps * made.batch // max(1, examples))
    return replace(made, epochs=max(preset.epochs, min(of_steps, MOST_EPOCHS)))


def estimate(header: GgufHeader, recipe: Recipe, lengths: Sequence[int], shared: int, flops: float) -> TrainingEstimate:
    """`lengths`: tokens of each example; `shared`: those with which all begin. `flops`: what matrix products reach
    here, a second.
    """
    steps = -(-len(lengths) // recipe.batch) * recipe.epochs
    total = (sum(lengths) - shared * len(lengths)) * recipe.epochs + shared * steps
    kept = header.layers * header.embedding_length * VALUES_PER_TOKEN * 4
    logits = header.vocabulary * 8 * 4  # of answers of eight tokens
    held = recipe.batch * ((max(lengths) - shared) * kept + logits) + shared * kept
    base = header.parameters * 4
    multiplied = max(header.parameters - header.vocabulary * header.embedding_length, header.parameters // 2)
    return TrainingEstimate(
        tokens=total,
        steps=steps,
        cpu_seconds=START_S + total * multiplied * FLOPS_PER_PARAMETER / flops,
        bytes=int(RUNTIME_BYTES + max(base * LOADING_COPIES, base + held)),
    )
