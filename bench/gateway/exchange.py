"""The one question and the one answer that every gateway carries, and how to know them again; no sockets here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["plain", "long", "stream", "paced", "dripped", "leisurely"]
STREAMS: tuple[Kind, ...] = ("stream", "paced", "dripped", "leisurely")

MARK = b"smallest-enough"
"""Stands once in a whole answer and once in every event of a stream: counting it counts what arrived unharmed."""
ASKED = b"which-size-will-do"
"""Ends every prompt: the upstream answers 400 to a body that lost it on the way."""
PACED = b"one-word-at-a-time"
"""Stands in a prompt whose stream the upstream must pace."""
AT_LENGTH = b"and-at-length"
"""Stands behind PACED for a paced stream that is long."""
AT_LEISURE = b"and-at-leisure"
"""Stands behind PACED for a stream that stays open for long and says little."""

EVENTS: Mapping[Kind, int] = {"stream": 256, "paced": 8, "dripped": 64, "leisurely": 20}
GAP_S: Mapping[Kind, float] = {"paced": 0.002, "dripped": 0.002, "leisurely": 0.5}
"""Wait before each paced event, the first included, so that a gateway that holds events back shows it."""

ROUTE = "/v1/chat/completions"
_ID = {"id": "chatcmpl-8f2c1d7e5a904b3c", "created": 1_760_000_000, "model": "tiny", "system_fingerprint": "fp_bench"}
_USAGE = {"prompt_tokens": 118, "completion_tokens": 64, "total_tokens": 182}
_TALK = "A person asks a short question and expects one honest, short answer from the model that costs least. "
_TEXT = f"The {MARK.decode()} model answers: " + "it is enough when the answer holds and no larger one is better. " * 5


@dataclass(frozen=True, slots=True)
class Question:
    """A request body and the number of marks in its right answer."""

    body: bytes
    marks: int


def question(kind: Kind, model: str) -> Question:
    """About 650 bytes of JSON; `long` 40 KB. `stream` comes all at once, the others word by word."""
    padding = 40_000 if kind == "long" else 485
    text = (_TALK * (padding // len(_TALK) + 1))[:padding]
    marks = {"paced": (PACED,), "dripped": (PACED, AT_LENGTH), "leisurely": (PACED, AT_LEISURE)}.get(kind, ())
    pace = "".join(f"{mark.decode()} " for mark in marks)
    body = {
        "model": model,
        "messages": [
            {"role": "system", "content": "Answer in one sentence."},
            {"role": "user", "content": f"{text} {pace}{ASKED.decode()}"},
        ],
        "max_tokens": 64,
        "temperature": 0.2,
    }
    return Question(_json(body | {"stream": True} if kind in STREAMS else body), EVENTS.get(kind, 1))


def answer(logprobs: bool) -> bytes:
    """A chat completion of about 650 bytes; with `logprobs`, its tokens and their confident log-probabilities too."""
    choice: dict[str, object] = {
        "index": 0,
        "message": {"role": "assistant", "content": _TEXT.strip()},
        "finish_reason": "stop",
    }
    if logprobs:
        words = (f"{word} " for word in _TEXT.split())
        tokens: list[object] = [{"token": w, "logprob": -0.01, "bytes": None, "top_logprobs": []} for w in words]
        choice["logprobs"] = {"content": tokens, "refusal": None}
    return _json(_ID | {"object": "chat.completion", "choices": [choice], "usage": _USAGE})


def event(number: int, logprobs: bool) -> bytes:
    """One word of a streamed answer; no two are alike, for LiteLLM breaks off at the 100th equal chunk."""
    word = f" {MARK.decode()} {number}"
    choice: dict[str, object] = {"index": 0, "delta": {"content": word}, "finish_reason": None}
    if logprobs:
        choice["logprobs"] = {"content": [{"token": word, "logprob": -0.01, "bytes": None, "top_logprobs": []}]}
    return _sse(choices=[choice])


def opening() -> bytes:
    """The event before the first word."""
    return _sse(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])


def ending(usage: bool) -> bytes:
    """The events after the last word; the one with the usage only if the client asked for it, as OpenAI does."""
    stop = _sse(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    return stop + (_sse(choices=[], usage=_USAGE) if usage else b"") + b"data: [DONE]\n\n"


def models() -> bytes:
    """The answer to `GET /v1/models`."""
    rows = [
        {"id": name, "object": "model", "created": 1_760_000_000, "owned_by": "bench"} for name in ("tiny", "large")
    ]
    return _json({"object": "list", "data": rows})


def is_right(body: bytes) -> bool:
    """Whether a whole (not streamed) answer says word for word what the upstream said."""
    try:
        said = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        return False
    return bool(said == _TEXT.strip())


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _sse(**fields: object) -> bytes:
    return b"data: " + _json(_ID | {"object": "chat.completion.chunk"} | fields) + b"\n\n"
