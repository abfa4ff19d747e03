"""One line of the table of guards: a guard, or one kind of what it finds, on one labelled set."""

from __future__ import annotations

from msgspec import Struct


class Row(Struct, frozen=True):
    """`recall` and `precision` are 0..1 over the `n` labelled items (None: the set cannot tell).

    `false_alarms` of `ordinary_n` ordinary texts were found something in. `source` says where the set comes from, and
    whether the guard has seen it before.
    """

    guard: str
    set: str
    source: str
    n: int
    recall: float | None
    precision: float | None
    false_alarms: int = 0
    ordinary_n: int = 0
