"""Sample responses of each wire, cut into the pieces that can go wrong; opens no socket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

PIECES = ("Grü", "ße.")
"""Text of every response: two pieces, with a two-byte character at the end of the first."""
TEXT = "".join(PIECES)
ECHOED: Mapping[str, object] = {"created": 1, "created_at": 1, "model": "up"}


@dataclass(frozen=True, slots=True)
class WireSample:
    """A normal response of one wire: `response` whole, or as frames: `preamble` before the first text, `text_frames`,
    `end_frames`, and `last_frame`.

    `error`: its error object for a server failure; `failed`: the same as a frame.
    """

    response: bytes
    preamble: tuple[bytes, ...] = ()
    text_frames: tuple[bytes, ...] = ()
    end_frames: tuple[bytes, ...] = ()
    last_frame: bytes = b""
    error: bytes = b""
    failed: bytes = b""

    @property
    def frames(self) -> tuple[bytes, ...]:
        return (*self.preamble, *self.text_frames, *self.end_frames, self.last_frame)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _frame(payload: object) -> bytes:
    return b"data: " + _json(payload) + b"\n\n"


def _event(kind: str, **more: object) -> bytes:
    return b"event: " + kind.encode() + b"\n" + _frame({"type": kind, **more})


def _openai() -> WireSample:
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}

    def chunk(delta: Mapping[str, str], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _frame({"id": "up-1", "object": "chat.completion.chunk", **ECHOED, "choices": [choice]})

    choice = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
    counted = {"id": "up-1", "object": "chat.completion.chunk", **ECHOED, "choices": [], "usage": usage}
    error = {"error": {"message": "out of luck", "type": "server_error", "code": None}}
    return WireSample(
        response=_json({"id": "up-1", "object": "chat.completion", **ECHOED, "choices": [choice], "usage": usage}),
        preamble=(chunk({"role": "assistant", "content": ""}),),
        text_frames=tuple(chunk({"content": word}) for word in PIECES),
        end_frames=(chunk({}, "stop"), _frame(counted)),
        last_frame=b"data: [DONE]\n\n",
        error=_json(error),
        failed=_frame(error),
    )


def _anthropic() -> WireSample:
    usage = {"input_tokens": 7, "output_tokens": 2}
    message = {"id": "msg_up", "type": "message", "role": "assistant", "model": "up"}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    begun: dict[str, object] = {**message, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    error = {"type": "error", "error": {"type": "api_error", "message": "out of luck"}}
    block = {"type": "text", "text": ""}
    return WireSample(
        response=_json({**message, "content": [{"type": "text", "text": TEXT}], **ended, "usage": usage}),
        preamble=(_event("message_start", message=begun), _event("content_block_start", index=0, content_block=block)),
        text_frames=tuple(
            _event("content_block_delta", index=0, delta={"type": "text_delta", "text": word}) for word in PIECES
        ),
        end_frames=(_event("content_block_stop", index=0), _event("message_delta", delta=ended, usage=usage)),
        last_frame=_event("message_stop"),
        error=_json(error),
        failed=b"event: error\n" + _frame(error),
    )


def _responses() -> WireSample:
    part = {"type": "output_text", "text": TEXT, "annotations": [], "logprobs": []}
    item = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    usage = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
    response = {
        "id": "resp_up",
        "object": "response",
        **ECHOED,
        "status": "completed",
        "output": [item],
        "usage": usage,
    }
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    told = {"code": "server_error", "message": "out of luck", "param": None}
    return WireSample(
        response=_json(response),
        preamble=(
            _event("response.created", response=begun),
            _event("response.output_item.added", output_index=0, item={**item, "status": "in_progress", "content": []}),
            _event("response.content_part.added", **at, part={**part, "text": ""}),
        ),
        text_frames=tuple(_event("response.output_text.delta", **at, delta=word, logprobs=[]) for word in PIECES),
        end_frames=(
            _event("response.output_text.done", **at, text=TEXT, logprobs=[]),
            _event("response.output_item.done", output_index=0, item=item),
        ),
        last_frame=_event("response.completed", response=response),
        error=_json({"error": {**told, "type": "server_error"}}),
        failed=_event("error", **told),
    )


def _embeddings() -> WireSample:
    vector = {"object": "embedding", "index": 0, "embedding": [0.5, -0.5]}
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    error = {"error": {"message": "out of luck", "type": "server_error", "code": None}}
    return WireSample(_json({"object": "list", "data": [vector], "usage": usage, "model": TEXT}), error=_json(error))


def sample_for(path: str) -> WireSample:
    """The sample for the wire of this path."""
    if path.endswith("/messages"):
        return _anthropic()
    if path.endswith("/responses"):
        return _responses()
    return _embeddings() if path.endswith("/embeddings") else _openai()
