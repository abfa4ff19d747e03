"""Reads a chat completion stream for the terminal, and puts its progress into words."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from sizewise.cli.api_client import MAX_RESPONSE_BYTES, ErrorDetails, parse_error, to_exception
from sizewise.errors import ExternalFailure, SizewiseError
from sizewise.http.client import ClientResponse
from sizewise.providers.wires.sse import SseDecoder

CHAT_PATH = "/v1/chat/completions"


class CompletionDetails(Struct):
    reasoning_tokens: int | None = None


class StreamUsage(Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    completion_tokens_details: CompletionDetails | None = None

    @property
    def thinking_tokens(self) -> int:
        """Part of `completion_tokens`."""
        return (self.completion_tokens_details or CompletionDetails()).reasoning_tokens or 0


class StreamProgress(Struct):
    """What begins now; the stages are those of ProgressUpdate in handler.py."""

    stage: str = ""
    model: str = ""
    reason: str = ""
    held: bool = False
    step: str = ""


class ChunkMetadata(Struct):
    """Sizewise's own fields of the last chunk; of a chunk before the answer, `progress` alone."""

    progress: StreamProgress | None = None
    model: str = ""
    why: str = ""
    cost_usd: str = "unknown"
    attempts: int = 1
    trace: str = ""
    degraded: str = ""
    freshness: str = ""
    steps: list[dict[str, object]] = []  # of a flow, node by node
    stop_reason: str = ""  # of a flow's agent that was cut short
    agents: list[dict[str, object]] = []  # of a flow, with their tool calls, if they were asked for


class Delta(Struct):
    content: str | None = None


class StreamChoice(Struct):
    delta: Delta = msgspec.field(default_factory=Delta)
    finish_reason: str | None = None


class StreamChunk(Struct):
    choices: list[StreamChoice] = []
    usage: StreamUsage | None = None
    sizewise: ChunkMetadata | None = None
    error: ErrorDetails | None = None


async def read_stream(
    response: ClientResponse,
    take: Callable[[StreamChunk], None],
    subject: str = "the answer",
) -> SizewiseError | None:
    """Consumes the chunks. None on success, otherwise the server's error, as opposed to an error of the connection."""
    if response.status != 200:
        return parse_error(response.status, await response.read(MAX_RESPONSE_BYTES))
    frames = SseDecoder()
    while data := await response.read_chunk():
        for payload in frames.feed(data):
            if payload == b"[DONE]":
                response.release()
                return None
            chunk = msgspec.json.decode(payload, type=StreamChunk)
            if chunk.error is not None:
                return to_exception(chunk.error)
            take(chunk)
    return ExternalFailure(f"{subject} was interrupted", "try again; sizewise records shows what happened")


def progress_text(progress: StreamProgress) -> str:
    """What begins, in words."""
    if progress.stage == "step":
        return f"running {progress.step}"
    model, held = progress.model, ", to be judged before it is shown" if progress.held else ""
    text = {
        "attempt": f"asking {model}{held}: {progress.reason}",
        "verification": f"{model} judges the answer",
        "loading": f"loading {model} into memory",
        "queued": f"waiting for a free slot of {model}",
    }.get(progress.stage, "")
    return f"{progress.step}: {text}" if progress.step else text
