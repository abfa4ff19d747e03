"""The words between the embedded store's two sides, parent and worker: one frame each way; opens nothing."""

from __future__ import annotations

import struct
from array import array

import msgspec
from msgspec import Struct

from sizewise.data_class import DataClass
from sizewise.knowledge.vector_store import Hit, Passage, Query, Tag

HEAD = struct.Struct(">I")  # bytes of the frame that follows


class Point(Struct, frozen=True, array_like=True):
    """A passage; its vector as 32-bit floats, a sixth of the time that a list takes."""

    id: str
    document: str
    vector: bytes
    terms: dict[int, int]
    sealed: bytes
    readers: tuple[str, ...]
    data_class: DataClass
    tags: dict[str, Tag]


class Open(Struct, frozen=True, tag=True):
    key: str
    dimension: int


class Put(Struct, frozen=True, tag=True):
    """Answered by whether the base should be put in order."""

    key: str
    dimension: int
    points: list[Point]


class Drop(Struct, frozen=True, tag=True):
    """Answered by how many."""

    key: str
    dimension: int
    document: str
    but: list[str]


class Search(Struct, frozen=True, tag=True):
    """Answered by Hits."""

    key: str
    dimension: int
    query: Query


class Count(Struct, frozen=True, tag=True):
    key: str
    dimension: int


class Remove(Struct, frozen=True, tag=True):
    key: str


class Copy(Struct, frozen=True, tag=True):
    """Answered by the folder of a copy, which another process may put in order; writes are remembered from then on.

    None where fewer than `least` passages came or went since the last time.
    """

    key: str
    dimension: int
    least: int


class Swap(Struct, frozen=True, tag=True):
    """Puts the copy in the original's place, with what was written since. Answered by whether that could be done."""

    key: str
    dimension: int


Call = Open | Put | Drop | Search | Count | Remove | Copy | Swap


class Asked(Struct, frozen=True, array_like=True):
    number: int
    call: Call


class Told(Struct, frozen=True, array_like=True):
    """`kind` of the trouble: "" none, "conflict", "failed"; then `value` is its words."""

    number: int
    kind: str
    value: bool | int | str | list[Hit] | None


def frame(message: Asked | Told) -> bytes:
    payload = msgspec.msgpack.encode(message)
    return HEAD.pack(len(payload)) + payload


def point(passage: Passage) -> Point:
    vector = array("f", passage.vector).tobytes()
    of = passage
    return Point(of.id, of.document, vector, dict(of.terms), of.sealed, tuple(of.readers), of.data_class, dict(of.tags))
