"""What the steps of a run gave, sealed and written under its epoch: the Steps of every engine; knows no flow.

What an ill store cannot take waits, as long as that takes: a database that is started anew in the middle of a run
delays it and fails nothing.
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

from sizewise.errors import SizewiseError, StoreFailed, VaultLocked
from sizewise.flows import tables
from sizewise.flows.tables import Run, Step, StepState, Written
from sizewise.storage.encryption import Vault
from sizewise.storage.keys.tables import Run as Perform

log = logging.getLogger("sizewise.flows")

T = TypeVar("T")

STEPS, BLOBS = "flow_steps", "flow_blobs"
LARGE = 65_536
"""Bytes of a value that lies beside its step: what several steps pass on lies there once."""
WHOLE, BESIDE = b"\0", b"\1"
PAUSES_S = (0.05, 0.2, 0.5, 1.0, 2.0)
"""Between tries on an ill store; the last one again and again."""


class Failed(Struct, frozen=True):
    """How a step or run ended that failed, as it is sealed: messages may hold names that people gave."""

    code: str
    message: str
    hint: str
    node: str = ""


class Book:
    """Seals what is written of runs and opens it again. Its methods are for threads: the vault may take seconds."""

    def __init__(self, vault: Vault, read: Perform, write: Perform, aside: Executor) -> None:
        """`aside` runs what may take seconds."""
        self.vault = vault
        self.read = read
        self.write = write
        self._aside = aside

    async def off(self, work: Callable[[], T]) -> T:
        """`work` beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._aside, work)

    def written(self, tenant: str, run: str, step: Step, value: bytes, anew: bool = True) -> Written:
        """`anew`: the step may be there already. Raises VaultLocked, StoreFailed."""
        place = f"{run}/{step.key}"
        if len(value) <= LARGE:
            return Written(step, self.vault.seal(WHOLE + value, tenant, STEPS, place), anew=anew)
        hash = sha256(run.encode() + b"/" + value).hexdigest()
        beside = self.vault.seal(value, tenant, BLOBS, f"{run}/{hash}")
        return Written(step, self.vault.seal(BESIDE + hash.encode(), tenant, STEPS, place), (hash, beside), anew)

    def value(self, tenant: str, run: str, key: str, sealed: bytes) -> bytes:
        """Raises VaultLocked, StoreFailed."""
        plain = self.vault.open(sealed, tenant, STEPS, f"{run}/{key}")
        if plain[:1] == WHOLE:
            return plain[1:]
        hash = plain[1:].decode()
        beside = self.read(lambda c: tables.blob(c, run, hash))
        if beside is None:
            raise StoreFailed(f"a value of the run {run} is gone", "start the flow anew")
        return self.vault.open(beside, tenant, BLOBS, f"{run}/{hash}")

    def save(self, run: Run, step: Step, value: bytes, anew: bool) -> bool:
        """Whether the run was still this epoch's. Raises VaultLocked, StoreFailed."""
        written = self.written(run.tenant, run.id, step, value, anew)
        return self.write(lambda c: tables.save(c, run, written))

    def known(self, run: Run) -> dict[str, tuple[Step, bytes]]:
        """Every step that was written, with its value. Raises VaultLocked, StoreFailed."""
        found = self.read(lambda c: tables.steps(c, run.id))
        return {step.key: (step, self.value(run.tenant, run.id, step.key, sealed)) for step, sealed in found}


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """What `work` gives, however long the store is ill or the vault locked."""
    for pause in _pauses():
        try:
            return await work()
        except (StoreFailed, VaultLocked) as error:
            log.warning("a run waits for its store: %s", error.message)
            await asyncio.sleep(pause)
    raise AssertionError


def _pauses() -> Iterable[float]:
    yield from PAUSES_S
    while True:
        yield PAUSES_S[-1]


class Journal:
    """The Steps of one run, as one epoch sees them. `fenced` is called when the epoch is over."""

    def __init__(
        self,
        book: Book,
        run: Run,
        known: dict[str, tuple[Step, bytes]],
        holds: Callable[[], object],
        fenced: Callable[[], object],
    ) -> None:
        """`holds` raises where whoever started the run may ask no more."""
        self.run = run
        self.going: dict[str, Step] = {}
        """Steps that are under way here."""
        self._book = book
        self._known = known
        self._holds = holds
        self._fenced = fenced
        self._noted: dict[str, tuple[str, int]] = {}
        self._wrote: set[str] = set()
        self._waits: dict[str, asyncio.Future[bytes]] = {}

    @property
    def idle(self) -> bool:
        """Somebody must say something before it goes on."""
        return bool(self._waits) and not self.going

    async def step(self, key: str, work: Callable[[], Awaitable[bytes]]) -> bytes:
        done = self._known.get(key)
        if done is not None and done[0].state == "done":
            return done[1]
        self._holds()
        began = _now()
        self.going[key] = Step(key, "running", self.run.attempt, began)
        try:
            value = await work()
        except SizewiseError as error:
            await self._save(self._ended(key, "failed", began, error.code), failure(error))
            raise
        else:
            await self._save(self._ended(key, "done", began), value)
            return value
        finally:
            self.going.pop(key, None)

    def note(self, key: str, *, model: str = "", cost: int = 0) -> None:
        before = self._noted.get(key, ("", 0))
        self._noted[key] = (model or before[0], before[1] + cost)

    async def sleep(self, key: str, seconds: float) -> None:
        known = self._known.get(key)
        if known is not None and known[0].state == "done":
            return
        began = known[0].began if known is not None else _now()
        if known is None:
            await self._save(Step(key, "running", self.run.attempt, began), b"")
        await asyncio.sleep(max(0.0, began / 1_000 + seconds - time.time()))
        await self._save(Step(key, "done", self.run.attempt, began, _now()), b"")

    async def wait(self, key: str, asked: bytes = b"", timeout_s: float | None = None) -> bytes | None:
        known = self._known.get(key)
        if known is not None and known[0].state in ("done", "failed"):
            return known[1] if known[0].state == "done" else None
        began = known[0].began if known is not None else _now()
        told = self._waits[key] = asyncio.get_running_loop().create_future()
        try:
            if known is None:
                await self._save(Step(key, "waiting", self.run.attempt, began), asked)
            await self.look()
            left = None if timeout_s is None else max(0.0, began / 1_000 + timeout_s - time.time())
            return await asyncio.wait_for(told, left)
        except TimeoutError:
            if await patiently(lambda: self._book.off(partial(self._lapsed, key))):
                return None
            return await self._heard(key)  # it came at the last moment
        finally:
            del self._waits[key]

    async def look(self) -> None:
        """Wakes the steps that wait and were told something meanwhile."""
        for key in tuple(self._waits):
            value = await self._heard(key)
            waits = self._waits.get(key)
            if value is not None and waits is not None and not waits.done():
                waits.set_result(value)

    async def _heard(self, key: str) -> bytes | None:
        return await patiently(lambda: self._book.off(partial(self._told, key)))

    async def _once(self, save: Callable[[bool], bool], anew: bool) -> bool:
        """After a try on an ill store the step may be there: a commit whose answer was lost."""
        try:
            return await self._book.off(partial(save, anew))
        except (StoreFailed, VaultLocked):
            return await patiently(lambda: self._book.off(partial(save, True)))

    def _told(self, key: str) -> bytes | None:
        found = self._book.read(lambda c: tables.step(c, self.run.id, key))
        if found is None or found[0].state != "done":
            return None
        return self._book.value(self.run.tenant, self.run.id, key, found[1])

    def _lapsed(self, key: str) -> bool:
        return self._book.write(lambda c: tables.lapse(c, self.run, key, _now()))

    def _ended(self, key: str, state: StepState, began: int, error: str = "") -> Step:
        model, cost = self._noted.pop(key, ("", 0))
        return Step(key, state, self.run.attempt, began, _now(), model=model, cost=cost, error=error)

    async def _save(self, step: Step, value: bytes) -> None:
        anew = step.key in self._known or step.key in self._wrote
        save = partial(self._book.save, self.run, step, value)
        if not await self._once(save, anew):
            self._fenced()
            await asyncio.get_running_loop().create_future()  # until the cancellation comes
        self._wrote.add(step.key)


def failure(error: SizewiseError) -> bytes:
    return msgspec.json.encode(Failed(error.code, error.message, error.hint, error.node))


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
