"""What passes between us and the process in which others' code runs: one order, one outcome; knows no interpreter."""

from __future__ import annotations

import struct
from typing import Literal

import msgspec
from msgspec import Raw, Struct

Language = Literal["python", "javascript"]
Ended = Literal["done", "failed", "time", "memory", "large"]
"""How the code ended: by itself, by an error of its own, or because it took too long, too much, or gave too much."""

HEAD = struct.Struct("=I")
CODE = 131_072
INPUTS = 8_388_608
OUTPUT = 4_194_304
PRINTED = 65_536
"""Bytes, and characters, at most: of the code, what it is given, what it gives, what it prints."""
MOST = OUTPUT + 4 * PRINTED + 65_536
"""Bytes of an outcome."""
WORDS = 2_000
"""Characters of an error."""


class Bounds(Struct, frozen=True):
    """Of each run. `confined`: a process that cannot give up files and network does not run anything."""

    time_s: float = 5.0
    memory: int = 128_000_000
    confined: bool = True


class Given(Struct, frozen=True):
    """What a process is told first."""

    language: Language
    bounds: Bounds


class Ready(Struct, frozen=True):
    """The first word of a process: whether it can run code, else why not."""

    trouble: str = ""


class Order(Struct, frozen=True):
    """`inputs` are JSON, by the names under which the code sees them."""

    code: str
    inputs: dict[str, Raw]


class Outcome(Struct, frozen=True):
    """`value` is JSON. `words` say what went wrong, in the code's own language."""

    ended: Ended
    value: Raw = Raw(b"null")
    printed: str = ""
    words: str = ""


def framed(said: Struct) -> bytes:
    body = msgspec.json.encode(said)
    return HEAD.pack(len(body)) + body
