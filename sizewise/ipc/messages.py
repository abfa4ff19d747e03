"""Messages between the store process and the gateway workers; a frame holds a batch of them. Opens nothing.

A frame is its length (4 bytes) and a MessagePack list. Nothing is sent for a token, and for a request only where slots
are short. Tests: tests/ipc/test_protocol.py.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec
from msgspec import Struct

FRAME_HEADER = struct.Struct(">I")
"""Length of the frame that follows, in bytes."""
MAX_FRAME_BYTES = 64 << 20

# ---- worker to store


class Hello(Struct, frozen=True, tag=True, array_like=True):
    """The first message of a connection. `settings`: a digest of the settings file in force. `slots`: what the worker
    holds, by queue; a store process that was restarted knows it from here alone.
    """

    worker: int
    pid: int
    settings: str
    slots: dict[str, int]


class WantSlots(Struct, frozen=True, tag=True, array_like=True):
    """So many requests of the worker wait for a slot of the queue `name` now; 0: none any more."""

    name: str
    total: int  # slots of the queue on the machine
    waiting: int


class ReturnSlots(Struct, frozen=True, tag=True, array_like=True):
    name: str
    count: int


class OpenModel(Struct, frozen=True, tag=True, array_like=True):
    """Asks for the process of a local model; answered by ModelOpened or Failed with this `number`."""

    number: int
    file: str
    runtime: dict[str, int | str]


class Answered(Struct, frozen=True, tag=True, array_like=True):
    """The answer to a request of the store. `error` and `hint`: why it was not done; `data`: what was asked for."""

    number: int
    error: str = ""
    hint: str = ""
    data: bytes = b""


# ---- store to worker


class Flush(Struct, frozen=True, tag=True, array_like=True):
    """Write all accepted records with their prompts and replies, return unused quota, and answer."""

    number: int


class CountMetrics(Struct, frozen=True, tag=True, array_like=True):
    """Answer with the metrics so far."""

    number: int


class PrepareReload(Struct, frozen=True, tag=True, array_like=True):
    """Check these settings and hold them ready; answer whether they can be applied."""

    number: int
    content: bytes  # of the settings file


class ApplyReload(Struct, frozen=True, tag=True, array_like=True):
    """Apply the settings that were prepared; `apply` false: drop them."""

    apply: bool


class RefreshKeys(Struct, frozen=True, tag=True, array_like=True):
    """Keys or sessions have changed in the database, or the response cache was cleared: read them, and answer."""

    number: int
    clears_cache: bool = False


class GrantSlots(Struct, frozen=True, tag=True, array_like=True):
    name: str
    count: int


class RecallSlots(Struct, frozen=True, tag=True, array_like=True):
    """Other workers wait: keep at most `keep` slots, and return what is unused now and what is released next."""

    name: str
    keep: int


class ReportImpaired(Struct, frozen=True, tag=True, array_like=True):
    """What is impaired in the work that the store process does for the whole server; empty: nothing any more."""

    reasons: list[str]


class ModelOpened(Struct, frozen=True, tag=True, array_like=True):
    """The model is loaded; its process listens at `path`."""

    number: int
    path: str


class ModelFailed(Struct, frozen=True, tag=True, array_like=True):
    number: int
    error: str
    hint: str


ToStore = Hello | WantSlots | ReturnSlots | OpenModel | Answered
ToWorker = (
    Flush
    | CountMetrics
    | PrepareReload
    | ApplyReload
    | RefreshKeys
    | GrantSlots
    | RecallSlots
    | ReportImpaired
    | ModelOpened
    | ModelFailed
)
Message = ToStore | ToWorker
_ENCODER = msgspec.msgpack.Encoder()
TO_STORE = msgspec.msgpack.Decoder(list[ToStore])
TO_WORKER = msgspec.msgpack.Decoder(list[ToWorker])


def encode_frame(messages: Sequence[Message]) -> bytes:
    body = _ENCODER.encode(messages)
    return FRAME_HEADER.pack(len(body)) + body
