"""Local embedding model as a handler: texts in, vectors out, from a worker process.

The worker starts on first use, and again after it died. It handles one request at a time.
"""

from __future__ import annotations

import asyncio
import json
import struct
from array import array
from importlib.util import find_spec
from pathlib import Path

from sizewise.errors import BadRequest, ContextLengthExceeded, ModelUnavailable
from sizewise.handler import Request, Send
from sizewise.messages import EmbeddingRequest, Reply, Usage
from sizewise.model_card import ModelCard
from sizewise.process import ChildProcess, physical_cores, start_module
from sizewise.providers.local.worker_protocol import FRAME_HEADER, FrameKind, encode_frame

WORKER_MODULE = "sizewise.providers.local.embedding_worker"
INSTALL_HINT = "pip install onnxruntime"  # fixes `missing_dependency`
LOAD_S = 60.0
MAX_TEXTS = 2_048  # per request, as in the OpenAI API
MAX_RESPONSE_BYTES = 8 << 20  # of a response: 2,048 vectors of 1,024 dimensions
DEFAULT_MAX_TOKENS = 256  # if the model card sets no context window
VECTORS_HEADER = struct.Struct("<III")


def missing_dependency() -> str:
    """What is not installed, or "". Looks for the packages without importing them."""
    return "" if find_spec("onnxruntime") and find_spec("numpy") else "onnxruntime is not installed"


class LocalEmbeddingModel:
    """One model. A cancelled request does not stop the worker, which finishes its batch."""

    def __init__(self, card: ModelCard, file: Path, threads: int = 0) -> None:
        self._card = card
        self._file = file
        self._threads = threads or physical_cores()
        self._missing = missing_dependency()
        self._child: ChildProcess | None = None
        self._lock = asyncio.Lock()
        self._failed = ""

    async def __call__(self, request: Request, send: Send) -> Reply:
        """Raises BadRequest (no embedding, too many texts, other dimensions), ModelUnavailable."""
        what = request.payload
        if not isinstance(what, EmbeddingRequest):
            raise BadRequest(f"{self._card.name!r} is an embedding model and cannot answer", "use a chat model")
        if len(what.inputs) > MAX_TEXTS:
            raise BadRequest(
                f"the request has {len(what.inputs):,} texts, too many at once",
                f"send at most {MAX_TEXTS:,}",
                param="input",
            )
        vectors, tokens = await self._embed_shielded(what.inputs)
        if what.dimensions is not None and vectors and what.dimensions != len(vectors[0]):
            hint = f"remove `dimensions`; the model has {len(vectors[0])}"
            raise BadRequest(
                f"{self._card.name!r} does not support {what.dimensions} dimensions", hint, param="dimensions"
            )
        return Reply((), Usage(input=tokens), self._card.model, embeddings=vectors)

    def unavailable_reason(self) -> str:
        if self._missing:
            return f"cannot run: {self._missing}: {INSTALL_HINT}"
        return f"cannot run: {self._failed}" if self._failed else ""

    @property
    def is_busy(self) -> bool:
        return self._lock.locked()

    async def stop(self, drain_s: float) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            await child.wait()

    async def _embed_shielded(self, inputs: list[str] | list[list[int]]) -> tuple[tuple[tuple[float, ...], ...], int]:
        """Shielded, because an unread response would be taken for the next request's."""
        return await asyncio.shield(asyncio.ensure_future(self._embed(inputs)))

    async def _embed(self, inputs: list[str] | list[list[int]]) -> tuple[tuple[tuple[float, ...], ...], int]:
        async with self._lock:
            child = await self._start_worker()
            try:
                child.writer.write(encode_frame(FrameKind.EMBED, 1, json.dumps(inputs).encode()))
                await child.writer.drain()
                kind, payload = await _read(child)
            except (OSError, asyncio.IncompleteReadError) as error:
                await self.stop(0)
                raise ModelUnavailable(f"the worker process of {self._card.name!r} crashed", "try again") from error
        if kind is FrameKind.ERROR:
            place, tokens = json.loads(payload)
            longest = self._card.context or DEFAULT_MAX_TOKENS
            told = f"{self._card.name!r} accepts {longest} tokens, and text {place + 1} has {tokens}"
            raise ContextLengthExceeded(told, "split the text into passages", param="input")
        count, wide, tokens = VECTORS_HEADER.unpack_from(payload)
        numbers = array("f", payload[VECTORS_HEADER.size :])
        return tuple(tuple(numbers[at * wide : (at + 1) * wide]) for at in range(count)), tokens

    async def _start_worker(self) -> ChildProcess:
        if self._missing:
            raise ModelUnavailable(f"{self._card.name!r} cannot run: {self._missing}", INSTALL_HINT)
        if self._child is not None:
            return self._child
        child = await start_module(WORKER_MODULE)
        order = {
            "model": str(self._file),
            "threads": self._threads,
            "longest": self._card.context or DEFAULT_MAX_TOKENS,
        }
        try:
            async with asyncio.timeout(LOAD_S):
                child.writer.write(encode_frame(FrameKind.LOAD, 0, json.dumps(order).encode()))
                await child.writer.drain()
                kind, payload = await _read(child)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            child.kill()
            why = await child.wait()
            raise ModelUnavailable(
                f"{self._card.name!r} could not be loaded: its worker process {why}", "try again"
            ) from error
        if kind is not FrameKind.READY:
            child.kill()
            await child.wait()
            self._failed = payload.decode("utf-8", "replace")[:300]
            hint = f"download it again: sizewise models pull {self._card.model}"
            raise ModelUnavailable(f"{self._card.name!r} cannot be loaded: {self._failed}", hint)
        self._failed, self._child = "", child
        return child


async def _read(child: ChildProcess) -> tuple[FrameKind, bytes]:
    length, _, kind = FRAME_HEADER.unpack(await child.reader.readexactly(FRAME_HEADER.size))
    if length > MAX_RESPONSE_BYTES + VECTORS_HEADER.size:
        raise OSError("the worker's response is too long")
    return FrameKind(kind), await child.reader.readexactly(length)
