"""The messages between the sandbox and its worker processes; knows no interpreter."""

from __future__ import annotations

import struct
from typing import Literal

import msgspec
from msgspec import Raw, Struct

Language = Literal["python", "javascript"]
ExitReason = Literal["done", "failed", "time", "memory", "large"]
"""How the code ended: by itself, by an error of its own, or because it took too long, too much, or gave too much."""

FRAME_HEADER = struct.Struct("=I")
MAX_CODE_BYTES = 131_072
MAX_INPUT_BYTES = 8_388_608
MAX_OUTPUT_BYTES = 4_194_304
MAX_STDOUT_CHARS = 65_536
"""Bytes, and characters, at most: of the code, what it is given, what it gives, what it prints."""
MAX_FRAME_BYTES = MAX_OUTPUT_BYTES + 4 * MAX_STDOUT_CHARS + 65_536
"""Bytes of an outcome."""
MAX_ERROR_CHARS = 2_000
"""Characters of an error."""


class CodeLimits(Struct, frozen=True):
    """Of each run. `require_confinement`: a process that cannot give up files and network does not run anything."""

    time_s: float = 5.0
    memory: int = 128_000_000
    require_confinement: bool = True


class SandboxConfig(Struct, frozen=True):
    """What a process is told first."""

    language: Language
    limits: CodeLimits


class SandboxReady(Struct, frozen=True):
    """The first word of a process: whether it can run code, else why not."""

    error: str = ""


class CodeRequest(Struct, frozen=True):
    """`inputs` are JSON, by the names under which the code sees them."""

    code: str
    inputs: dict[str, Raw]


class CodeOutcome(Struct, frozen=True):
    """`value` is JSON. `error` say what went wrong, in the code's own language."""

    reason: ExitReason
    value: Raw = Raw(b"null")
    stdout: str = ""
    error: str = ""


def encode_frame(message: Struct) -> bytes:
    body = msgspec.json.encode(message)
    return FRAME_HEADER.pack(len(body)) + body
