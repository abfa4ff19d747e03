"""Bound of a model's memory by its parameters alone, where its architecture is unknown: at least its weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sizewise.advisor.memory_fit import SHOWN_QUANTIZATIONS, MemoryPool
from sizewise.catalog.model_info import ModelInfo

SIMILAR = 2
"""A model of similar size has at least half and at most twice the parameters."""


@dataclass(frozen=True, slots=True)
class CacheOfSimilar:
    """Of `count` models of similar size, `model` needs the most beside its weights: so many bytes for one request."""

    bytes: int
    model: str
    count: int


@dataclass(frozen=True, slots=True)
class ParameterBound:
    """`weights`: bytes that it needs at least. `fits`: True if it fits with the cache of similar models too, False if
    its weights alone do not, None if that cannot be told.
    """

    quantization: str
    weights: int
    fits: bool | None


def cache_of_similar(model: ModelInfo, others: Iterable[ModelInfo], context: int) -> CacheOfSimilar | None:
    """For one request of `context` tokens. None if no architecture of similar size is known."""
    if model.parameters is None:
        return None
    size, found = model.parameters.value, list[tuple[int, str]]()
    for other in others:
        if other.parameters is None or not size <= SIMILAR * other.parameters.value <= SIMILAR**2 * size:
            continue
        if (memory := other.estimate_memory(SHOWN_QUANTIZATIONS[0], context)) is not None:
            found.append((memory.total - memory.weights, other.name))
    if not found:
        return None
    most, name = max(found)
    return CacheOfSimilar(most, name, len(found))


def bounds_by_parameters(
    model: ModelInfo, pool: MemoryPool, similar: CacheOfSimilar | None
) -> Iterator[ParameterBound]:
    """One bound for each of SHOWN_QUANTIZATIONS; none if the parameters are unknown."""
    for quantization in SHOWN_QUANTIZATIONS:
        weights = model.weights_bytes(quantization)
        if weights is None:
            return
        fits = None if similar is None or weights + similar.bytes > pool.available else True
        yield ParameterBound(quantization, weights, False if weights > pool.available else fits)
