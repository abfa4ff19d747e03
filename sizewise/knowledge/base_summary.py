"""A knowledge base and how much is in it, as lists show it."""

from __future__ import annotations

from msgspec import Struct


class PassageCounts(Struct, frozen=True):
    """Counts for a document or a whole base. `passages` includes `waiting` and `held_back`."""

    passages: int = 0
    waiting: int = 0
    held_back: int = 0
    documents: int = 0


class BaseSummary(Struct, frozen=True):
    name: str
    project: str
    created: int
    model: str
    counts: PassageCounts
