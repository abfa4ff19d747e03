"""A GGUF file of a few hundred bytes, whole and well-formed, for tests that need no model in it."""

from __future__ import annotations

import struct
from pathlib import Path


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def tiny(path: Path, context: int = 2048, license: str = "mit") -> Path:
    """Writes the file: one tensor of 8 x 4 numbers, so 32 parameters."""
    pairs = [
        text("general.architecture") + struct.pack("<I", 8) + text("llama"),
        text("general.license") + struct.pack("<I", 8) + text(license),
        text("llama.context_length") + struct.pack("<II", 4, context),
    ]
    tensor = text("token_embd.weight") + struct.pack("<IQQIQ", 2, 8, 4, 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(pairs)) + b"".join(pairs) + tensor
    path.write_bytes(head + b"\0" * (-len(head) % 32) + b"\0" * 128)
    return path
