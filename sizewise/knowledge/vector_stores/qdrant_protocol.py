"""The messages between the embedded vector store and its worker process; opens nothing."""

from __future__ import annotations

import struct
from array import array

import msgspec
from msgspec import Struct

from sizewise.data_class import DataClass
from sizewise.knowledge.vector_store import Passage, PassageQuery, SearchHit, Tag

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


class OpenShard(Struct, frozen=True, tag=True):
    key: str
    dimension: int


class UpsertPoints(Struct, frozen=True, tag=True):
    """Answered by whether the base should be put in order."""

    key: str
    dimension: int
    points: list[Point]


class DeletePoints(Struct, frozen=True, tag=True):
    """Answered by how many."""

    key: str
    dimension: int
    document: str
    keep: list[str]


class SearchPoints(Struct, frozen=True, tag=True):
    """Answered by Hits."""

    key: str
    dimension: int
    query: PassageQuery


class CountPoints(Struct, frozen=True, tag=True):
    key: str
    dimension: int


class RemoveShard(Struct, frozen=True, tag=True):
    key: str


class CopyShard(Struct, frozen=True, tag=True):
    """Answered by the folder of a copy, which another process may put in order; writes are remembered from then on.

    None where fewer than `min_unindexed` passages came or went since the last time.
    """

    key: str
    dimension: int
    min_unindexed: int


class SwapShard(Struct, frozen=True, tag=True):
    """Puts the copy in the original's place, with what was written since. Answered by whether that could be done."""

    key: str
    dimension: int


ShardCall = OpenShard | UpsertPoints | DeletePoints | SearchPoints | CountPoints | RemoveShard | CopyShard | SwapShard


class ShardRequest(Struct, frozen=True, array_like=True):
    number: int
    call: ShardCall


class ShardResponse(Struct, frozen=True, array_like=True):
    """`error` of the trouble: "" none, "conflict", "failed"; then `value` is its words."""

    number: int
    error: str
    value: bool | int | str | list[SearchHit] | None


def encode_frame(message: ShardRequest | ShardResponse) -> bytes:
    payload = msgspec.msgpack.encode(message)
    return HEAD.pack(len(payload)) + payload


def to_point(passage: Passage) -> Point:
    vector = array("f", passage.vector).tobytes()
    of = passage
    return Point(
        id=of.id,
        document=of.document,
        vector=vector,
        terms=dict(of.terms),
        sealed=of.sealed,
        readers=tuple(of.readers),
        data_class=of.data_class,
        tags=dict(of.tags),
    )
