"""Local models as handlers: loaded on first use and kept until the process ends; knows no routing policy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from time import perf_counter

import msgspec
from msgspec import Raw

from sizewise.attempt_progress import AttemptStage, ProgressUpdate
from sizewise.data_class import DataClass
from sizewise.errors import BadRequest, ModelUnavailable, SizewiseError
from sizewise.handler import Request, Send
from sizewise.messages import ChatRequest, Reply
from sizewise.model_card import ModelCard
from sizewise.providers.local.embedding import LocalEmbeddingModel
from sizewise.providers.local.gbnf_grammar import rewrite_root_references
from sizewise.providers.local.llamacpp import ConnectToModel, LlamaCppModel, LocalModelHealth
from sizewise.providers.local.option_choice import choose_option
from sizewise.providers.local.repetition import RepetitionDetector
from sizewise.providers.local.runtime import INSTALL_HINT, LocalRuntime, missing_dependency
from sizewise.providers.wires.openai.completion_upstream import (
    CompletionStreamReader,
    completion_fields,
    is_text_completion,
)
from sizewise.providers.wires.openai.decision_upstream import carried_question
from sizewise.providers.wires.openai.request_response import write_request
from sizewise.providers.wires.openai.stream_in import OpenAiStreamReader
from sizewise.providers.wires.original_body import not_translatable
from sizewise.providers.wires.wire import StreamReader

IDLE_POLL_S = 0.5
ADAPTER_FIELD = "lora"  # of llama.cpp's bodies
CUT_OFF = b'{"choices":[{"index":0,"delta":{},"text":"","finish_reason":"length"}]}'
"""Ends a chat or a text completion in the place of llama.cpp."""
OnLoad = Callable[[str], None]
FileState = tuple[int, int] | None
"""Time of the last change in nanoseconds and bytes; None: there is no file."""


@dataclass(frozen=True, slots=True)
class ModelSharing:
    """Whether the processes of a server share models. `folder`: this process runs them, and their processes listen
    there for the others. `connect`: another process runs them.
    """

    folder: Path | None = None
    connect: ConnectToModel | None = None

    def socket_path(self, file: Path, runtime: LocalRuntime) -> str:
        """The socket of the model's process, the same whichever process computes it."""
        assert self.folder is not None
        said = f"{file}\0{runtime}".encode()
        return str(self.folder / f"model-{blake2b(said, digest_size=8).hexdigest()}.sock")


NOT_SHARED = ModelSharing()


class _RepeatsItself(Exception):
    """The reply repeats itself: the model is stopped."""


class LocalModel:
    """One embedded model. `load` loads it once for all callers; after a failure the next caller tries again."""

    def __init__(
        self,
        card: ModelCard,
        file: Path,
        runtime: LocalRuntime,
        on_load: OnLoad,
        *,
        sharing: ModelSharing = NOT_SHARED,
        tokens_per_s: float | None = None,
    ) -> None:
        self._tokens_per_s = tokens_per_s
        self._on_load = on_load
        self._card = card
        self._file = file
        self._runtime = runtime
        self._sharing = sharing
        self._missing = missing_dependency()
        self._llama = self._new_llama()
        self._loading: asyncio.Task[None] | None = None
        self._tried: FileState = None  # the file's state when it was last loaded

    def _new_llama(self) -> LlamaCppModel:
        its = self._sharing
        listen = its.socket_path(self._file, self._runtime) if its.folder is not None else ""
        return LlamaCppModel(
            self._card.name,
            self._file,
            self._runtime,
            listen=listen,
            connect=its.connect,
            tokens_per_s=self._tokens_per_s,
        )

    async def load(self) -> LlamaCppModel:
        """Raises ModelUnavailable: no runtime, weights gone, too little memory, not loadable."""
        if self._missing:
            raise ModelUnavailable(f"{self._card.name!r} cannot run: {self._missing}", INSTALL_HINT)
        if self._loading is None or (self._loading.done() and self._loading.exception() is not None):
            self._tried = _file_state(self._file)
            self._llama = self._new_llama()
            self._loading = asyncio.create_task(self._start())
        await asyncio.shield(self._loading)
        return self._llama

    async def _start(self) -> None:
        llama = self._llama
        await llama.start()
        self._on_load(llama.placement)

    async def __call__(self, request: Request, send: Send) -> Reply:
        return await self.answer(request, send, self._card)

    async def answer(self, request: Request, send: Send, card: ModelCard, adapter: int | None = None) -> Reply:
        """As the model of `card`: this one, or the adapter on it that was loaded in the place `adapter`."""
        chat = request.payload
        if not isinstance(chat, ChatRequest):
            raise BadRequest(f"{card.name!r} is a chat model and cannot create embeddings", "use an embedding model")
        began, was_loaded = perf_counter(), self.is_loaded
        if not was_loaded and request.options.progress:
            await send(ProgressUpdate("loading", card.name))
        llama = await self.load()
        if not was_loaded:
            await send(AttemptStage("loaded", perf_counter() - began))
        asked = carried_question(chat)
        if asked is not None:
            write = partial(_body, card=card, adapter=adapter)
            return await choose_option(llama, chat, asked, write, is_adapted=adapter is not None)
        is_raw = is_text_completion(chat)
        reader: StreamReader = CompletionStreamReader(True) if is_raw else OpenAiStreamReader(not chat.include_usage)
        is_first = not chat.stream or chat.tools  # a call's text waits until it is whole
        # Who sets a limit has bounded the reply, and may want a repetition.
        detector = RepetitionDetector() if chat.max_tokens is None and chat.n == 1 else None

        async def take(frame: bytes) -> None:
            nonlocal is_first
            if is_first:
                is_first = False
                await send(AttemptStage("first_token", perf_counter() - request.started_at))
            for event in reader.read_frame(frame):
                if chat.stream:
                    await send(event)
                if detector is not None and detector.repeats(event):
                    raise _RepeatsItself

        try:
            if is_raw:
                await llama.complete(completion_body(_with_defaults(chat, card, adapter)), take)
            else:
                await llama.chat(_body(chat, card, adapter), take)
        except _RepeatsItself:
            detector = None
            await take(CUT_OFF)
        return reader.reply()

    async def count_tokens(self, chat: ChatRequest, data_class: DataClass) -> int:
        """Tokens of the prompt, by the model's own template and tokenizer; nothing leaves this machine."""
        llama = await self.load()
        return await llama.count_tokens(_body(chat, self._card, None))

    def unavailable_reason(self) -> str:
        """Why it is unavailable. A model that is not loaded yet is available: the first request waits for it. So is one
        whose file has changed since it could not be loaded.
        """
        if self._missing:
            return f"cannot run: {self._missing}: {INSTALL_HINT}"
        health = self._llama.health()
        failed = health.state == "failed" and _file_state(self._file) == self._tried
        return f"cannot run: {health.reason}" if failed else ""

    def health(self) -> LocalModelHealth:
        return self._llama.health()

    @property
    def is_loaded(self) -> bool:
        """Whether a request needs not wait until it is loaded."""
        return self._loading is not None and self._loading.done() and self._loading.exception() is None

    @property
    def is_started(self) -> bool:
        """Whether it is loaded or being loaded."""
        return self._loading is not None and (not self._loading.done() or self.is_loaded)

    @property
    def is_busy(self) -> bool:
        health = self._llama.health()
        return bool(health.busy or health.waiting)

    async def stop(self, drain_s: float) -> None:
        """A later request loads the model again."""
        loading, self._loading = self._loading, None
        if loading is not None:
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
            await self._llama.stop(drain_s)


class AdaptedModel:
    """A LoRA adapter on a model that others share: the model's process has loaded it in the place `number`."""

    def __init__(self, base: LocalModel, card: ModelCard, number: int) -> None:
        self._base = base
        self._card = card
        self._number = number

    async def __call__(self, request: Request, send: Send) -> Reply:
        return await self._base.answer(request, send, self._card, self._number)


def _body(chat: ChatRequest, card: ModelCard, adapter: int | None) -> bytes:
    chat = _with_defaults(chat, card, adapter)
    return write_request(rewrite_root_references(chat) if chat.schema else chat, card.model)


def _with_defaults(chat: ChatRequest, card: ModelCard, adapter: int | None) -> ChatRequest:
    """`chat` with the temperature and top_p of the card, unless the client set one of them, and with the adapter, which
    no client can choose.
    """
    its = {"temperature": card.temperature, "top_p": card.top_p}
    fields = {name: value for name, value in chat.fields.items() if name != ADAPTER_FIELD}
    if not fields.keys() & its.keys():
        fields |= {name: Raw(msgspec.json.encode(value)) for name, value in its.items() if value is not None}
    if adapter is not None:
        fields[ADAPTER_FIELD] = Raw(msgspec.json.encode([{"id": adapter, "scale": 1.0}]))
    return msgspec.structs.replace(chat, fields=fields)


def completion_body(chat: ChatRequest) -> bytes:
    """A text completion for llama.cpp, which makes `best_of` choices and no echo. Raises NotTranslatable."""
    original, fields = completion_fields(chat)
    refused = next((path for path in original.untranslated if path in ("suffix", "echo")), None)
    if refused is not None:
        raise not_translatable(refused)
    fields.pop("best_of", None)
    fields |= {"n": Raw(b"%d" % chat.n)} if chat.n > 1 else {}
    if chat.logprobs and bytes(fields["logprobs"]) == b"0":  # there it means none
        fields["logprobs"] = Raw(b"1")
    return msgspec.json.encode(fields)


class LocalModels:
    """All embedded models of this process, by file and settings; outlives a reload of the application."""

    def __init__(self, on_load: OnLoad = lambda placement: None, sharing: ModelSharing = NOT_SHARED) -> None:
        """`on_load` gets a line about where a chat model runs, once it is loaded."""
        self._on_load = on_load
        self.sharing = sharing
        self._chat_models: dict[tuple[Path, LocalRuntime], LocalModel] = {}
        self._embedding_models: dict[tuple[Path, int, int | None], LocalEmbeddingModel] = {}
        self._opened: set[LocalModel | LocalEmbeddingModel] = set()
        self._retired: set[LocalModel | LocalEmbeddingModel] = set()
        self._stopping: set[asyncio.Task[None]] = set()

    def open_embedding_model(self, card: ModelCard, file: Path, threads: int) -> LocalEmbeddingModel:
        key = file, threads, card.context
        found = self._embedding_models.get(key)
        if found is None:
            found = self._embedding_models[key] = LocalEmbeddingModel(card, file, threads)
        self._opened.add(found)
        return found

    def open_chat_model(
        self, card: ModelCard, file: Path, runtime: LocalRuntime, tokens_per_s: float | None = None
    ) -> LocalModel:
        """`tokens_per_s`: at which it was measured to read prompts here; counts when the model is loaded."""
        local = self._chat_models.get((file, runtime))
        if local is None:
            local = self._chat_models[file, runtime] = LocalModel(
                card, file, runtime, self._on_load, sharing=self.sharing, tokens_per_s=tokens_per_s
            )
        self._opened.add(local)
        return local

    def draft(self) -> LocalModels:
        """A copy for an application that may still be refused; `take` adopts the models opened in it."""
        made = LocalModels(self._on_load, self.sharing)
        made._chat_models, made._embedding_models = dict(self._chat_models), dict(self._embedding_models)
        return made

    def take(self, draft: LocalModels) -> None:
        """Models that the draft did not open, such as of old settings, are stopped once their requests have ended."""
        self._chat_models = {key: its for key, its in draft._chat_models.items() if its in draft._opened}
        self._embedding_models = {key: its for key, its in draft._embedding_models.items() if its in draft._opened}
        for retired in self._opened - draft._opened:
            self._retired.add(retired)
            self._stopping.add(task := asyncio.get_running_loop().create_task(_stop_when_idle(retired)))
            task.add_done_callback(self._stopping.discard)
        self._opened = draft._opened

    async def socket_of(self, file: Path, runtime: LocalRuntime) -> str:
        """The socket of a model's process, which is loaded if it is not. Raises ModelUnavailable."""
        local = self._chat_models.get((file, runtime))
        if local is None:
            raise ModelUnavailable(f"no model of the settings is in {str(file)!r}", "Try again after the reload.")
        await (await local.load()).wait_until_ready()
        return self.sharing.socket_path(file, runtime)

    def list_health(self) -> list[tuple[Path, LocalModelHealth]]:
        return [(file, local.health()) for (file, _), local in self._chat_models.items()]

    async def preload(self, models: list[LocalModel]) -> None:
        """Loads the models one after the other, in order. Failures are kept and reported on the next request."""
        for local in models:
            try:
                await local.load()
            except SizewiseError:
                continue  # kept as its unavailable reason

    async def stop(self, drain_s: float) -> None:
        """The retired ones too: a flow that began before the reload may have used one since."""
        for task in self._stopping:
            task.cancel()
        every = {*self._chat_models.values(), *self._embedding_models.values(), *self._retired}
        await asyncio.gather(*(each.stop(drain_s) for each in every))


def _file_state(file: Path) -> FileState:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


async def _stop_when_idle(model: LocalModel | LocalEmbeddingModel) -> None:
    while model.is_busy:  # noqa: ASYNC110 - a request has no event for its end
        await asyncio.sleep(IDLE_POLL_S)
    await model.stop(0)
