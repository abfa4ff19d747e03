"""The messages between the embedded vector store and its worker process; opens nothing."""

from __future__ import annotations

import struct
from array import array

import msgspec
from msgspec import Struct

from sizewise.data_class import DataClass
from sizewise.knowledge.vector_store import Passage, PassageQuery, SearchHit, Tag

HEAD = struct.Struct(">I")  # length of the frame that follows, in bytes


class Point(Struct, frozen=True, array_like=True):
    """A passage with its vector as 32-bit floats, which encodes six times as fast as a list."""

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
    """Response: whether the base should be optimized."""

    key: str
    dimension: int
    points: list[Point]


class DeletePoints(Struct, frozen=True, tag=True):
    """Response: number of deleted points."""

    key: str
    dimension: int
    document: str
    keep: list[str]


class SearchPoints(Struct, frozen=True, tag=True):
    """Response: list of SearchHit."""

    key: str
    dimension: int
    query: PassageQuery


class CountPoints(Struct, frozen=True, tag=True):
    key: str
    dimension: int


class FindPoints(Struct, frozen=True, tag=True):
    """Response: a SearchHit without content for each of the ids that is stored."""

    key: str
    dimension: int
    ids: list[str]


class CountShard(Struct, frozen=True, tag=True):
    """Response: number of points that can be read; 0 if there is no shard, or its files are damaged. Creates none."""

    key: str


class RemoveShard(Struct, frozen=True, tag=True):
    key: str


class CopyShard(Struct, frozen=True, tag=True):
    """Response: folder of a copy, for another process to optimize; writes are recorded from then on.

    None if fewer than `min_unindexed` points were added or deleted since the last time.
    """

    key: str
    dimension: int
    min_unindexed: int


class SwapShard(Struct, frozen=True, tag=True):
    """Replays recorded writes on the copy and swaps it in. Response: whether there was a valid copy."""

    key: str
    dimension: int


ShardCall = (
    OpenShard
    | UpsertPoints
    | DeletePoints
    | SearchPoints
    | CountPoints
    | FindPoints
    | CountShard
    | RemoveShard
    | CopyShard
    | SwapShard
)


class ShardRequest(Struct, frozen=True, array_like=True):
    number: int
    call: ShardCall


class ShardResponse(Struct, frozen=True, array_like=True):
    """`error`: "", "conflict", "damaged" or "failed"; with an error, `value` is the message."""

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
