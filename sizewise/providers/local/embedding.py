"""A local embedding model as an Answerer: texts in, vectors out, from a worker process; knows nobody who keeps them.

The worker is started when somebody first asks, and again when it died. Requests go through it one after the other.
"""

from __future__ import annotations

import asyncio
import json
import struct
from array import array
from importlib.util import find_spec
from pathlib import Path

from sizewise.errors import BadRequest, ModelUnavailable, TooLong
from sizewise.handler import Ask, Send
from sizewise.messages import Embed, Reply, Usage
from sizewise.model_card import Card
from sizewise.process import Child, cores, start
from sizewise.providers.local.worker_protocol import HEAD, Kind, frame

WORKER = "sizewise.providers.local.embedding_worker"
ADD = "pip install onnxruntime"  # what mends `missing`
LOAD_S = 60.0
TEXTS = 2_048  # of one request, as OpenAI has it
BYTES = 8 << 20  # of an answer: 2,048 vectors of 1,024 dimensions
LONGEST = 256  # tokens read of a text whose model does not say
NUMBERS = struct.Struct("<III")


def missing() -> str:
    """What this installation lacks to run such a model; "" when nothing. It is looked for, not imported."""
    return "" if find_spec("onnxruntime") and find_spec("numpy") else "onnxruntime is not installed"


class Embedding:
    """One model. Cancelling who asks leaves the worker to finish what it has begun: a batch, at most."""

    def __init__(self, card: Card, file: Path, threads: int = 0) -> None:
        self._card = card
        self._file = file
        self._threads = threads or cores()
        self._missing = missing()
        self._child: Child | None = None
        self._turn = asyncio.Lock()
        self._failed = ""

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        """Raises BadRequest (no embedding, too many texts, other dimensions), ModelUnavailable."""
        what = ask.what
        if not isinstance(what, Embed):
            raise BadRequest(f"{self._card.name!r} makes vectors and answers nothing", "name a chat model")
        if len(what.inputs) > TEXTS:
            raise BadRequest(f"{len(what.inputs):,} texts at once are too many", f"send {TEXTS:,}", param="input")
        vectors, tokens = await self._asked(what.inputs)
        if what.dimensions is not None and vectors and what.dimensions != len(vectors[0]):
            hint = f"leave `dimensions` out: it has {len(vectors[0])}"
            raise BadRequest(f"{self._card.name!r} has no {what.dimensions} dimensions", hint, param="dimensions")
        return Reply((), Usage(input=tokens), self._card.model, vectors=vectors)

    def objection(self) -> str:
        if self._missing:
            return f"cannot run: {self._missing}: {ADD}"
        return f"cannot run: {self._failed}" if self._failed else ""

    async def stop(self, drain_s: float) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            await child.ended()

    async def _asked(self, inputs: list[str] | list[list[int]]) -> tuple[tuple[tuple[float, ...], ...], int]:
        """Shielded: an answer that nobody took would be the next one's."""
        return await asyncio.shield(asyncio.ensure_future(self._in_turn(inputs)))

    async def _in_turn(self, inputs: list[str] | list[list[int]]) -> tuple[tuple[tuple[float, ...], ...], int]:
        async with self._turn:
            child = await self._awake()
            try:
                child.writer.write(frame(Kind.EMBED, 1, json.dumps(inputs).encode()))
                await child.writer.drain()
                kind, payload = await _read(child)
            except (OSError, asyncio.IncompleteReadError) as error:
                await self.stop(0)
                raise ModelUnavailable(f"the worker of {self._card.name!r} died", "ask again") from error
        if kind is Kind.ERROR:
            place, tokens = json.loads(payload)
            longest = self._card.context or LONGEST
            told = f"{self._card.name!r} reads {longest} tokens, and text {place + 1} has {tokens}"
            raise TooLong(told, "cut it into passages", param="input")
        count, wide, tokens = NUMBERS.unpack_from(payload)
        numbers = array("f", payload[NUMBERS.size :])
        return tuple(tuple(numbers[at * wide : (at + 1) * wide]) for at in range(count)), tokens

    async def _awake(self) -> Child:
        if self._missing:
            raise ModelUnavailable(f"{self._card.name!r} cannot run: {self._missing}", ADD)
        if self._child is not None:
            return self._child
        child = await start(WORKER)
        order = {"model": str(self._file), "threads": self._threads, "longest": self._card.context or LONGEST}
        try:
            async with asyncio.timeout(LOAD_S):
                child.writer.write(frame(Kind.LOAD, 0, json.dumps(order).encode()))
                await child.writer.drain()
                kind, payload = await _read(child)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            child.kill()
            why = await child.ended()
            raise ModelUnavailable(f"{self._card.name!r} was not loaded: its worker {why}", "ask again") from error
        if kind is not Kind.READY:
            child.kill()
            await child.ended()
            self._failed = payload.decode("utf-8", "replace")[:300]
            hint = f"fetch it anew: sizewise models pull {self._card.model}"
            raise ModelUnavailable(f"{self._card.name!r} cannot be loaded: {self._failed}", hint)
        self._failed, self._child = "", child
        return child


async def _read(child: Child) -> tuple[Kind, bytes]:
    length, _, kind = HEAD.unpack(await child.reader.readexactly(HEAD.size))
    if length > BYTES + NUMBERS.size:
        raise OSError("the worker's answer is too long")
    return Kind(kind), await child.reader.readexactly(length)
