"""Runs of flows from their start to what came of them: begun, looked at, cancelled, resumed, decided; one per keeper.

A run belongs to whoever started it: what he may is looked up anew at each step, and where he may nothing any more his
runs stop. What is in the flow, and how it is walked through, is the carrier's to know (house.py hands it in).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sizewise.audit_log.hash_chain import Deed
from sizewise.auth.api_keys import deed
from sizewise.auth.authenticator import Keys
from sizewise.data_class import DataClass
from sizewise.errors import BadKey, BadRequest, Busy, Conflict, Forbidden, SizewiseError, StoreFailed, UnknownPath
from sizewise.flows import tables
from sizewise.flows.engine import Engine, Steps
from sizewise.flows.step_store import Book, Failed, Journal, failure, patiently
from sizewise.flows.tables import CLASS, FAILURE, INPUTS, OUTPUTS, UNDERWAY, Run, State, Step
from sizewise.flows.versions.store import Shelf
from sizewise.flows.versions.tables import Published
from sizewise.handler import Send, Wishes, quiet
from sizewise.principal import Caller
from sizewise.storage.database import Work

log = logging.getLogger("sizewise.flows")

T = TypeVar("T")

LARGEST = 16_000_000
"""Bytes of a run's inputs."""
MOST = 1_000
"""Runs of one page."""
LOOK_S = 1.0
"""Between two looks at what other servers did to our runs."""
ORPHAN_MS = 20_000
"""A run that was written down so long ago, and never begun, lost its server in between."""
DEEPEST = 16
"""Runs that call runs as tools."""
EVENT = "flow.ended"


class Begun(Struct, frozen=True):
    """What a run is started with, as it is sealed. `inputs`: JSON of an object."""

    inputs: msgspec.Raw
    wishes: Wishes = Wishes()
    trace: str = ""


class Started(Struct, frozen=True):
    """What the carrier carries. `caller` with what he may as it begins, `now` later on; words go to `send` where
    somebody still listens."""

    run: Run
    caller: Caller
    inputs: bytes
    wishes: Wishes
    trace: str
    send: Send
    now: Callable[[], Caller]


Knock = Callable[[Caller], Awaitable[None] | None]
"""Counts a request (Budgets' `knock`): None, or what must be awaited. Raises Busy."""
OURS = frozenset({"tool", "cron"})
"""Doors by which nobody makes a request: a run calls another, or it is time."""
Carry = Callable[[Started, Steps], Awaitable[bytes]]
"""Gives the outputs, JSON of an object. Raises SizewiseError."""


class Going:
    """A run under way in this process."""

    def __init__(self, run: Run, journal: Journal, task: asyncio.Task[None]) -> None:
        self.run = run
        self.journal = journal
        self.task = task
        self.revoked = False


def _nobody(event: str, data: Mapping[str, object], tenant: str) -> None:
    pass


class Runs:
    """`tell` is told of runs that ended (Hooks' `tell`). Who waits for a person takes no place from others."""

    def __init__(
        self,
        book: Book,
        keys: Keys,
        shelf: Shelf,
        engine: Engine,
        *,
        knock: Knock,
        running: int,
        running_each: int | None = None,
        shared: bool,
    ) -> None:
        """`running`: places for runs; `running_each`: of one organisation, None: half where there are others. `shared`:
        other servers work at the same store."""
        self.tell: Callable[[str, Mapping[str, object], str], None] = _nobody
        self.shelf = shelf
        self._book = book
        self._keys = keys
        self._engine = engine
        self._knock = knock
        self._running = running
        self._running_each = running_each
        self._shared = shared
        self._carry: Carry | None = None
        self._going: dict[str, Going] = {}
        self._coming: dict[str, str] = {}  # runs that have a place and are not going yet, each with its organisation
        self._sends: dict[str, Send] = {}
        self._depths: dict[str, int] = {}  # of runs that are called as tools by others
        self._ends: dict[str, set[asyncio.Future[None]]] = {}
        self._opening = asyncio.Lock()
        self._opened = False
        engine.aim(self._call)

    def aim(self, carry: Carry) -> None:
        """Runs are carried by this one from now on; those under way end as they began."""
        self._carry = carry

    @property
    def going(self) -> list[Run]:
        """Under way in this process."""
        return [each.run for each in self._going.values()]

    # What people do

    async def start(
        self,
        caller: Caller,
        flow: str,
        inputs: bytes,
        *,
        version: str = "",
        door: str = "graphql",
        wishes: Wishes = Wishes(),  # noqa: B008  # frozen
        trace: str = "",
        send: Send = quiet,
        id: str = "",
        within: str = "",
    ) -> Run:
        """Durable when this returns. `inputs`: JSON of an object. `id`: of a run that must not be started twice; then
        the run is the one that is there. `within`: the run that calls it as a tool. Raises Forbidden, UnknownPath,
        BadRequest, Busy, Conflict where the run of this id is another flow's, VaultLocked, StoreFailed."""
        if "ask" not in caller.may:
            raise Forbidden("this key may not ask", "ask for one that may")
        if caller.scope is not None and caller.scope.flows and flow not in caller.scope.flows:
            raise Forbidden(f"this key may not use the flow {flow[:100]!r}", "ask for one that may")
        if len(inputs) > LARGEST:
            raise BadRequest(f"the inputs take {len(inputs)} bytes", f"{LARGEST} are the most")
        if door not in OURS:
            await self._counted(caller)
        depth = self._depths.get(within, 0) + 1 if within else 0
        if depth > DEEPEST:
            raise BadRequest(f"flows call each other deeper than {DEEPEST}", "Does one call itself for ever?")
        id = id or secrets.token_hex(16)
        self._place(id, caller.tenant)
        try:
            whole = await self.shelf.meant(caller.tenant, caller.project, flow, version)
            run = Run(
                id,
                caller.tenant,
                caller.project,
                flow,
                whole,
                door,
                caller.key,
                caller.user,
                "queued",
                created=_now(),
            )
            begun = msgspec.json.encode(Begun(msgspec.Raw(inputs), wishes, trace))
            await self.open()
            if await self._added(run, begun):
                return await self._begin(run, send, depth)
        except BaseException:
            self._coming.pop(id, None)
            raise
        self._coming.pop(id, None)
        there = await self.one(caller, id)
        if there.flow != flow:
            raise Conflict(f"the run {id} is one of another flow", "give each run an id of its own")
        return there

    async def _begin(self, run: Run, send: Send, depth: int) -> Run:
        self._sends[run.id] = send
        if depth:
            self._depths[run.id] = depth
        try:
            await self._engine.begin(run.id, run.attempt)
        except BaseException:
            self._sends.pop(run.id, None)
            raise
        return run

    async def _counted(self, caller: Caller) -> None:
        """As a request, once, whatever comes of it: what the run asks counts as none. Raises Busy, StoreFailed."""
        waits = self._knock(caller)
        if waits is not None:
            await waits

    def _place(self, id: str, tenant: str) -> None:
        """Taken until the run ends, but for while it waits for somebody. Raises Busy."""
        most, each = self._running, self._running_each or self._running
        if self._running_each is None and self._keys.organisations > 1:
            each = (most + 1) // 2
        if len(self._coming) + len(self._going) >= min(most, each):
            waits = [one.run.tenant for one in self._going.values() if one.journal.idle].count(tenant)
            if waits >= most:
                raise Busy(
                    f"{waits} runs of your organisation wait for somebody",
                    "decide some, or cancel them",
                    retry_after=60.0,
                )
            held = [*self._coming.values(), *(o.run.tenant for o in self._going.values() if not o.journal.idle)]
            if len(held) >= most:
                raise Busy(f"{most} runs are under way", "start it again later", retry_after=5.0)
            if held.count(tenant) >= each:
                words = f"{each} runs of your organisation are under way, the most that one may have"
                raise Busy(words, "start it again later", retry_after=5.0)
        self._coming[id] = tenant

    async def _added(self, run: Run, begun: bytes) -> bool:
        """Whether there was none of this id; another server may have been as fast."""
        try:
            return await self._book.off(partial(self._add, run, begun))
        except Conflict:
            return False

    def _add(self, run: Run, begun: bytes) -> bool:
        written = self._book.written(run.tenant, run.id, Step(INPUTS, "done", 1, run.created, run.created), begun)
        return self._book.write(lambda c: tables.add(c, run, written))

    def publisher(self, published: Published) -> Caller:
        """As whom a flow runs that nobody asked for: who published it, with what he may now. Raises BadKey."""
        found = self._now(published.key, published.user, published.tenant, published.project)
        if found is None:
            raise BadKey(f"who published the flow {published.name!r} may ask no more", "publish it again")
        return found

    async def one(self, caller: Caller, id: str) -> Run:
        """Raises UnknownPath where there is none that the caller may see."""
        found = await self._look(lambda c: tables.find(c, id))
        if found is None or not _sees(caller, found):
            raise UnknownPath(f"there is no run {id[:64]!r}", "see: sizewise flow runs")
        return found

    async def page(
        self, caller: Caller, *, flow: str = "", state: State | None = None, before: int = 0, limit: int = 20
    ) -> list[tuple[int, Run]]:
        """The newest first, each with the number behind which the next page begins (`before`)."""
        if not 1 <= limit <= MOST:
            raise BadRequest(f"a list of {limit!r} runs cannot be had", f"ask for 1 to {MOST}", param="limit")
        project, only = "" if caller.wide else caller.project, caller.scope.flows if caller.scope is not None else ()
        return await self._look(
            lambda c: tables.last(c, caller.tenant, project, flow, state or "", before, limit, only)
        )

    async def steps(self, caller: Caller, id: str) -> list[Step]:
        """In the order in which they ended; those that are under way here come last."""
        run = await self.one(caller, id)
        found = [step for step, _ in await self._look(lambda c: tables.steps(c, run.id)) if step.key[0] != ":"]
        going = self._going.get(id)
        return found if going is None else [*found, *going.journal.going.values()]

    async def value(self, caller: Caller, id: str, key: str = OUTPUTS) -> bytes | None:
        """What a step gave, or the whole run, as JSON; None where that is not there yet. Raises UnknownPath, Forbidden
        where it was another's run and the caller may read no contents."""
        run = await self.one(caller, id)
        if not _owns(caller, run) and "read_contents" not in caller.may:
            raise Forbidden(
                "what was said in this run is another's", "its owner, or who may `read_contents`, can see it"
            )
        found = await self._book.off(partial(self._value, run, key))
        return msgspec.json.decode(found, type=Begun).inputs if found is not None and key == INPUTS else found

    async def failed(self, caller: Caller, id: str) -> Failed | None:
        """Why it failed; None where it did not."""
        found = await self.value(caller, id, FAILURE)
        return None if found is None else msgspec.json.decode(found, type=Failed)

    def _value(self, run: Run, key: str) -> bytes | None:
        found = self._book.read(lambda c: tables.step(c, run.id, key))
        if found is None or found[0].state in ("running", "waiting"):
            return None
        return self._book.value(run.tenant, run.id, key, found[1])

    async def ended(self, caller: Caller, id: str, timeout_s: float | None = None) -> Run:
        """The run when it is over, or as it is when the time is. Raises UnknownPath."""
        mine = asyncio.get_running_loop().create_future()
        others = self._ends.setdefault(id, set())
        others.add(mine)
        until = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while (run := await self.one(caller, id)).state in UNDERWAY:
                left = LOOK_S if until is None else min(LOOK_S, until - time.monotonic())
                if left <= 0:
                    break
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(mine), left if self._shared or until else None)
            return run
        finally:
            mine.cancel()
            others.discard(mine)
            if not others:
                self._ends.pop(id, None)

    async def ask(self, caller: Caller, flow: str, inputs: bytes, **how: object) -> bytes:
        """`start`, and what comes of it. Cancelling cancels the run. Raises what made it fail."""
        return (await self.asked(caller, flow, inputs, **how))[0]

    async def asked(self, caller: Caller, flow: str, inputs: bytes, **how: object) -> tuple[bytes, DataClass | None]:
        """The same, and how closely that must be kept, where something said so."""
        run = await self.start(caller, flow, inputs, **how)  # type: ignore[arg-type]  # start's own keywords
        try:
            run = await self.ended(caller, run.id)
        except asyncio.CancelledError:
            await asyncio.shield(self._cancelled(run))
            raise
        if run.state == "done":
            closely = await self.value(caller, run.id, CLASS)
            found = None if closely is None else msgspec.json.decode(closely, type=DataClass)
            return await self.value(caller, run.id) or b"{}", found
        why = await self.failed(caller, run.id)
        if why is None:
            raise Conflict(f"the run {run.id} was cancelled", "start it again, or resume it")
        raise _as_it_was(why)

    async def cancel(self, caller: Caller, id: str) -> Run:
        """It is over when this returns, wherever it ran. Raises UnknownPath, Forbidden, Conflict where it had ended."""
        run = await self.one(caller, id)
        _demanded(caller, run)
        if not await self._cancelled(run, deed(caller, run.tenant, "flow.cancel", f"run:{run.id}")):
            raise Conflict(f"the run {id} has ended already", "only what is under way can be cancelled")
        return await self.one(caller, id)

    async def _cancelled(self, run: Run, told: Deed | None = None) -> bool:
        if not await self._book.off(lambda: self._book.write(lambda c: tables.cancel(c, run.id, _now(), told))):
            return False
        await self.open()
        await self._engine.stop(run.id, run.attempt)
        self._over(replace(run, state="cancelled"))
        return True

    async def resume(self, caller: Caller, id: str) -> Run:
        """It goes on at what failed, as whoever started it. Raises UnknownPath, Forbidden, Conflict where it did not
        fail, Busy."""
        run = await self.one(caller, id)
        _demanded(caller, run)
        if "ask" not in caller.may:
            raise Forbidden("this key may not ask", "ask for one that may")
        await self._counted(caller)
        told = deed(caller, run.tenant, "flow.resume", f"run:{run.id}")
        self._place(id, run.tenant)
        try:
            if not await self._book.off(lambda: self._book.write(lambda c: tables.again(c, run.id, told))):
                raise Conflict(f"the run {id} is {run.state}", "what failed or was cancelled can be resumed")
            await self.open()
            run = await self.one(caller, id)
            await self._engine.begin(run.id, run.attempt)
        except BaseException:
            self._coming.pop(id, None)
            raise
        return run

    async def waiting(self, caller: Caller, limit: int = 100) -> list[tuple[Run, str, bytes]]:
        """Runs that wait for somebody: with the step's key, and what it asks as JSON."""
        project = "" if caller.wide else caller.project
        found = await self._look(lambda c: tables.waiting(c, caller.tenant, project, min(limit, MOST)))
        mine = [each for each in found if _sees(caller, each[0])]
        if "ask" not in caller.may and "read_contents" not in caller.may:  # who cannot decide is not told its words
            return [(run, key, b"null") for run, key, _ in mine]
        return [(run, key, await self._book.off(partial(self._asked, run, key, sealed))) for run, key, sealed in mine]

    def _asked(self, run: Run, key: str, sealed: bytes) -> bytes:
        return self._book.value(run.tenant, run.id, key, sealed)

    async def decide(
        self, caller: Caller, id: str, key: str, approved: bool, note: str = "", value: bytes = b"null"
    ) -> None:
        """What the step `key` that waits is told, and who said it; the first word counts. `value`: JSON that goes with
        it. Raises UnknownPath, Conflict."""
        run = await self.one(caller, id)
        if "ask" not in caller.may:
            raise Forbidden("this key may decide nothing", "ask for one that may")
        said = {"approved": approved, "note": note, "by": caller.user or caller.key, "value": msgspec.Raw(value)}
        decision = msgspec.json.encode(said)
        if len(decision) > LARGEST:
            raise BadRequest(f"the decision takes {len(decision)} bytes", f"{LARGEST} are the most")
        told = deed(caller, run.tenant, "flow.decide", f"run:{run.id}/{key}")
        if run.state not in UNDERWAY or not await self._book.off(partial(self._tell, run, key, decision, told)):
            raise Conflict(f"nothing in the run {id} waits at {key[:100]!r}", "see: sizewise flow waiting")
        going = self._going.get(id)
        if going is not None:
            await going.journal.look()

    def _tell(self, run: Run, key: str, decision: bytes, told: Deed) -> bool:
        now = _now()
        written = self._book.written(run.tenant, run.id, Step(key, "done", run.attempt, now, now), decision)
        return self._book.write(lambda c: tables.tell(c, run, written, now, told))

    # What the engine does

    async def open(self) -> None:
        """The engine works from now on. Raises StoreFailed, ConfigError."""
        async with self._opening:
            if not self._opened:
                await self._engine.open()
                self._opened = True
                self._keys.watching.add(self)

    async def tend(self) -> None:
        """Opens the engine where something waits for it, also at a server that may die; looks after what others do."""
        while True:
            with suppress(StoreFailed):
                await self._tended()
            await asyncio.sleep(LOOK_S)

    async def _tended(self) -> None:
        if self._shared:
            await self.shelf.look()
        if not self._opened and await self._look(tables.underway):
            await self.open()
        if not self._opened:
            return
        for run in await self._look(lambda c: tables.left(c, _now() - ORPHAN_MS)):
            if run.id not in self._going:
                await self._engine.begin(run.id, run.attempt)
        if not self._shared or not self._going:
            return
        epochs = await self._look(lambda c: tables.epochs(c, list(self._going)))
        for going in tuple(self._going.values()):
            if epochs.get(going.run.id) != going.run.epoch:
                going.task.cancel()
            else:
                await going.journal.look()

    def look(self) -> None:
        """Stops the runs of whoever may nothing any more (Keys' `watching`)."""
        for going in tuple(self._going.values()):
            if self._caller(going.run) is None:
                going.revoked = True
                going.task.cancel()

    async def close(self) -> None:
        """Stops here; a durable engine goes on at the next start."""
        self._keys.watching.discard(self)
        if self._opened:
            await self._engine.close()

    async def _call(self, id: str) -> None:
        """All of a run, for the engine."""
        try:
            await self._gone_through(id)
        finally:
            self._coming.pop(id, None)

    async def _gone_through(self, id: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        run = await patiently(lambda: self._book.off(lambda: self._book.write(lambda c: tables.claim(c, id, _now()))))
        if run is None:
            return  # it was cancelled meanwhile
        try:
            known = await patiently(lambda: self._book.off(partial(self._book.known, run)))
            journal = Journal(self._book, run, known, partial(self._held, run), task.cancel)
            going = self._going[id] = Going(run, journal, task)
            self._coming.pop(id, None)
            outputs = await self._carried(going, known)
        except SizewiseError as error:
            await self._end(run, "failed", FAILURE, failure(error), error.code)
        except asyncio.CancelledError:
            if (mine := self._going.get(id)) is None or not mine.revoked:
                raise
            task.uncancel()
            await self._end(run, "failed", FAILURE, failure(_revoked(run)), BadKey.code)
        except Exception as fault:
            log.error("unforeseen %s at %s, run %s", type(fault).__name__, _place(fault), run.id)
            told = SizewiseError("something went wrong within Sizewise", "the server's log tells more")
            await self._end(run, "failed", FAILURE, failure(told), told.code)
        else:
            await self._end(run, "done", OUTPUTS, outputs)
        finally:
            if (mine := self._going.get(id)) is not None and mine.task is task:
                del self._going[id]

    async def _carried(self, going: Going, known: Mapping[str, tuple[Step, bytes]]) -> bytes:
        run = going.run
        if INPUTS not in known or self._carry is None:
            raise StoreFailed(f"what the run {run.id} was started with is gone", "start the flow anew")
        begun = msgspec.json.decode(known[INPUTS][1], type=Begun)
        send = self._sends.get(run.id, quiet)
        caller = self._held(run)
        return await self._carry(
            Started(run, caller, bytes(begun.inputs), begun.wishes, begun.trace, send, partial(self._held, run)),
            going.journal,
        )

    async def _end(self, run: Run, state: State, key: str, value: bytes, error: str = "") -> None:
        step = Step(key, "done", run.attempt, run.began or run.created, _now())

        def write() -> bool:
            written = self._book.written(run.tenant, run.id, step, value)
            return self._book.write(lambda c: tables.end(c, run, state, _now(), written, error))

        if await patiently(lambda: self._book.off(write)):
            self._over(replace(run, state=state, error=error))

    def _over(self, run: Run) -> None:
        self._sends.pop(run.id, None)
        self._depths.pop(run.id, None)
        self._coming.pop(run.id, None)
        for future in self._ends.get(run.id, ()):
            if not future.done():
                future.set_result(None)
        told = {"run": run.id, "flow": run.flow, "version": run.version, "project": run.project, "state": run.state}
        self.tell(EVENT, told | ({"error": run.error} if run.error else {}), run.tenant)

    def _held(self, run: Run) -> Caller:
        found = self._caller(run)
        if found is None:
            raise _revoked(run)
        return found

    def _caller(self, run: Run) -> Caller | None:
        """Whoever started it, with what he may now; None where he may not ask any more."""
        return self._now(run.key, run.user, run.tenant, run.project)

    def _now(self, key: str, user: str, tenant: str, project: str) -> Caller | None:
        found = self._keys.again(key, user, tenant, project)
        if found is None or "ask" not in found.may or not (found.wide or found.project == project):
            return None
        return found if found.project == project else replace(found, project=project)

    async def _look(self, work: Work[T]) -> T:
        return await self._book.off(lambda: self._book.read(work))


def _sees(caller: Caller, run: Run) -> bool:
    """Of its own project, and where its key is confined to some flows, of those."""
    only = caller.scope.flows if caller.scope is not None else ()
    mine = run.tenant == caller.tenant and (caller.wide or run.project == caller.project)
    return mine and (not only or run.flow in only)


def _owns(caller: Caller, run: Run) -> bool:
    return caller.key == run.key or (caller.user != "" and caller.user == run.user)


def _demanded(caller: Caller, run: Run) -> None:
    """Raises Forbidden: what goes on with another's rights and money is not everybody's to stop or to begin again."""
    if not _owns(caller, run) and "manage_flows" not in caller.may:
        raise Forbidden("this run is another's", "its owner, or who may `manage_flows`, can cancel and resume it")


def _revoked(run: Run) -> BadKey:
    return BadKey(f"the key {run.key!r}, by which the run was started, may ask no more", "start it by another")


def _as_it_was(why: Failed) -> SizewiseError:
    """The error by its code, about the same node."""
    waiting: list[type[SizewiseError]] = [SizewiseError]
    kind = SizewiseError
    while waiting:
        each = waiting.pop()
        if each.code == why.code:
            kind = each
            break
        waiting.extend(each.__subclasses__())
    error = kind(why.message, why.hint)
    error.node = why.node
    return error


def _place(fault: BaseException) -> str:
    """Where it came up; its message could hold a prompt."""
    place = fault.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
