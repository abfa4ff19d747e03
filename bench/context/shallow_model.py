"""A copy of a GGUF model with its first layers alone: its tokenizer, template and window, in a fraction of the time.

What it writes is nonsense: it shows how a long text is read by the embedded runtime, not what a model makes of it.
"""

from __future__ import annotations

import struct
from pathlib import Path

SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
TEXT, ARRAY = 8, 9
ALIGNMENT = 32
LAYERS_KEY = b".block_count"


class Reader:
    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.at = 0

    def number(self, code: str) -> int:
        (found,) = struct.unpack_from("<" + code, self.raw, self.at)
        self.at += struct.calcsize("<" + code)
        return int(found)

    def text(self) -> bytes:
        size = self.number("Q")
        self.at += size
        return self.raw[self.at - size : self.at]

    def skip_value(self, kind: int) -> None:
        if kind == TEXT:
            self.text()
        elif kind == ARRAY:
            inner, count = self.number("I"), self.number("Q")
            for _ in range(count if inner in (TEXT, ARRAY) else 0):
                self.skip_value(inner)
            self.at += SCALAR_BYTES.get(inner, 0) * count
        else:
            self.at += SCALAR_BYTES[kind]


def cut_layers(source: Path, target: Path, layers: int) -> None:
    """`source`: a GGUF file of version 3 whose layers are the tensors `blk.N.*`."""
    its = Reader(source.read_bytes())
    its.at = 8
    tensors, pairs = its.number("Q"), its.number("Q")
    metadata = _metadata(its, pairs, layers)
    infos, data = _tensors(its, tensors, layers)
    head = its.raw[:8] + struct.pack("<QQ", len(infos), pairs) + metadata + b"".join(infos)
    target.write_bytes(head + bytes(-len(head) % ALIGNMENT) + data)


def _metadata(its: Reader, pairs: int, layers: int) -> bytes:
    begin, patched = its.at, bytearray(its.raw)
    for _ in range(pairs):
        key, kind = its.text(), its.number("I")
        if key.endswith(LAYERS_KEY):
            struct.pack_into("<I", patched, its.at, layers)
        its.skip_value(kind)
    return bytes(patched[begin : its.at])


def _tensors(its: Reader, count: int, layers: int) -> tuple[list[bytes], bytes]:
    """The descriptions of the tensors that stay, with their new offsets, and their data."""
    found: list[tuple[bytes, bytes, int]] = []
    for _ in range(count):
        begin = its.at
        name, dimensions = its.text(), its.number("I")
        its.at += 8 * dimensions + 4
        found.append((name, its.raw[begin : its.at], its.number("Q")))
    start = its.at + -its.at % ALIGNMENT
    ends = [*sorted(offset for _, _, offset in found)[1:], len(its.raw) - start]
    size = dict(zip(sorted(offset for _, _, offset in found), ends, strict=True))
    infos, data = list[bytes](), bytearray()
    for name, described, offset in found:
        if name.startswith(b"blk.") and int(name.split(b".")[1]) >= layers:
            continue
        infos.append(described + struct.pack("<Q", len(data)))
        data += its.raw[start + offset : start + size[offset]]
        data += bytes(-len(data) % ALIGNMENT)
    return infos, bytes(data)
