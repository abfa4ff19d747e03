"""Data classes and places: how confidential data is, and where a model or server runs, each as an ordered scale."""

from __future__ import annotations

from typing import Literal, Protocol, get_args

Place = Literal["process", "machine", "network", "region", "anyone"]
"""Where something runs, from the nearest to the widest."""

DataClass = Literal["public", "internal", "confidential"]
"""How confidential data is, from the loosest to the strictest."""

PLACES: tuple[Place, ...] = get_args(Place)
THIS_MACHINE: tuple[Place, ...] = PLACES[:2]
DATA_CLASSES: tuple[DataClass, ...] = get_args(DataClass)
_WITHIN = frozenset((limit, place) for at, limit in enumerate(PLACES) for place in PLACES[: at + 1])


def is_within(limit: Place, place: Place) -> bool:
    """Whether `place` is no wider than `limit`."""
    return (limit, place) in _WITHIN


def strictest(*classes: DataClass) -> DataClass:
    """The strictest of `classes`; without any, `confidential`."""
    return max(classes, key=DATA_CLASSES.index, default=DATA_CLASSES[-1])


class DataBounds(Protocol):
    """The data class of a request, and the furthest place its data may reach; None: none."""

    @property
    def data_class(self) -> DataClass: ...
    @property
    def limit(self) -> Place | None: ...
