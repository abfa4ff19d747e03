"""A chat's stream as the terminal reads it, and how a question is put together with what was piped; knows no verb."""

from __future__ import annotations

import sys
from collections.abc import Callable

import msgspec
from msgspec import Struct

from sizewise.cli.api_client import ANSWER, Trouble, again, refusal
from sizewise.errors import Outside, SizewiseError
from sizewise.http.client import Response
from sizewise.providers.wires.sse import Frames

PATH = "/v1/chat/completions"
STDIN = "-"


class Usage(Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Ours(Struct):
    """What Sizewise says of its own in the last chunk."""

    model: str = ""
    why: str = ""
    cost_usd: str = "unknown"
    attempts: int = 1
    trace: str = ""
    degraded: str = ""
    steps: list[dict[str, object]] = []  # of a flow, node by node


class Delta(Struct):
    content: str | None = None


class Choice(Struct):
    delta: Delta = msgspec.field(default_factory=Delta)
    finish_reason: str | None = None


class Chunk(Struct):
    choices: list[Choice] = []
    usage: Usage | None = None
    sizewise: Ours | None = None
    error: Trouble | None = None


async def heard(response: Response, take: Callable[[Chunk], None], whose: str = "the answer") -> SizewiseError | None:
    """Takes the chunks as they come. None at a good end, otherwise the server's error, kept apart from the line's."""
    if response.status != 200:
        return refusal(response.status, await response.read(ANSWER))
    frames = Frames()
    while data := await response.chunk():
        for payload in frames.feed(data):
            if payload == b"[DONE]":
                response.finish()
                return None
            chunk = msgspec.json.decode(payload, type=Chunk)
            if chunk.error is not None:
                return again(chunk.error)
            take(chunk)
    return Outside(f"{whose} broke off", "ask again; sizewise records shows what happened")


def paragraphs(words: tuple[str, ...]) -> str:
    """The words as they stand, with what was piped in a paragraph of its own where the - is."""
    if STDIN not in words:
        return " ".join(words)
    before, after = words[: words.index(STDIN)], words[words.index(STDIN) + 1 :]
    piped = sys.stdin.buffer.read().decode("utf-8", "replace").strip()
    return "\n\n".join(filter(None, [" ".join(before), piped, " ".join(after)]))
