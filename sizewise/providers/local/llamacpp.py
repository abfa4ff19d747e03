"""GGUF model run by llama.cpp in a supervised worker process: request bodies in, chunks out; knows no wire format.

A worker that dies is restarted; requests are refused while it cannot be. At most `slots` requests run at a time and
`max_waiting` more wait; the next is refused.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Literal, Protocol

from sizewise.catalog import gguf_header, memory_check
from sizewise.catalog.memory_estimate import MemoryEstimate
from sizewise.errors import (
    Busy,
    ContextLengthExceeded,
    ModelUnavailable,
    SizewiseError,
    StreamInterrupted,
    UpstreamError,
    UpstreamRejected,
)
from sizewise.guardrails.upstream_error_text import client_text
from sizewise.process import start_module
from sizewise.providers.local.runtime import (
    AUTO_RUNTIME,
    GPU_BATCH,
    LocalRuntime,
    check_memory,
    estimate_memory,
    fit_runtime,
    model_size,
)
from sizewise.providers.local.worker_protocol import FRAME_HEADER, FrameKind, encode_frame

WORKER_MODULE = "sizewise.providers.local.llamacpp_worker"
LOAD_S = 300.0  # seconds
STABLE_S = 30.0  # a worker that ran this long is stable: its next restart is immediate
BACKOFF_S = 0.5  # seconds before the second consecutive restart, doubling up to MAX_BACKOFF_S
MAX_BACKOFF_S = 30.0
MAX_BUFFERED_BYTES = 32 * 1024 * 1024  # bytes of chunks buffered for a slow client
MAX_ERROR_CHARACTERS = 300  # of llama.cpp's own message

LocalModelState = Literal["new", "starting", "ready", "restarting", "failed", "stopped"]
OnFrame = Callable[[bytes], Awaitable[None]]


class WorkerConnection(Protocol):
    """A model's process: our own child, or a connection to another process's."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    pid: int

    @property
    def tail(self) -> tuple[str, ...]: ...
    @property
    def resident_bytes(self) -> int | None: ...
    async def wait(self) -> str: ...
    def kill(self) -> None: ...


ConnectToModel = Callable[[Path, LocalRuntime], Awaitable[WorkerConnection]]
"""Connects to the process of a model that another process runs. Raises ModelUnavailable."""


@dataclass(frozen=True, slots=True)
class LocalModelHealth:
    """Current health. `memory` is the worker's resident size in bytes, None if the system does not report it."""

    state: LocalModelState
    reason: str  # why it is not ready; empty when it is
    memory: int | None
    memory_estimate: int  # bytes, as estimated before loading
    busy: int  # slots in use
    waiting: int
    restarts: int
    output: tuple[str, ...]  # the worker's last output lines
    pid: int | None = None  # of the worker


class LlamaCppModel:
    """One local model, running between `start` and `stop`."""

    def __init__(
        self,
        name: str,
        file: Path,
        runtime: LocalRuntime = AUTO_RUNTIME,
        *,
        listen: str = "",
        connect: ConnectToModel | None = None,
        tokens_per_s: float | None = None,
    ) -> None:
        """`listen`: path at which the model's process accepts other processes of the server. `connect`: it belongs to
        another process of the server, which `connect` asks for it. `tokens_per_s`: as `fit_runtime`.
        """
        self._tokens_per_s = tokens_per_s
        self._listen = listen
        self._connect = connect
        self.name = name
        self.file = file
        self._requested = runtime
        self.runtime = runtime  # as requested; `start` replaces every 0
        self._header: gguf_header.GgufHeader | None = None
        self._memory_estimate = MemoryEstimate(0, 0, 0)
        self._size: tuple[int, int, int] = (0, 0, 0)  # layers, bytes of one, bytes of a GPU's buffers
        self.placement = ""  # where its layers run, in words; empty until it is loaded
        self._state: LocalModelState = "new"
        self._reason: SizewiseError | None = None
        self._state_known = asyncio.Event()  # set when requests can be accepted or refused
        self._slots = asyncio.Semaphore(0)
        self._waiting = 0
        self._number = 0
        self._requests: dict[int, _PendingRequest] = {}
        self._child: WorkerConnection | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._restarts = 0
        self._folder = ""  # for the worker's socket file; only this user can enter it

    async def start(self) -> None:
        """Loads the model. Raises ModelUnavailable: file unusable, too little memory, not loadable."""
        self._set_state("starting")
        try:
            self._header = header = await asyncio.to_thread(gguf_header.read_header, self.file)
            self.runtime = fit_runtime(self.runtime, header, self._tokens_per_s)
            self._memory_estimate = estimate_memory(header, self.runtime)
            self._size = astuple(model_size(header, self.runtime))
            if self._connect is None:
                check_memory(self.name, header, self.runtime, memory_check.available_memory())
            self._slots = asyncio.Semaphore(self.runtime.slots)
            child = await self._start_worker()
        except SizewiseError as error:
            self._set_state("failed", error)
            self._remove_folder()
            raise
        self._supervisor = asyncio.create_task(self._supervise(child))
        self._set_state("ready")

    async def chat(self, body: bytes, on_frame: OnFrame) -> None:
        """Runs a chat. Awaits `on_frame` for each `chat.completion.chunk`; the last has only usage and timings.

        `body` is a chat completion's JSON; its `stream` is ignored. Cancelling the task stops the model between two
        batches. Raises ContextLengthExceeded, UpstreamRejected (the model refused the body), Busy (queue full),
        ModelUnavailable (not loaded, or the worker died), StreamInterrupted (read too slowly), or an `on_frame` error.
        """
        await self._wait_for_slot()
        await self._read_chunks(self._send_request(FrameKind.CHAT, body, slot=True), on_frame)

    async def complete(self, body: bytes, on_frame: OnFrame) -> None:
        """As `chat`, for the JSON of a text completion: the model gets the prompt without a chat template."""
        await self._wait_for_slot()
        await self._read_chunks(self._send_request(FrameKind.COMPLETE, body, slot=True), on_frame)

    async def count_tokens(self, body: bytes) -> int:
        """Tokens of the prompt in `body`, by the model's own template and tokenizer."""
        count: int = json.loads(await self._asked(FrameKind.COUNT, body))["input_tokens"]
        return count

    async def tokenize_prompt(self, body: bytes) -> list[int]:
        """The prompt in `body` as the model sees it, by its own template and tokenizer."""
        tokens: list[int] = json.loads(await self._asked(FrameKind.TOKENIZE_PROMPT, body))["tokens"]
        return tokens

    async def tokenize_text(self, text: str) -> list[int]:
        """`text` by the model's tokenizer, in the middle of a text: without a token that begins it."""
        body = json.dumps({"content": text, "add_special": False, "parse_special": False}).encode()
        tokens: list[int] = json.loads(await self._asked(FrameKind.TOKENIZE_TEXT, body))["tokens"]
        return tokens

    async def _asked(self, kind: FrameKind, body: bytes) -> bytes:
        """The one answer to what needs no slot."""
        answers: list[bytes] = []

        async def keep(answer: bytes) -> None:
            answers.append(answer)

        await self._ready()
        await self._read_chunks(self._send_request(kind, body, slot=False), keep)
        return answers[0]

    async def stop(self, drain_s: float = 0.0) -> None:
        """Refuses new requests, lets running ones finish for at most `drain_s` seconds, then ends the worker."""
        self._set_state("stopped", ModelUnavailable(f"{self.name!r} has been stopped", "Restart Sizewise."))
        if self._child is not None and self._connect is None:
            self._write(encode_frame(FrameKind.STOP))
            if self._supervisor is not None:
                await asyncio.wait([self._supervisor], timeout=drain_s)
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor])
        self._remove_folder()

    def health(self) -> LocalModelHealth:
        child = self._child
        return LocalModelHealth(
            state=self._state,
            reason=self._reason.message if self._reason else "",
            memory=child.resident_bytes if child else None,
            memory_estimate=self._memory_estimate.total,
            busy=sum(request.slot for request in self._requests.values()),
            waiting=self._waiting,
            restarts=self._restarts,
            output=child.tail if child else (),
            pid=child.pid if child else None,
        )

    # ---- requests

    async def _wait_for_slot(self) -> None:
        """Waits until the model is ready and takes a slot. Raises Busy if the queue is full."""
        if self._waiting >= self.runtime.max_waiting and self._slots.locked():
            raise Busy(
                f"{self._waiting} requests already wait for {self.name!r}",
                "Try again in a moment, or raise the number of slots.",
                retry_after=1.0,
            )
        self._waiting += 1
        try:
            await self._ready()
            await self._slots.acquire()
            try:
                await self._ready()  # the worker may have died meanwhile
            except BaseException:
                self._slots.release()
                raise
        finally:
            self._waiting -= 1

    async def wait_until_ready(self) -> None:
        """While its process is restarted, waits. Raises ModelUnavailable."""
        await self._ready()

    async def _ready(self) -> None:
        await self._state_known.wait()
        if self._reason is not None:
            raise self._reason
        if self._state == "new":
            raise ModelUnavailable(f"{self.name!r} has not been started")

    def _send_request(self, kind: FrameKind, body: bytes, *, slot: bool) -> _PendingRequest:
        self._number = (self._number + 1) & 0xFFFFFFFF
        request = _PendingRequest(self._number, slot)
        self._requests[request.number] = request
        self._write(encode_frame(kind, request.number, body))
        return request

    async def _read_chunks(self, request: _PendingRequest, on_frame: OnFrame) -> None:
        try:
            while (chunk := await request.next()) is not None:
                await on_frame(chunk)
        except BaseException:
            if request.number in self._requests:  # the slot stays taken until the worker sends END
                request.abandon()
                self._write(encode_frame(FrameKind.CANCEL, request.number))
            raise
        if request.error is not None:
            raise request.error

    def _write(self, words: bytes) -> None:
        if self._child is not None and not self._child.writer.is_closing():
            self._child.writer.write(words)

    # ---- the worker

    async def _start_worker(self) -> WorkerConnection:
        """Starts a worker and loads the model in it, or connects to the one that another process has started."""
        if self._connect is not None:
            self._child = shared = await self._connect(self.file, self._requested)
            return shared
        try:
            self._folder = self._folder or tempfile.mkdtemp(prefix="sizewise-")
            self._child = child = await start_module(WORKER_MODULE)
        except OSError as error:
            raise ModelUnavailable(f"cannot start a worker process for {self.name!r}: {error}", "Try again.") from error
        reported = ""  # by the worker
        try:
            child.writer.write(encode_frame(FrameKind.LOAD, 0, self._load_options()))
            async with asyncio.timeout(LOAD_S):
                kind, _, said = await _read_frame(child.reader)
            why = reported = "" if kind is FrameKind.READY else said.decode("utf-8", "replace")
            self.placement = said.decode() if kind is FrameKind.READY else ""
        except (asyncio.IncompleteReadError, OSError):
            why = "its worker process crashed"
        except TimeoutError:
            why = f"it took longer than {LOAD_S:.0f} s"
        except BaseException:
            child.kill()
            await child.wait()
            raise
        if why:
            child.kill()
            end = await child.wait()
            last = next((line for line in reversed(child.tail) if line.strip()), "")
            output = f" ({end}; last output: {last!r})" if last or not reported else ""
            raise ModelUnavailable(
                f"cannot load {self.name!r} from {str(self.file)!r}: {why}{output}",
                "Run `sizewise doctor` for details.",
            )
        return child

    def _remove_folder(self) -> None:
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ""

    def _load_options(self) -> bytes:
        return json.dumps(
            {
                "model": str(self.file),
                "name": self.name,
                "context": self.runtime.context,
                "slots": self.runtime.slots,
                "threads": self.runtime.threads,
                "batch": self.runtime.batch,
                "gpu_batch": max(self.runtime.batch, GPU_BATCH),
                "folder": self._folder,
                "gpu_layers": self.runtime.gpu_layers,
                "size": self._size,
                "listen": self._listen,
                "adapters": self.runtime.adapters.splitlines(),
            },
        ).encode()

    async def _supervise(self, child: WorkerConnection) -> None:
        """Reads the worker's frames until it dies and restarts it, forever; backs off after consecutive failures."""
        failures = 0
        while True:
            since = time.monotonic()
            try:
                await self._dispatch_frames(child)
            finally:
                child.kill()
                end = await child.wait()
                died = ModelUnavailable(f"the worker process of {self.name!r} {end} while answering", "Try again.")
                self._fail_all(self._reason or died)
            if self._state == "stopped":
                return
            failures = 1 if time.monotonic() - since > STABLE_S else failures + 1
            self._set_state("restarting", None)
            child, failures = await self._restart_worker(failures, end)
            self._restarts += 1
            self._set_state("ready")

    async def _restart_worker(self, failures: int, why: str) -> tuple[WorkerConnection, int]:
        reason = f"the worker process of {self.name!r} {why}"
        while True:
            if failures > 1:
                pause = min(BACKOFF_S * 2.0 ** (failures - 2), MAX_BACKOFF_S)
                hint = f"It is restarted within {pause:.1f} s; `sizewise doctor` shows its last output."
                self._set_state("failed", ModelUnavailable(reason, hint, retry_after=pause))
                await asyncio.sleep(pause)
                self._set_state("restarting")
            try:
                return await self._start_worker(), failures
            except SizewiseError as error:
                failures += 1
                reason = error.message

    async def _dispatch_frames(self, child: WorkerConnection) -> None:
        """Hands the worker's frames to their requests until the socket closes."""
        try:
            while True:
                kind, number, payload = await _read_frame(child.reader)
                request = self._requests.get(number)
                if request is None:
                    continue
                if kind is FrameKind.END:
                    self._end_request(number)
                elif kind is FrameKind.ERROR:
                    request.error = worker_error(self.name, payload)
                elif not request.push(payload):
                    self._write(encode_frame(FrameKind.CANCEL, number))
        except (asyncio.IncompleteReadError, OSError, ValueError):  # ValueError: an unknown frame kind
            return

    def _end_request(self, number: int, error: SizewiseError | None = None) -> None:
        request = self._requests.pop(number)
        request.end(error)
        if request.slot:
            self._slots.release()

    def _fail_all(self, error: SizewiseError) -> None:
        for number in tuple(self._requests):
            self._end_request(number, error)

    def _set_state(self, state: LocalModelState, reason: SizewiseError | None = None) -> None:
        if self._state == "stopped":
            return
        self._state = state
        self._reason = reason
        if state in ("starting", "restarting"):
            self._state_known.clear()
        else:
            self._state_known.set()


class _PendingRequest:
    """The received, unread chunks of one request."""

    def __init__(self, number: int, slot: bool) -> None:
        self.number = number
        self.slot = slot
        self.error: SizewiseError | None = None
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._buffered_bytes = 0
        self._abandoned = False

    async def next(self) -> bytes | None:
        """The next chunk; None after the last."""
        chunk = await self._chunks.get()
        self._buffered_bytes -= len(chunk or b"")
        return chunk

    def push(self, chunk: bytes) -> bool:
        """Buffers `chunk`; False when too much is buffered and the request must be cancelled."""
        if self._abandoned:
            return True
        self._buffered_bytes += len(chunk)
        if self._buffered_bytes > MAX_BUFFERED_BYTES:
            self.error = StreamInterrupted("the client read the stream too slowly", "Read the stream as it arrives.")
            self._abandoned = True
            return False
        self._chunks.put_nowait(chunk)
        return True

    def abandon(self) -> None:
        self._abandoned = True

    def end(self, error: SizewiseError | None) -> None:
        self.error = self.error or error
        self._chunks.put_nowait(None)


async def _read_frame(reader: asyncio.StreamReader) -> tuple[FrameKind, int, bytes]:
    length, number, kind = FRAME_HEADER.unpack(await reader.readexactly(FRAME_HEADER.size))
    return FrameKind(kind), number, await reader.readexactly(length)


def worker_error(name: str, payload: bytes) -> SizewiseError:
    """llama.cpp's error object as a SizewiseError; its text without secrets and tracebacks."""
    said = json.loads(payload)
    error = said.get("error") if isinstance(said, dict) else None
    if not isinstance(error, dict):
        error = {}
    if error.get("type") == "exceed_context_size_error":
        return ContextLengthExceeded(
            f"the prompt has {error.get('n_prompt_tokens')} tokens, and {name!r} accepts at most {error.get('n_ctx')}",
            "Shorten the prompt, or use a model with a larger context window.",
            param="messages",
        )
    message = f"{name!r} returned an error: {client_text(str(error.get('message', '')))[:MAX_ERROR_CHARACTERS]}"
    code = error.get("code")
    if isinstance(code, int) and 400 <= code < 500:
        return UpstreamRejected(message, "Change the request; the message is from llama.cpp.", status=code)
    return UpstreamError(message, "Try again; `sizewise doctor` shows the worker's last output.")
