"""Weights and keys and values of a model against a machine: which quantisation fits, with how many slots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from sizewise.advisor.assumptions import Assumed
from sizewise.advisor.sourced_number import Number
from sizewise.advisor.workload import Workload
from sizewise.catalog.memory_estimate import Need, size
from sizewise.catalog.model_info import Known

Where = Literal["memory", "gpu"]
QUANTISATIONS: tuple[str, ...] = ("Q8_0", "Q6_K", "Q4_K_M")
"""Those that are proposed: below four bits a model loses more than a smaller one at four bits does."""
SHOWN: tuple[str, ...] = ("F16", *QUANTISATIONS)


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes for a model: `all` there are, less `reserved` for others. All of a model stands in one of the two rooms."""

    where: Where
    all: int
    reserved: int

    @property
    def bytes(self) -> int:
        return self.all - self.reserved


def rooms(work: Workload, assumed: Assumed) -> tuple[Room, ...]:
    memory = Room("memory", work.memory, 0 if work.free else round(work.memory * assumed["reserve"]))
    gpu = Room("gpu", work.gpu, round(work.gpu * assumed["reserve-gpu"]))
    return (memory, gpu) if work.gpu else (memory,)


@dataclass(frozen=True, slots=True)
class Fit:
    """`need` of `slots` requests side by side with `context` tokens each; no slots where not even one fits."""

    model: Known
    quantisation: str
    context: int
    room: Room
    need: Need
    slots: int

    @property
    def left(self) -> Fraction:
        """Share of the room that one request leaves free."""
        one = self.model.memory(self.quantisation, self.context)
        taken = one.total if one is not None else self.need.total
        return max(Fraction(0), 1 - Fraction(taken, self.room.bytes)) if self.room.bytes else Fraction(0)

    def numbers(self) -> tuple[Number, ...]:
        """What it was computed of."""
        parts = ("parameters", "layers", "kv_heads", "head_dim", "latent", "sliding", "heads", "vocabulary")
        facts = [(name, getattr(self.model, name)) for name in parts]
        return tuple(
            Number(f"{self.model.name} {name}", f"{fact.value:,}", "fact", str(fact))
            for name, fact in facts
            if fact is not None
        )

    def __str__(self) -> str:
        return f"{self.need} in {size(self.room.bytes)} of {self.room.where}"


def fit(model: Known, quantisation: str, context: int, room: Room, most: int) -> Fit | None:
    """With as many slots as the room holds, at most `most`; None where the model's shape is not known."""
    one = model.memory(quantisation, context)
    if one is None:
        return None
    slots, need = 0, one
    low, high = 1, max(1, most)
    while low <= high:  # memory grows with every slot
        middle = (low + high) // 2
        tried = model.memory(quantisation, context, middle)
        if tried is not None and tried.total <= room.bytes:
            slots, need, low = middle, tried, middle + 1
        else:
            high = middle - 1
    return Fit(model, quantisation, context, room, need, slots)


def table(model: Known, room: Room, context: int, assumed: Assumed) -> Iterator[Fit]:
    """Every quantisation in a room."""
    for quantisation in SHOWN:
        found = fit(model, quantisation, context, room, int(assumed["most-slots"]))
        if found is not None:
            yield found
