"""The messages between the sandbox and its worker processes; knows no interpreter."""

from __future__ import annotations

import struct
from typing import Literal

import msgspec
from msgspec import Raw, Struct

Language = Literal["python", "javascript"]
ExitReason = Literal["done", "failed", "time", "memory", "large"]
"""How the code ended; `failed`: with an error of its own; `large`: its result was too large."""

FRAME_HEADER = struct.Struct("=I")
MAX_CODE_BYTES = 131_072
MAX_INPUT_BYTES = 8_388_608
MAX_OUTPUT_BYTES = 4_194_304
MAX_STDOUT_CHARS = 65_536
MAX_FRAME_BYTES = MAX_OUTPUT_BYTES + 4 * MAX_STDOUT_CHARS + 65_536
"""Of an encoded CodeOutcome."""
MAX_ERROR_CHARS = 2_000


class CodeLimits(Struct, frozen=True):
    """Limits of each run; `memory` is in bytes. `require_confinement`: do not run code if confinement fails."""

    time_s: float = 5.0
    memory: int = 128_000_000
    require_confinement: bool = True


class SandboxConfig(Struct, frozen=True):
    """The first message to a worker process."""

    language: Language
    limits: CodeLimits


class SandboxReady(Struct, frozen=True):
    """The first message from a worker process; `error`: why it cannot run code, else empty."""

    error: str = ""


class CodeRequest(Struct, frozen=True):
    """`inputs`: variable name -> JSON."""

    code: str
    inputs: dict[str, Raw]


class CodeOutcome(Struct, frozen=True):
    """`value` is JSON. `error` is the interpreter's error message."""

    reason: ExitReason
    value: Raw = Raw(b"null")
    stdout: str = ""
    error: str = ""


def encode_frame(message: Struct) -> bytes:
    body = msgspec.json.encode(message)
    return FRAME_HEADER.pack(len(body)) + body
