"""A GGUF model in a worker process of ours: bodies in, chunks out; knows neither wires nor routing.

The worker is started again when it dies, and so is every request refused while it cannot be. At most `slots`
requests run at a time, `waiting` more stand in line, the next one is refused.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sizewise.catalog import gguf_header, memory_check
from sizewise.catalog.memory_estimate import Need
from sizewise.errors import (
    Busy,
    ModelUnavailable,
    SizewiseError,
    StreamCut,
    TooLong,
    Upstream,
    UpstreamRefused,
)
from sizewise.process import Child, start
from sizewise.providers.local.runtime import AUTOMATIC, Runtime, fitted, needed, refuse_too_big
from sizewise.providers.local.worker_protocol import HEAD, Kind, frame

WORKER = "sizewise.providers.local.llamacpp_worker"
LOAD_S = 300.0  # seconds until loading is given up
STEADY_S = 30.0  # a worker that lived this long is well: the next restart is at once
BACKOFF_S = 0.5  # seconds before the second restart in a row, doubling to
BACKOFF_MOST_S = 30.0
HELD_MOST = 32 * 1024 * 1024  # bytes of chunks that wait for a client who reads slowly
COMPLAINT_MOST = 300  # characters of llama.cpp's own message

State = Literal["new", "starting", "ready", "restarting", "failed", "stopped"]
OnFrame = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Health:
    """How the model is doing now. `memory_check` is what its worker holds, in bytes, None where the system does not
    tell."""

    state: State
    reason: str  # why it is not ready; empty when it is
    memory: int | None
    needs: int  # bytes, as estimated before loading
    busy: int  # slots
    waiting: int
    restarts: int
    output: tuple[str, ...]  # the worker's last lines
    pid: int | None = None  # of the worker


class Llama:
    """One local model, kept open between `start` and `stop`."""

    def __init__(self, name: str, file: Path, runtime: Runtime = AUTOMATIC) -> None:
        self.name = name
        self.file = file
        self.runtime = runtime  # as asked for; whole after `start`
        self._header: gguf_header.Header | None = None
        self._need = Need(0, 0, 0)
        self._state: State = "new"
        self._reason: SizewiseError | None = None
        self._settled = asyncio.Event()  # set while it is clear whether one can ask
        self._slots = asyncio.Semaphore(0)
        self._waiting = 0
        self._number = 0
        self._requests: dict[int, _Request] = {}
        self._child: Child | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._restarts = 0
        self._folder = ""  # of the worker's socket file; only this user can enter it

    async def start(self) -> None:
        """Loads the model. Raises ModelUnavailable: file unusable, too little memory, not loadable."""
        self._become("starting")
        try:
            self._header = header = await asyncio.to_thread(gguf_header.read, self.file)
            self.runtime = fitted(self.runtime, header)
            self._need = needed(header, self.runtime)
            refuse_too_big(self.name, header, self.runtime, memory_check.available())
            self._slots = asyncio.Semaphore(self.runtime.slots)
            child = await self._opened()
        except SizewiseError as error:
            self._become("failed", error)
            self._tidy()
            raise
        self._keeping = asyncio.create_task(self._keep(child))
        self._become("ready")

    async def chat(self, body: bytes, on_frame: OnFrame) -> None:
        """Asks; every `chat.completion.chunk` is awaited in order, the last has no choices but usage and timings.

        `body` is a chat completion's JSON; whether it asks for a stream does not matter. Cancelling the task stops
        the model between two batches. Raises TooLong, UpstreamRefused (the model's "no" to this body), Busy (line
        too long), ModelUnavailable (not loaded, or its worker died) and what `on_frame` raises.
        """
        await self._slot()
        await self._follow(self._asked(Kind.CHAT, body, slot=True), on_frame)

    async def count(self, body: bytes) -> int:
        """Tokens of the prompt that `body` makes, by the model's own template and tokenizer."""
        answers: list[bytes] = []

        async def keep(answer: bytes) -> None:
            answers.append(answer)

        await self._ready()
        await self._follow(self._asked(Kind.COUNT, body, slot=False), keep)
        count: int = json.loads(answers[0])["input_tokens"]
        return count

    async def stop(self, drain_s: float = 0.0) -> None:
        """Takes no more requests, lets those that run finish for at most `drain_s` seconds, ends the worker."""
        self._become("stopped", ModelUnavailable(f"{self.name!r} has been stopped", "Start Sizewise again."))
        if self._child is not None:
            self._say(frame(Kind.STOP))
            if self._keeping is not None:
                await asyncio.wait([self._keeping], timeout=drain_s)
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        self._tidy()

    def health(self) -> Health:
        child = self._child
        return Health(
            state=self._state,
            reason=self._reason.message if self._reason else "",
            memory=child.memory if child else None,
            needs=self._need.total,
            busy=sum(request.slot for request in self._requests.values()),
            waiting=self._waiting,
            restarts=self._restarts,
            output=child.tail if child else (),
            pid=child.pid if child else None,
        )

    # Asking

    async def _slot(self) -> None:
        """Stands in line for a slot of a model that is ready."""
        if self._waiting >= self.runtime.waiting and self._slots.locked():
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

    async def _ready(self) -> None:
        await self._settled.wait()
        if self._reason is not None:
            raise self._reason
        if self._state == "new":
            raise ModelUnavailable(f"{self.name!r} has not been started")

    def _asked(self, kind: Kind, body: bytes, *, slot: bool) -> _Request:
        self._number = (self._number + 1) & 0xFFFFFFFF
        request = _Request(self._number, slot)
        self._requests[request.number] = request
        self._say(frame(kind, request.number, body))
        return request

    async def _follow(self, request: _Request, on_frame: OnFrame) -> None:
        try:
            while (chunk := await request.next()) is not None:
                await on_frame(chunk)
        except BaseException:
            if request.number in self._requests:  # the slot is free when the worker says END
                request.leave()
                self._say(frame(Kind.CANCEL, request.number))
            raise
        if request.error is not None:
            raise request.error

    def _say(self, words: bytes) -> None:
        if self._child is not None and not self._child.writer.is_closing():
            self._child.writer.write(words)

    # The worker

    async def _opened(self) -> Child:
        """A new worker with the model loaded."""
        try:
            self._folder = self._folder or tempfile.mkdtemp(prefix="sizewise-")
            self._child = child = await start(WORKER)
        except OSError as error:
            raise ModelUnavailable(f"cannot start a worker for {self.name!r}: {error}", "Try again.") from error
        try:
            child.writer.write(frame(Kind.LOAD, 0, self._order()))
            async with asyncio.timeout(LOAD_S):
                kind, _, said = await _heard(child.reader)
            why = "" if kind is Kind.READY else said.decode("utf-8", "replace")
        except (asyncio.IncompleteReadError, OSError):
            why = "its worker died"
        except TimeoutError:
            why = f"it took longer than {LOAD_S:.0f} s"
        except BaseException:
            child.kill()
            await child.ended()
            raise
        if why:
            child.kill()
            end = await child.ended()
            last = next((line for line in reversed(child.tail) if line.strip()), "")
            raise ModelUnavailable(
                f"cannot load {self.name!r} from {str(self.file)!r}: {why} ({end}; its last words: {last!r})",
                "`sizewise doctor` shows more.",
            )
        return child

    def _tidy(self) -> None:
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ""

    def _order(self) -> bytes:
        return json.dumps(
            {
                "model": str(self.file),
                "name": self.name,
                "context": self.runtime.context,
                "slots": self.runtime.slots,
                "threads": self.runtime.threads,
                "batch": self.runtime.batch,
                "folder": self._folder,
            }
        ).encode()

    async def _keep(self, child: Child) -> None:
        """Hears the worker until it is gone, starts another, for ever; waits longer from failure to failure."""
        failures = 0
        while True:
            since = time.monotonic()
            try:
                await self._hear(child)
            finally:
                child.kill()
                end = await child.ended()
                died = ModelUnavailable(f"the worker of {self.name!r} {end} while answering", "Ask again.")
                self._lose(self._reason or died)
            if self._state == "stopped":
                return
            failures = 1 if time.monotonic() - since > STEADY_S else failures + 1
            self._become("restarting", None)
            child, failures = await self._reopened(failures, end)
            self._restarts += 1
            self._become("ready")

    async def _reopened(self, failures: int, why: str) -> tuple[Child, int]:
        reason = f"the worker of {self.name!r} {why}"
        while True:
            if failures > 1:
                pause = min(BACKOFF_S * 2.0 ** (failures - 2), BACKOFF_MOST_S)
                hint = f"It is started again within {pause:.1f} s; `sizewise doctor` shows its last words."
                self._become("failed", ModelUnavailable(reason, hint, retry_after=pause))
                await asyncio.sleep(pause)
                self._become("restarting")
            try:
                return await self._opened(), failures
            except SizewiseError as error:
                failures += 1
                reason = error.message

    async def _hear(self, child: Child) -> None:
        """Deals out the worker's frames until the line closes."""
        try:
            while True:
                kind, number, payload = await _heard(child.reader)
                request = self._requests.get(number)
                if request is None:
                    continue
                if kind is Kind.END:
                    self._end(number)
                elif kind is Kind.ERROR:
                    request.error = complaint(self.name, payload)
                elif not request.hold(payload):
                    self._say(frame(Kind.CANCEL, number))
        except (asyncio.IncompleteReadError, OSError, ValueError):  # the last: it no longer speaks our language
            return

    def _end(self, number: int, error: SizewiseError | None = None) -> None:
        request = self._requests.pop(number)
        request.end(error)
        if request.slot:
            self._slots.release()

    def _lose(self, error: SizewiseError) -> None:
        for number in tuple(self._requests):
            self._end(number, error)

    def _become(self, state: State, reason: SizewiseError | None = None) -> None:
        if self._state == "stopped":
            return
        self._state = state
        self._reason = reason
        if state in ("starting", "restarting"):
            self._settled.clear()
        else:
            self._settled.set()


class _Request:
    """What has come for one request and was not yet taken."""

    def __init__(self, number: int, slot: bool) -> None:
        self.number = number
        self.slot = slot
        self.error: SizewiseError | None = None
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._held = 0
        self._left = False

    async def next(self) -> bytes | None:
        """The next chunk; None after the last."""
        chunk = await self._chunks.get()
        self._held -= len(chunk or b"")
        return chunk

    def hold(self, chunk: bytes) -> bool:
        """Keeps `chunk` for whoever asked; False when too much is kept already: the request is to be cancelled."""
        if self._left:
            return True
        self._held += len(chunk)
        if self._held > HELD_MOST:
            self.error = StreamCut("the answer was read too slowly", "Read the stream while it comes.")
            self._left = True
            return False
        self._chunks.put_nowait(chunk)
        return True

    def leave(self) -> None:
        self._left = True

    def end(self, error: SizewiseError | None) -> None:
        self.error = self.error or error
        self._chunks.put_nowait(None)


async def _heard(reader: asyncio.StreamReader) -> tuple[Kind, int, bytes]:
    length, number, kind = HEAD.unpack(await reader.readexactly(HEAD.size))
    return Kind(kind), number, await reader.readexactly(length)


def complaint(name: str, payload: bytes) -> SizewiseError:
    """llama.cpp's error object as one of ours."""
    said = json.loads(payload)
    error = said.get("error") if isinstance(said, dict) else None
    if not isinstance(error, dict):
        error = {}
    if error.get("type") == "exceed_context_size_error":
        return TooLong(
            f"the prompt has {error.get('n_prompt_tokens')} tokens, {name!r} takes at most {error.get('n_ctx')}",
            "Shorten the prompt, or ask a model with a larger context window.",
            param="messages",
        )
    message = f"{name!r} says: {str(error.get('message', ''))[:COMPLAINT_MOST]}"
    code = error.get("code")
    if isinstance(code, int) and 400 <= code < 500:
        return UpstreamRefused(message, "Change the request; the message is llama.cpp's own.", status=code)
    return Upstream(message, "Ask again; `sizewise doctor` shows the worker's last words.")
