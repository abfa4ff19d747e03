"""IPC protocol between a local model and its worker process: one frame each way; opens nothing, parses no payload.

A frame is its length in bytes, the number of the request and the kind, then the payload: JSON, or nothing.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

FRAME_HEADER = Struct(">IIB")  # payload bytes, request (0: none), kind


class FrameKind(IntEnum):
    # parent to worker
    LOAD = 1  # once, first: what to open and how
    CHAT = 2  # a chat completion's body; answered by CHUNK..., then END or ERROR
    COUNT = 3  # the same body; answered by COUNTED or ERROR
    CANCEL = 4  # whoever asked has left; the request still ends, with END or ERROR
    STOP = 5  # finish what runs, then exit
    EMBED = (
        6  # a list of texts, or of lists of tokens; answered by VECTORS, or by ERROR: [number of a text, its tokens]
    )
    # worker to parent
    READY = 10
    FAILED = 11  # not loaded; the payload is the reason as text
    CHUNK = 12  # one `chat.completion.chunk`
    END = 13
    ERROR = 14  # {"error": {"code", "message", "type", ...}}
    COUNTED = 15  # {"input_tokens": n}
    VECTORS = 16  # three 32-bit numbers: how many, of how many dimensions, of how many tokens; then 32-bit floats


def encode_frame(kind: FrameKind, request: int = 0, payload: bytes = b"") -> bytes:
    return FRAME_HEADER.pack(len(payload), request, kind) + payload
