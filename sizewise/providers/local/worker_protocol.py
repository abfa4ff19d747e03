"""IPC protocol between a local model and its worker process, in frames; opens nothing, parses no payload.

A frame is a header (payload length in bytes, request number, kind) and a payload: JSON, text, floats or nothing.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

FRAME_HEADER = Struct(">IIB")  # payload bytes, request number (0: none), kind


class FrameKind(IntEnum):
    # parent to worker
    LOAD = 1  # once, first: the model and its options
    CHAT = 2  # a chat completion body; answered by CHUNK..., ERROR on failure, then END
    COUNT = 3  # the same body; answered by COUNTED or ERROR, then END
    CANCEL = 4  # the client has left; the request still ends with END
    STOP = 5  # finish running requests, then exit
    EMBED = 6  # a list of texts, or of token lists; answered by VECTORS, or by ERROR: [index of the text, its tokens]
    COMPLETE = 7  # a text completion body; answered as CHAT
    TOKENIZE_PROMPT = 8  # as COUNT; answered by TOKENS or ERROR, then END
    TOKENIZE_TEXT = 9  # {"content", "add_special", "parse_special"}; answered as TOKENIZE_PROMPT
    # worker to parent
    READY = 10  # the payload says where the layers run; empty if there are none
    FAILED = 11  # not loaded; the payload is the reason
    CHUNK = 12  # one `chat.completion.chunk`, or one chunk of a text completion
    END = 13
    ERROR = 14  # {"error": {"code", "message", "type", ...}}
    COUNTED = 15  # {"input_tokens": n}
    TOKENS = 17  # {"tokens": [...]}
    VECTORS = 16  # three 32-bit integers: vectors, dimensions, tokens; then 32-bit floats


def encode_frame(kind: FrameKind, request: int = 0, payload: bytes = b"") -> bytes:
    return FRAME_HEADER.pack(len(payload), request, kind) + payload
