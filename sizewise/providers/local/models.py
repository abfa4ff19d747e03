"""The embedded models as Answerers: started when first needed, kept until the process ends; knows no policy."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sizewise.data_class import DataClass
from sizewise.errors import BadRequest, ModelUnavailable, SizewiseError
from sizewise.handler import Ask, Send
from sizewise.messages import Chat, Reply
from sizewise.model_card import Card
from sizewise.providers.local.embedding import Embedding
from sizewise.providers.local.gbnf_grammar import spelt
from sizewise.providers.local.llamacpp import Health, Llama
from sizewise.providers.local.runtime import ADD, Runtime, missing
from sizewise.providers.wires.openai.request_response import write_request
from sizewise.providers.wires.openai.stream_in import Reader


class Local:
    """One embedded model. `wake` loads it once, however many ask; a failed load is tried again by the next who asks."""

    def __init__(self, card: Card, file: Path, runtime: Runtime) -> None:
        self._card = card
        self._file = file
        self._runtime = runtime
        self._missing = missing()
        self._llama = Llama(card.name, file, runtime)
        self._waking: asyncio.Task[None] | None = None

    async def wake(self) -> Llama:
        """Raises ModelUnavailable: no runtime, weights gone, too little memory, not loadable."""
        if self._missing:
            raise ModelUnavailable(f"{self._card.name!r} cannot run: {self._missing}", ADD)
        if self._waking is None or (self._waking.done() and self._waking.exception() is not None):
            self._llama = Llama(self._card.name, self._file, self._runtime)
            self._waking = asyncio.create_task(self._llama.start())
        await asyncio.shield(self._waking)
        return self._llama

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        chat = ask.what
        if not isinstance(chat, Chat):
            raise BadRequest(f"{self._card.name!r} is a chat model and makes no vectors", "name an embedding model")
        llama = await self.wake()
        reader = Reader(not chat.include_usage)

        async def take(frame: bytes) -> None:
            for event in reader.frame(frame):
                if chat.stream:
                    await send(event)

        await llama.chat(self._body(chat), take)
        return reader.reply()

    async def count(self, chat: Chat, data_class: DataClass) -> int:
        """Tokens of the prompt, by the model's own template and tokenizer; nothing leaves this machine."""
        llama = await self.wake()
        return await llama.count(self._body(chat))

    def _body(self, chat: Chat) -> bytes:
        return write_request(spelt(chat) if chat.schema else chat, self._card.model)

    def objection(self) -> str:
        """Why it cannot be asked now; a model that is not loaded yet can: the first who asks waits for it."""
        if self._missing:
            return f"cannot run: {self._missing}: {ADD}"
        health = self._llama.health()
        return f"cannot run: {health.reason}" if health.state == "failed" else ""

    def health(self) -> Health:
        return self._llama.health()

    async def stop(self, drain_s: float) -> None:
        if self._waking is not None:
            self._waking.cancel()
            await asyncio.gather(self._waking, return_exceptions=True)
            await self._llama.stop(drain_s)


class Locals:
    """All embedded models of this process, by file and runtime; outlives Houses."""

    def __init__(self) -> None:
        self._open: dict[tuple[Path, Runtime], Local] = {}
        self._vectors: dict[Path, Embedding] = {}

    def vectors(self, card: Card, file: Path, threads: int) -> Embedding:
        found = self._vectors.get(file)
        if found is None:
            found = self._vectors[file] = Embedding(card, file, threads)
        return found

    def open(self, card: Card, file: Path, runtime: Runtime) -> Local:
        local = self._open.get((file, runtime))
        if local is None:
            local = self._open[file, runtime] = Local(card, file, runtime)
        return local

    def draft(self) -> Locals:
        """The same models, for a house that may still be refused: what is opened in it is kept by `take` alone."""
        made = Locals()
        made._open, made._vectors = dict(self._open), dict(self._vectors)
        return made

    def take(self, draft: Locals) -> None:
        self._open, self._vectors = draft._open, draft._vectors

    def each(self) -> list[tuple[Path, Health]]:
        return [(file, local.health()) for (file, _), local in self._open.items()]

    async def warm(self, locals: list[Local]) -> None:
        """Loads these, one after the other, smallest first as given; what cannot be loaded says so when it is asked."""
        for local in locals:
            try:
                await local.wake()
            except SizewiseError:
                continue  # kept as its objection

    async def stop(self, drain_s: float) -> None:
        every: list[Local | Embedding] = [*self._open.values(), *self._vectors.values()]
        await asyncio.gather(*(each.stop(drain_s) for each in every))
