"""Store of step results, encrypted and fenced by the epoch of a run; retries while the database is down.

Writes wait as long as the store is unavailable: restarting the database during a run delays the run and fails nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Executor
from functools import partial
from hashlib import sha256
from typing import TypeVar

import msgspec
from msgspec import Struct

from sizewise.errors import EncryptionKeyUnavailable, SizewiseError, StorageError
from sizewise.flows import tables
from sizewise.flows.run_clock import RunClock
from sizewise.flows.tables import FlowRun, RunStep, SealedStep, StepState
from sizewise.storage.database import TransactionRunner, UnitOfWork
from sizewise.storage.encryption import EnvelopeEncryption

log = logging.getLogger("sizewise.flows")

T = TypeVar("T")

STEPS, BLOBS = "flow_steps", "flow_blobs"
MAX_INLINE_BYTES = 65_536
"""Larger values are stored as blobs, once per run, even if several steps return the same value."""
INLINE_MARK, BLOB_MARK = b"\0", b"\1"
RETRY_DELAYS_S = (0.05, 0.2, 0.5, 1.0, 2.0)
"""Between attempts while the store is unavailable; the last delay repeats."""

MAX_CONCURRENT_SAVES = 2
"""Of one run: a run with hundreds of steps at once leaves threads to other runs, and the interpreter to requests."""


class StoredError(Struct, frozen=True):
    """Error of a failed step or run. It is encrypted, since messages may contain names that users chose."""

    code: str
    message: str
    hint: str
    node: str = ""


class StepStore:
    """Encrypts and decrypts the stored values of runs. Call methods that are not `async` on a thread: they block."""

    def __init__(
        self, encryption: EnvelopeEncryption, read: TransactionRunner, write: TransactionRunner, executor: Executor
    ) -> None:
        """`executor`: the threads of the `async` methods; encryption and the database may take seconds."""
        self.encryption = encryption
        self.read = read
        self.write = write
        self._executor = executor

    async def run_in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def read_in_thread(self, work: UnitOfWork[T]) -> T:
        return await self.run_in_thread(partial(self.read, work))

    async def write_in_thread(self, work: UnitOfWork[T]) -> T:
        return await self.run_in_thread(partial(self.write, work))

    def seal_step(self, tenant: str, run: str, step: RunStep, value: bytes, may_exist: bool = True) -> SealedStep:
        """`may_exist`: the step may be stored already. Raises EncryptionKeyUnavailable, StorageError."""
        place = f"{run}/{step.key}"
        if len(value) <= MAX_INLINE_BYTES:
            return SealedStep(
                step,
                self.encryption.encrypt(INLINE_MARK + value, tenant, STEPS, place),
                may_exist=may_exist,
            )
        hash = sha256(run.encode() + b"/" + value).hexdigest()
        beside = self.encryption.encrypt(value, tenant, BLOBS, f"{run}/{hash}")
        return SealedStep(
            step,
            self.encryption.encrypt(BLOB_MARK + hash.encode(), tenant, STEPS, place),
            (hash, beside),
            may_exist,
        )

    def open_value(self, tenant: str, run: str, key: str, sealed: bytes) -> bytes:
        """Raises EncryptionKeyUnavailable, StorageError."""
        plain = self.encryption.decrypt(sealed, tenant, STEPS, f"{run}/{key}")
        if plain[:1] == INLINE_MARK:
            return plain[1:]
        hash = plain[1:].decode()
        beside = self.read(lambda c: tables.find_blob(c, run, hash))
        if beside is None:
            raise StorageError(f"a stored value of the run {run} has been deleted", "start the flow again")
        return self.encryption.decrypt(beside, tenant, BLOBS, f"{run}/{hash}")

    def save_step(self, run: FlowRun, step: RunStep, value: bytes, may_exist: bool) -> bool:
        """False if the run has a newer epoch: nothing is written. Raises EncryptionKeyUnavailable, StorageError."""
        written = self.seal_step(run.tenant, run.id, step, value, may_exist)
        return self.write(lambda c: tables.save_step(c, run, written))

    def load_steps(self, run: FlowRun) -> dict[str, tuple[RunStep, bytes]]:
        """Every stored step with its value, by key. Raises EncryptionKeyUnavailable, StorageError."""
        found = self.read(lambda c: tables.list_steps(c, run.id))
        return {step.key: (step, self.open_value(run.tenant, run.id, step.key, sealed)) for step, sealed in found}


async def retry_until_stored(work: Callable[[], Awaitable[T]]) -> T:
    """Repeats `work` until the database and the encryption keys are available."""
    for pause in _retry_delays():
        try:
            return await work()
        except (StorageError, EncryptionKeyUnavailable) as error:
            log.warning("a run cannot reach its database and waits: %s", error.message)
            await asyncio.sleep(pause)
    raise AssertionError


def _retry_delays() -> Iterable[float]:
    yield from RETRY_DELAYS_S
    while True:
        yield RETRY_DELAYS_S[-1]


class DurableSteps:
    """The Steps of one execution (epoch) of a run."""

    def __init__(
        self,
        *,
        store: StepStore,
        run: FlowRun,
        known: dict[str, tuple[RunStep, bytes]],
        clock: RunClock,
        check_access: Callable[[], object],
        on_fenced: Callable[[], object],
        on_waiting: Callable[[], object],
    ) -> None:
        """`known`: the stored steps. `check_access` raises if the run's starter lost the permission to run it.
        `on_fenced` is called when a write is refused because the run has a newer epoch, `on_waiting` when `is_waiting`
        becomes true.
        """
        self.run = run
        self.active: dict[str, RunStep] = {}
        """Steps that run in this process."""
        self._store = store
        self._known = known
        self._ahead = {key for key in known if key[0] != ":"}
        self._clock = clock
        self._check_access = check_access
        self._on_fenced = on_fenced
        self._on_waiting = on_waiting
        self._annotations: dict[str, tuple[str, int]] = {}
        self._saved: set[str] = set()
        self._saving = asyncio.Semaphore(MAX_CONCURRENT_SAVES)
        self._waits: dict[str, asyncio.Future[bytes]] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether the run cannot continue without a decision."""
        return bool(self._waits) and not self.active

    @property
    def is_catching_up(self) -> bool:
        """Whether there are stored steps that this execution has not reached yet."""
        return bool(self._ahead)

    async def step(self, key: str, work: Callable[[], Awaitable[bytes]]) -> bytes:
        done = self._reach(key)
        if done is not None and done[0].state == "done":
            return done[1]
        self._check_access()
        began = now_ms()
        self.active[key] = RunStep(key, "running", self.run.attempt, began)
        try:
            with self._clock.working():
                value = await work()
        except SizewiseError as error:
            await self._save(self._finished_step(key, "failed", began, error.code), encode_error(error))
            raise
        else:
            await self._save(self._finished_step(key, "done", began), value)
            return value
        finally:
            self.active.pop(key, None)
            if self.is_waiting:
                self._on_waiting()

    def annotate(self, key: str, *, model: str = "", cost: int = 0) -> None:
        before = self._annotations.get(key, ("", 0))
        self._annotations[key] = (model or before[0], before[1] + cost)

    async def sleep(self, key: str, seconds: float) -> None:
        known = self._reach(key)
        if known is not None and known[0].state == "done":
            return
        began = known[0].began if known is not None else now_ms()
        if known is None:
            await self._save(RunStep(key, "running", self.run.attempt, began), b"")
        with self._clock.pausing():
            await asyncio.sleep(max(0.0, began / 1_000 + seconds - time.time()))
        await self._save(RunStep(key=key, state="done", attempt=self.run.attempt, began=began, ended=now_ms()), b"")

    async def wait(self, key: str, question: bytes = b"", timeout_s: float | None = None) -> bytes | None:
        known = self._reach(key)
        if known is not None and known[0].state in ("done", "failed"):
            return known[1] if known[0].state == "done" else None
        began = known[0].began if known is not None else now_ms()
        told = self._waits[key] = asyncio.get_running_loop().create_future()
        try:
            if known is None:
                await self._save(RunStep(key, "waiting", self.run.attempt, began), question)
            await self.check_decisions()
            if not told.done() and self.is_waiting:
                self._on_waiting()
            left = None if timeout_s is None else max(0.0, began / 1_000 + timeout_s - time.time())
            with self._clock.pausing():
                return await asyncio.wait_for(told, left)
        except TimeoutError:
            if await retry_until_stored(lambda: self._store.run_in_thread(partial(self._expire, key))):
                return None
            return await self._await_decision(key)  # the decision came just before the timeout
        finally:
            del self._waits[key]

    async def check_decisions(self) -> None:
        """Wakes the waiting steps for which a decision was stored."""
        for key in tuple(self._waits):
            value = await self._await_decision(key)
            waits = self._waits.get(key)
            if value is not None and waits is not None and not waits.done():
                waits.set_result(value)

    def _reach(self, key: str) -> tuple[RunStep, bytes] | None:
        """The step as stored before this execution, if it was."""
        self._ahead.discard(key)
        return self._known.get(key)

    async def _await_decision(self, key: str) -> bytes | None:
        return await retry_until_stored(lambda: self._store.run_in_thread(partial(self._read_decision, key)))

    async def _save_with_retry(self, save: Callable[[bool], bool], may_exist: bool) -> bool:
        """After a failed attempt the step may exist: the commit succeeded and its answer was lost."""
        try:
            return await self._store.run_in_thread(partial(save, may_exist))
        except (StorageError, EncryptionKeyUnavailable):
            return await retry_until_stored(lambda: self._store.run_in_thread(partial(save, True)))

    def _read_decision(self, key: str) -> bytes | None:
        found = self._store.read(lambda c: tables.find_step(c, self.run.id, key))
        if found is None or found[0].state != "done":
            return None
        return self._store.open_value(self.run.tenant, self.run.id, key, found[1])

    def _expire(self, key: str) -> bool:
        return self._store.write(lambda c: tables.expire_waiting_step(c, self.run, key, now_ms()))

    def _finished_step(self, key: str, state: StepState, began: int, error: str = "") -> RunStep:
        model, cost = self._annotations.pop(key, ("", 0))
        return RunStep(
            key=key,
            state=state,
            attempt=self.run.attempt,
            began=began,
            ended=now_ms(),
            model=model,
            cost=cost,
            error=error,
        )

    async def _save(self, step: RunStep, value: bytes) -> None:
        anew = step.key in self._known or step.key in self._saved
        save = partial(self._store.save_step, self.run, step, value)
        async with self._saving:
            saved = await self._save_with_retry(save, anew)
        if not saved:
            self._on_fenced()
            await asyncio.get_running_loop().create_future()  # until the cancellation comes
        self._saved.add(step.key)


def encode_error(error: SizewiseError) -> bytes:
    return msgspec.json.encode(StoredError(error.code, error.message, error.hint, error.flow_node))


def now_ms() -> int:
    """The current time in unix ms."""
    return time.time_ns() // 1_000_000
