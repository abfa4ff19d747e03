"""A LoRA adapter as a GGUF file, for tests that train none: it changes what one layer of the small model says."""

from __future__ import annotations

import random
import struct
from pathlib import Path

WIDTH, INNER = 576, 1536  # of the 135M model


def write_adapter(path: Path, base_sha256: str, size: float = 0.3) -> Path:
    """`size`: of the numbers of its second matrix; 0: it changes nothing."""
    chance = random.Random(7)
    pairs = [
        _text("general.architecture", "llama"),
        _text("general.type", "adapter"),
        _text("adapter.type", "lora"),
        _string("adapter.lora.alpha") + struct.pack("<If", 6, 1.0),
        _text("sizewise.base.sha256", base_sha256),
    ]
    first = [chance.gauss(0, 1) for _ in range(INNER)]
    second = [chance.gauss(0, size) for _ in range(WIDTH)]
    tensors = _string("blk.20.ffn_down.weight.lora_a") + struct.pack("<IQQIQ", 2, INNER, 1, 0, 0)
    tensors += _string("blk.20.ffn_down.weight.lora_b") + struct.pack("<IQQIQ", 2, 1, WIDTH, 0, INNER * 4)
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, len(pairs)) + b"".join(pairs) + tensors
    body = struct.pack(f"<{INNER}f", *first) + struct.pack(f"<{WIDTH}f", *second)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + body)
    return path


def _string(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def _text(key: str, value: str) -> bytes:
    return _string(key) + struct.pack("<I", 8) + _string(value)
