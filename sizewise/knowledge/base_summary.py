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
    """`created`: unix ms; None: the settings declare it, and nothing was added yet. `model`: that embeds it, empty if
    the settings name none that is there.
    """

    name: str
    project: str
    created: int | None
    model: str
    counts: PassageCounts = PassageCounts()


class ReadableDocuments(Struct, frozen=True):
    """How many documents of a base a key can read: those that are both `in_class` and `open`. `in_class`: not stricter
    than it finds; `open`: to everyone in the project, or to it by name.
    """

    readable: int = 0
    total: int = 0
    in_class: int = 0
    open: int = 0
