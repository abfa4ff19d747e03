"""Local embedding model as a handler: texts in, vectors out, from a worker process.

The worker starts on first use, and again after it died. It gets a few texts at a time, in turns: so a query does not
wait for the hundreds of texts of another request, and goes before those of documents.
"""

from __future__ import annotations

import asyncio
import json
import struct
from array import array
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from sizewise.errors import BadRequest, ContextLengthExceeded, ModelUnavailable
from sizewise.handler import Request, Send
from sizewise.messages import EmbeddingRequest, Reply, Usage
from sizewise.model_card import ModelCard
from sizewise.process import ChildProcess, physical_cores, start_module
from sizewise.providers.concurrency_limiter import FairQueue
from sizewise.providers.local.worker_protocol import FRAME_HEADER, FrameKind, encode_frame

WORKER_MODULE = "sizewise.providers.local.embedding_worker"
INSTALL_HINT = "pip install onnxruntime"  # fixes `missing_dependency`
LOAD_S = 60.0
MAX_TEXTS = 2_048  # per request, as in the OpenAI API
MAX_RESPONSE_BYTES = 8 << 20  # of a response: 2,048 vectors of 1,024 dimensions
DEFAULT_MAX_TOKENS = 256  # if the model card sets no context window
TURN_CHARS = 2_000
"""Characters in one turn of the worker, each text counted as long as the longest, to which it is padded: about 500
tokens, some tens of milliseconds."""
TOKEN_CHARS = 4  # that a token counts for, where a text is given in tokens
MAX_TURNS_WAITING = 10_000  # each is a request
MAX_WAIT_S = 3_600.0
VECTORS_HEADER = struct.Struct("<III")

Inputs = list[str] | list[list[int]]
EmbeddingVector = tuple[float, ...]


def missing_dependency() -> str:
    """What is not installed, or "". Looks for the packages without importing them."""
    return "" if find_spec("onnxruntime") and find_spec("numpy") else "onnxruntime is not installed"


class LocalEmbeddingModel:
    """One model. A cancelled request does not stop the worker, which finishes its turn."""

    def __init__(self, card: ModelCard, file: Path, threads: int = 0) -> None:
        self._card = card
        self._file = file
        self._threads = threads or physical_cores()
        self._missing = missing_dependency()
        self._child: ChildProcess | None = None
        self._turns = FairQueue(card.name, slots=1, max_waiting=MAX_TURNS_WAITING, max_wait_s=MAX_WAIT_S)
        self._requests = 0  # in progress
        self._failed = ""

    async def __call__(self, request: Request, send: Send) -> Reply:
        """Raises BadRequest (no embedding, too many texts, other dimensions), ModelUnavailable, Busy."""
        what = request.payload
        if not isinstance(what, EmbeddingRequest):
            raise BadRequest(f"{self._card.name!r} is an embedding model and cannot answer", "use a chat model")
        if len(what.inputs) > MAX_TEXTS:
            raise BadRequest(
                f"the request has {len(what.inputs):,} texts, too many at once",
                f"send at most {MAX_TEXTS:,}",
                param="input",
            )
        vectors, tokens = await self._embed(request, what.inputs)
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
        return self._requests > 0

    async def stop(self, drain_s: float) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            await child.wait()

    async def _embed(self, request: Request, inputs: Inputs) -> tuple[tuple[EmbeddingVector, ...], int]:
        """Vectors in the order of `inputs`, and the tokens of all."""
        found, tokens = dict[int, EmbeddingVector](), 0
        self._requests += 1
        try:
            for places in split_turns(inputs):
                await self._turns.acquire(request.principal.key_id, background=request.background)
                # Shielded, because an unread response would be taken for the next turn's.
                turn = asyncio.ensure_future(self._run_turn(inputs, places))
                vectors, counted = await asyncio.shield(turn)
                found.update(zip(places, vectors, strict=True))
                tokens += counted
        finally:
            self._requests -= 1
        return tuple(found[place] for place in range(len(inputs))), tokens

    async def _run_turn(self, inputs: Inputs, places: Sequence[int]) -> tuple[list[EmbeddingVector], int]:
        """Sends the inputs at `places` to the worker, whose turn it is, and passes the turn on."""
        try:
            child = await self._start_worker()
            try:
                payload = json.dumps([inputs[place] for place in places]).encode()
                child.writer.write(encode_frame(FrameKind.EMBED, 1, payload))
                await child.writer.drain()
                kind, payload = await _read(child)
            except (OSError, asyncio.IncompleteReadError) as error:
                await self.stop(0)
                raise ModelUnavailable(f"the worker process of {self._card.name!r} crashed", "try again") from error
        finally:
            self._turns.release()
        if kind is FrameKind.ERROR:
            place, tokens = json.loads(payload)
            longest = self._card.context or DEFAULT_MAX_TOKENS
            told = f"{self._card.name!r} accepts {longest} tokens, and text {places[place] + 1} has {tokens}"
            raise ContextLengthExceeded(told, "split the text into passages", param="input")
        count, wide, tokens = VECTORS_HEADER.unpack_from(payload)
        numbers = array("f", payload[VECTORS_HEADER.size :])
        return [tuple(numbers[at * wide : (at + 1) * wide]) for at in range(count)], tokens

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


def split_turns(inputs: Inputs) -> Iterator[list[int]]:
    """Places of the texts of each turn: the longest first, so that one that is too long is refused at once."""
    sizes = [len(each) * (1 if isinstance(each, str) else TOKEN_CHARS) for each in inputs]
    turn, widest = list[int](), 0
    for place in sorted(range(len(inputs)), key=lambda at: -sizes[at]):
        if turn and widest * (len(turn) + 1) > TURN_CHARS:
            yield turn
            turn = []
        if not turn:
            widest = sizes[place]
        turn.append(place)
    if turn:
        yield turn


async def _read(child: ChildProcess) -> tuple[FrameKind, bytes]:
    length, _, kind = FRAME_HEADER.unpack(await child.reader.readexactly(FRAME_HEADER.size))
    if length > MAX_RESPONSE_BYTES + VECTORS_HEADER.size:
        raise OSError("the worker's response is too long")
    return FrameKind(kind), await child.reader.readexactly(length)
