"""Messages between our processes that do CPU work: lists of byte strings, each with its length; parses none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from struct import Struct

Bytes = bytes | memoryview

PART_COUNT = Struct(">I")
PART_LENGTH = Struct(">Q")  # bytes


def encode_head(parts: Sequence[Bytes]) -> bytes:
    """The number of parts and the length of each; the parts follow it on the socket."""
    lengths = [memoryview(each).nbytes for each in parts]
    return PART_COUNT.pack(len(parts)) + b"".join(map(PART_LENGTH.pack, lengths))


def decode_lengths(data: bytes) -> list[int]:
    """The lengths, from the bytes after the number of parts."""
    return [length for (length,) in PART_LENGTH.iter_unpack(data)]


async def read_parts(reader: asyncio.StreamReader) -> list[bytes]:
    """The next message; empty if the socket has closed. Raises OSError."""
    try:
        (count,) = PART_COUNT.unpack(await reader.readexactly(PART_COUNT.size))
        lengths = decode_lengths(await reader.readexactly(count * PART_LENGTH.size))
        return [await reader.readexactly(length) for length in lengths]
    except asyncio.IncompleteReadError:
        return []
