"""Run service: starts, lists, cancels, resumes and decides flow runs, with admission limits and recovery.

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

from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.auth.api_keys import audit_event
from sizewise.auth.authenticator import Authenticator
from sizewise.data_class import DataClass
from sizewise.errors import (
    BadRequest,
    Busy,
    Conflict,
    Forbidden,
    InvalidApiKey,
    PathNotFound,
    SizewiseError,
    StorageError,
)
from sizewise.flows import tables
from sizewise.flows.engine import Engine, Steps
from sizewise.flows.step_store import DurableSteps, StepStore, StoredError, encode_error, retry_until_stored
from sizewise.flows.tables import ACTIVE_STATES, CLASS, FAILURE, INPUTS, OUTPUTS, FlowRun, RunState, RunStep
from sizewise.flows.versions.store import FlowVersions
from sizewise.flows.versions.tables import PublishedFlow
from sizewise.handler import RequestOptions, Send, discard_events
from sizewise.principal import Principal
from sizewise.storage.database import UnitOfWork

log = logging.getLogger("sizewise.flows")

T = TypeVar("T")

MAX_INPUT_BYTES = 16_000_000
"""Bytes of a run's inputs."""
MAX_PAGE_SIZE = 1_000
"""Runs of one page."""
POLL_INTERVAL_S = 1.0
"""Between two looks at what other servers did to our runs."""
ORPHAN_AFTER_MS = 20_000
"""A run that was written down so long ago, and never begun, lost its server in between."""
MAX_DEPTH = 16
"""Runs that call runs as tools."""
RUN_ENDED_EVENT = "flow.ended"


class StoredRunRequest(Struct, frozen=True):
    """What a run is started with, as it is sealed. `inputs`: JSON of an object."""

    inputs: msgspec.Raw
    options: RequestOptions = RequestOptions()
    trace: str = ""


class RunExecution(Struct, frozen=True):
    """What the carrier carries. `principal` with what he may as it begins, `current_principal` later on; words go to
    `send` where somebody still listens.
    """

    run: FlowRun
    principal: Principal
    inputs: bytes
    options: RequestOptions
    trace: str
    send: Send
    current_principal: Callable[[], Principal]


CountRequest = Callable[[Principal], Awaitable[None] | None]
"""Counts a request (Budgets' `count_request`): None, or what must be awaited. Raises Busy."""
UNCOUNTED_ENDPOINTS = frozenset({"tool", "cron"})
"""Doors by which nobody makes a request: a run calls another, or it is time."""
ExecuteFlow = Callable[[RunExecution, Steps], Awaitable[bytes]]
"""Gives the outputs, JSON of an object. Raises SizewiseError."""


class ActiveRun:
    """A run under way in this process."""

    def __init__(self, run: FlowRun, steps: DurableSteps, task: asyncio.Task[None]) -> None:
        self.run = run
        self.steps = steps  # frozen
        self.task = task
        self.revoked = False


def _ignore_event(event: str, data: Mapping[str, object], tenant: str) -> None:
    pass


class RunService:
    """`tell` is told of runs that ended (Hooks' `tell`). Who waits for a person takes no place from others."""

    def __init__(
        self,
        store: StepStore,
        authenticator: Authenticator,
        versions: FlowVersions,
        engine: Engine,
        *,
        count_request: CountRequest,
        max_running: int,
        max_running_per_organization: int | None = None,
        store_is_shared: bool,
    ) -> None:
        """`max_running`: places for runs; `max_running_per_organization`: of one organisation, None: half where there
        are others. `store_is_shared`: other servers work at the same store.
        """
        self.publish_event: Callable[[str, Mapping[str, object], str], None] = _ignore_event
        self.versions = versions
        self._store = store
        self._authenticator = authenticator
        self._engine = engine
        self._count_request = count_request
        self._max_running = max_running
        self._max_running_per_organization = max_running_per_organization
        self._store_is_shared = store_is_shared
        self._execute: ExecuteFlow | None = None
        self._active: dict[str, ActiveRun] = {}
        self._admitted: dict[str, str] = {}  # runs that have a place and are not going yet, each with its organisation
        self._sends: dict[str, Send] = {}
        self._depths: dict[str, int] = {}  # of runs that are called as tools by others
        self._end_waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._opening = asyncio.Lock()
        self._opened = False
        engine.configure(self._run)

    def configure(self, execute: ExecuteFlow) -> None:
        """Runs are carried by this one from now on; those under way end as they began."""
        self._execute = execute

    @property
    def active_runs(self) -> list[FlowRun]:
        """Under way in this process."""
        return [each.run for each in self._active.values()]

    # What people do

    async def start(
        self,
        principal: Principal,
        flow: str,
        inputs: bytes,
        *,
        version: str = "",
        endpoint: str = "graphql",
        options: RequestOptions = RequestOptions(),  # frozen
        trace: str = "",
        send: Send = discard_events,
        id: str = "",
        parent_run: str = "",
    ) -> FlowRun:
        """Durable when this returns. `inputs`: JSON of an object. `id`: of a run that must not be started twice; then
        the run is the one that is there. `parent_run`: the run that calls it as a tool. Raises Forbidden, PathNotFound,
        BadRequest, Busy, Conflict where the run of this id is another flow's, VaultLocked, StorageError.
        """
        if "ask" not in principal.permissions:
            raise Forbidden("this key may not ask", "ask for one that may")
        if principal.scope is not None and principal.scope.flows and flow not in principal.scope.flows:
            raise Forbidden(f"this key may not use the flow {flow[:100]!r}", "ask for one that may")
        if len(inputs) > MAX_INPUT_BYTES:
            raise BadRequest(f"the inputs take {len(inputs)} bytes", f"{MAX_INPUT_BYTES} are the most")
        if endpoint not in UNCOUNTED_ENDPOINTS:
            await self._count(principal)
        depth = self._depths.get(parent_run, 0) + 1 if parent_run else 0
        if depth > MAX_DEPTH:
            raise BadRequest(f"flows call each other deeper than {MAX_DEPTH}", "Does one call itself for ever?")
        id = id or secrets.token_hex(16)
        self._admit(id, principal.tenant)
        try:
            whole = await self.versions.resolve_version(principal.tenant, principal.project, flow, version)
            run = FlowRun(
                id,
                principal.tenant,
                principal.project,
                flow,
                whole,
                endpoint,
                principal.key_id,
                principal.user_id,
                "queued",
                created=_now(),
            )
            begun = msgspec.json.encode(StoredRunRequest(msgspec.Raw(inputs), options, trace))
            await self.open()
            if await self._insert_if_new(run, begun):
                return await self._start(run, send, depth)
        except BaseException:
            self._admitted.pop(id, None)
            raise
        self._admitted.pop(id, None)
        there = await self.get(principal, id)
        if there.flow != flow:
            raise Conflict(f"the run {id} is one of another flow", "give each run an id of its own")
        return there

    async def _start(self, run: FlowRun, send: Send, depth: int) -> FlowRun:
        self._sends[run.id] = send
        if depth:
            self._depths[run.id] = depth
        try:
            await self._engine.start(run.id, run.attempt)
        except BaseException:
            self._sends.pop(run.id, None)
            raise
        return run

    async def _count(self, principal: Principal) -> None:
        """As a request, once, whatever comes of it: what the run asks counts as none. Raises Busy, StorageError."""
        waits = self._count_request(principal)
        if waits is not None:
            await waits

    def _admit(self, id: str, tenant: str) -> None:
        """Taken until the run ends, but for while it waits for somebody. Raises Busy."""
        most, each = self._max_running, self._max_running_per_organization or self._max_running
        if self._max_running_per_organization is None and self._authenticator.organization_count > 1:
            each = (most + 1) // 2
        if len(self._admitted) + len(self._active) >= min(most, each):
            waits = [one.run.tenant for one in self._active.values() if one.steps.is_waiting].count(tenant)
            if waits >= most:
                raise Busy(
                    f"{waits} runs of your organisation wait for somebody",
                    "decide some, or cancel them",
                    retry_after=60.0,
                )
            held = [*self._admitted.values(), *(o.run.tenant for o in self._active.values() if not o.steps.is_waiting)]
            if len(held) >= most:
                raise Busy(f"{most} runs are under way", "start it again later", retry_after=5.0)
            if held.count(tenant) >= each:
                words = f"{each} runs of your organisation are under way, the most that one may have"
                raise Busy(words, "start it again later", retry_after=5.0)
        self._admitted[id] = tenant

    async def _insert_if_new(self, run: FlowRun, begun: bytes) -> bool:
        """Whether there was none of this id; another server may have been as fast."""
        try:
            return await self._store.run_in_thread(partial(self._insert, run, begun))
        except Conflict:
            return False

    def _insert(self, run: FlowRun, begun: bytes) -> bool:
        written = self._store.seal_step(run.tenant, run.id, RunStep(INPUTS, "done", 1, run.created, run.created), begun)
        return self._store.write(lambda c: tables.insert_run(c, run, written))

    def publisher(self, published: PublishedFlow) -> Principal:
        """As whom a flow runs that nobody asked for: who published it, with what he may now. Raises InvalidApiKey."""
        found = self._find_principal(published.key, published.user, published.tenant, published.project)
        if found is None:
            raise InvalidApiKey(f"who published the flow {published.name!r} may ask no more", "publish it again")
        return found

    async def get(self, principal: Principal, id: str) -> FlowRun:
        """Raises PathNotFound where there is none that the caller may see."""
        found = await self._read(lambda c: tables.find_run(c, id))
        if found is None or not _can_see(principal, found):
            raise PathNotFound(f"there is no run {id[:64]!r}", "see: sizewise flow runs")
        return found

    async def list_runs(
        self,
        principal: Principal,
        *,
        flow: str = "",
        state: RunState | None = None,
        before: int = 0,
        limit: int = 20,
    ) -> list[tuple[int, FlowRun]]:
        """The newest first, each with the number behind which the next page begins (`before`)."""
        if not 1 <= limit <= MAX_PAGE_SIZE:
            raise BadRequest(f"a list of {limit!r} runs cannot be had", f"ask for 1 to {MAX_PAGE_SIZE}", param="limit")
        project, only = (
            "" if principal.all_projects else principal.project,
            principal.scope.flows if principal.scope is not None else (),
        )
        return await self._read(
            lambda c: tables.list_runs(c, principal.tenant, project, flow, state or "", before, limit, only),
        )

    async def list_steps(self, principal: Principal, id: str) -> list[RunStep]:
        """In the order in which they ended; those that are under way here come last."""
        run = await self.get(principal, id)
        found = [step for step, _ in await self._read(lambda c: tables.list_steps(c, run.id)) if step.key[0] != ":"]
        going = self._active.get(id)
        return found if going is None else [*found, *going.steps.active.values()]

    async def get_value(self, principal: Principal, id: str, key: str = OUTPUTS) -> bytes | None:
        """What a step gave, or the whole run, as JSON; None where that is not there yet. Raises PathNotFound, Forbidden
        where it was another's run and the caller may read no contents.
        """
        run = await self.get(principal, id)
        if not _is_owner(principal, run) and "read_contents" not in principal.permissions:
            raise Forbidden(
                "what was said in this run is another's",
                "its owner, or who may `read_contents`, can see it",
            )
        found = await self._store.run_in_thread(partial(self._get_value, run, key))
        return (
            msgspec.json.decode(found, type=StoredRunRequest).inputs if found is not None and key == INPUTS else found
        )

    async def get_error(self, principal: Principal, id: str) -> StoredError | None:
        """Why it failed; None where it did not."""
        found = await self.get_value(principal, id, FAILURE)
        return None if found is None else msgspec.json.decode(found, type=StoredError)

    def _get_value(self, run: FlowRun, key: str) -> bytes | None:
        found = self._store.read(lambda c: tables.find_step(c, run.id, key))
        if found is None or found[0].state in ("running", "waiting"):
            return None
        return self._store.open_value(run.tenant, run.id, key, found[1])

    async def wait_until_ended(self, principal: Principal, id: str, timeout_s: float | None = None) -> FlowRun:
        """The run when it is over, or as it is when the time is. Raises PathNotFound."""
        mine = asyncio.get_running_loop().create_future()
        others = self._end_waiters.setdefault(id, set())
        others.add(mine)
        until = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while (run := await self.get(principal, id)).state in ACTIVE_STATES:
                left = POLL_INTERVAL_S if until is None else min(POLL_INTERVAL_S, until - time.monotonic())
                if left <= 0:
                    break
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(mine), left if self._store_is_shared or until else None)
            return run
        finally:
            mine.cancel()
            others.discard(mine)
            if not others:
                self._end_waiters.pop(id, None)

    async def run_to_completion(self, principal: Principal, flow: str, inputs: bytes, **how: object) -> bytes:
        """`start`, and what comes of it. Cancelling cancels the run. Raises what made it fail."""
        return (await self.run_with_data_class(principal, flow, inputs, **how))[0]

    async def run_with_data_class(
        self,
        principal: Principal,
        flow: str,
        inputs: bytes,
        **how: object,
    ) -> tuple[bytes, DataClass | None]:
        """The same, and how closely that must be kept, where something said so."""
        run = await self.start(principal, flow, inputs, **how)  # type: ignore[arg-type]  # start's own keywords
        try:
            run = await self.wait_until_ended(principal, run.id)
        except asyncio.CancelledError:
            await asyncio.shield(self._cancel(run))
            raise
        if run.state == "done":
            closely = await self.get_value(principal, run.id, CLASS)
            found = None if closely is None else msgspec.json.decode(closely, type=DataClass)
            return await self.get_value(principal, run.id) or b"{}", found
        why = await self.get_error(principal, run.id)
        if why is None:
            raise Conflict(f"the run {run.id} was cancelled", "start it again, or resume it")
        raise _restore_error(why)

    async def cancel(self, principal: Principal, id: str) -> FlowRun:
        """Cancels a run wherever it runs. Raises PathNotFound, Forbidden, Conflict where it had ended."""
        run = await self.get(principal, id)
        _require_owner(principal, run)
        if not await self._cancel(run, audit_event(principal, run.tenant, "flow.cancel", f"run:{run.id}")):
            raise Conflict(f"the run {id} has ended already", "only what is under way can be cancelled")
        return await self.get(principal, id)

    async def _cancel(self, run: FlowRun, audit_event: AuditEvent | None = None) -> bool:
        if not await self._store.run_in_thread(
            lambda: self._store.write(lambda c: tables.cancel_run(c, run.id, _now(), audit_event)),
        ):
            return False
        await self.open()
        await self._engine.stop(run.id, run.attempt)
        self._notify_ended(replace(run, state="cancelled"))
        return True

    async def resume(self, principal: Principal, id: str) -> FlowRun:
        """It goes on at what failed, as whoever started it. Raises PathNotFound, Forbidden, Conflict where it did not
        fail, Busy.
        """
        run = await self.get(principal, id)
        _require_owner(principal, run)
        if "ask" not in principal.permissions:
            raise Forbidden("this key may not ask", "ask for one that may")
        await self._count(principal)
        told = audit_event(principal, run.tenant, "flow.resume", f"run:{run.id}")
        self._admit(id, run.tenant)
        try:
            if not await self._store.run_in_thread(
                lambda: self._store.write(lambda c: tables.requeue_run(c, run.id, told)),
            ):
                raise Conflict(f"the run {id} is {run.state}", "what failed or was cancelled can be resumed")
            await self.open()
            run = await self.get(principal, id)
            await self._engine.start(run.id, run.attempt)
        except BaseException:
            self._admitted.pop(id, None)
            raise
        return run

    async def list_waiting(self, principal: Principal, limit: int = 100) -> list[tuple[FlowRun, str, bytes]]:
        """Runs that wait for somebody: with the step's key, and what it asks as JSON."""
        project = "" if principal.all_projects else principal.project
        found = await self._read(
            lambda c: tables.list_waiting_steps(c, principal.tenant, project, min(limit, MAX_PAGE_SIZE)),
        )
        mine = [each for each in found if _can_see(principal, each[0])]
        if (
            "ask" not in principal.permissions and "read_contents" not in principal.permissions
        ):  # who cannot decide is not told its words
            return [(run, key, b"null") for run, key, _ in mine]
        return [
            (run, key, await self._store.run_in_thread(partial(self._open_question, run, key, sealed)))
            for run, key, sealed in mine
        ]

    def _open_question(self, run: FlowRun, key: str, sealed: bytes) -> bytes:
        return self._store.open_value(run.tenant, run.id, key, sealed)

    async def decide(
        self,
        principal: Principal,
        id: str,
        key: str,
        approved: bool,
        note: str = "",
        value: bytes = b"null",
    ) -> None:
        """What the step `key_id` that waits is told, and who said it; the first word counts. `value`: JSON that goes
        with it. Raises PathNotFound, Conflict.
        """
        run = await self.get(principal, id)
        if "ask" not in principal.permissions:
            raise Forbidden("this key may decide nothing", "ask for one that may")
        said = {
            "approved": approved,
            "note": note,
            "by": principal.user_id or principal.key_id,
            "value": msgspec.Raw(value),
        }
        decision = msgspec.json.encode(said)
        if len(decision) > MAX_INPUT_BYTES:
            raise BadRequest(f"the decision takes {len(decision)} bytes", f"{MAX_INPUT_BYTES} are the most")
        told = audit_event(principal, run.tenant, "flow.decide", f"run:{run.id}/{key}")
        if run.state not in ACTIVE_STATES or not await self._store.run_in_thread(
            partial(self._complete_waiting_step, run, key, decision, told),
        ):
            raise Conflict(f"nothing in the run {id} waits at {key[:100]!r}", "see: sizewise flow waiting")
        going = self._active.get(id)
        if going is not None:
            await going.steps.check_decisions()

    def _complete_waiting_step(self, run: FlowRun, key: str, decision: bytes, audit_event: AuditEvent) -> bool:
        now = _now()
        written = self._store.seal_step(run.tenant, run.id, RunStep(key, "done", run.attempt, now, now), decision)
        return self._store.write(lambda c: tables.complete_waiting_step(c, run, written, now, audit_event))

    # What the engine does

    async def open(self) -> None:
        """The engine works from now on. Raises StorageError, ConfigError."""
        async with self._opening:
            if not self._opened:
                await self._engine.open()
                self._opened = True
                self._authenticator.listeners.add(self)

    async def run_periodically(self) -> None:
        """Opens the engine where something waits for it, also at a server that may die; looks after what others do."""
        while True:
            with suppress(StorageError):
                await self._check_once()
            await asyncio.sleep(POLL_INTERVAL_S)

    async def _check_once(self) -> None:
        if self._store_is_shared:
            await self.versions.refresh()
        if not self._opened and await self._read(tables.has_active_runs):
            await self.open()
        if not self._opened:
            return
        for run in await self._read(lambda c: tables.list_orphaned_runs(c, _now() - ORPHAN_AFTER_MS)):
            if run.id not in self._active:
                await self._engine.start(run.id, run.attempt)
        if not self._store_is_shared or not self._active:
            return
        epochs = await self._read(lambda c: tables.find_epochs(c, list(self._active)))
        for going in tuple(self._active.values()):
            if epochs.get(going.run.id) != going.run.epoch:
                going.task.cancel()
            else:
                await going.steps.check_decisions()

    def on_change(self) -> None:
        """Stops the runs of whoever may nothing any more (Keys' `listeners`)."""
        for going in tuple(self._active.values()):
            if self._current_principal(going.run) is None:
                going.revoked = True
                going.task.cancel()

    async def close(self) -> None:
        """Stops here; a durable engine goes on at the next start."""
        self._authenticator.listeners.discard(self)
        if self._opened:
            await self._engine.close()

    async def _run(self, id: str) -> None:
        """All of a run, for the engine."""
        try:
            await self._run_claimed(id)
        finally:
            self._admitted.pop(id, None)

    async def _run_claimed(self, id: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        run = await retry_until_stored(
            lambda: self._store.run_in_thread(lambda: self._store.write(lambda c: tables.claim_run(c, id, _now()))),
        )
        if run is None:
            return  # it was cancelled meanwhile
        try:
            known = await retry_until_stored(lambda: self._store.run_in_thread(partial(self._store.load_steps, run)))
            journal = DurableSteps(self._store, run, known, partial(self._require_principal, run), task.cancel)
            going = self._active[id] = ActiveRun(run, journal, task)
            self._admitted.pop(id, None)
            outputs = await self._execute_claimed(going, known)
        except SizewiseError as error:
            await self._end(run, "failed", FAILURE, encode_error(error), error.code)
        except asyncio.CancelledError:
            if (mine := self._active.get(id)) is None or not mine.revoked:
                raise
            task.uncancel()
            await self._end(run, "failed", FAILURE, encode_error(_revoked(run)), InvalidApiKey.code)
        except Exception as fault:
            log.error("unforeseen %s at %s, run %s", type(fault).__name__, _source_location(fault), run.id)
            told = SizewiseError("something went wrong within Sizewise", "the server's log tells more")
            await self._end(run, "failed", FAILURE, encode_error(told), told.code)
        else:
            await self._end(run, "done", OUTPUTS, outputs)
        finally:
            if (mine := self._active.get(id)) is not None and mine.task is task:
                del self._active[id]

    async def _execute_claimed(self, active_run: ActiveRun, known: Mapping[str, tuple[RunStep, bytes]]) -> bytes:
        run = active_run.run
        if INPUTS not in known or self._execute is None:
            raise StorageError(f"what the run {run.id} was started with is gone", "start the flow anew")
        begun = msgspec.json.decode(known[INPUTS][1], type=StoredRunRequest)
        send = self._sends.get(run.id, discard_events)
        principal = self._require_principal(run)
        return await self._execute(
            RunExecution(
                run,
                principal,
                bytes(begun.inputs),
                begun.options,
                begun.trace,
                send,
                partial(self._require_principal, run),
            ),
            active_run.steps,
        )

    async def _end(self, run: FlowRun, state: RunState, key: str, value: bytes, error: str = "") -> None:
        step = RunStep(key, "done", run.attempt, run.began or run.created, _now())

        def write() -> bool:
            written = self._store.seal_step(run.tenant, run.id, step, value)
            return self._store.write(lambda c: tables.end_run(c, run, state, _now(), written, error))

        if await retry_until_stored(lambda: self._store.run_in_thread(write)):
            self._notify_ended(replace(run, state=state, error=error))

    def _notify_ended(self, run: FlowRun) -> None:
        self._sends.pop(run.id, None)
        self._depths.pop(run.id, None)
        self._admitted.pop(run.id, None)
        for future in self._end_waiters.get(run.id, ()):
            if not future.done():
                future.set_result(None)
        told = {"run": run.id, "flow": run.flow, "version": run.version, "project": run.project, "state": run.state}
        self.publish_event(RUN_ENDED_EVENT, told | ({"error": run.error} if run.error else {}), run.tenant)

    def _require_principal(self, run: FlowRun) -> Principal:
        found = self._current_principal(run)
        if found is None:
            raise _revoked(run)
        return found

    def _current_principal(self, run: FlowRun) -> Principal | None:
        """Whoever started it, with what he may now; None where he may not ask any more."""
        return self._find_principal(run.key, run.user, run.tenant, run.project)

    def _find_principal(self, key: str, user: str, tenant: str, project: str) -> Principal | None:
        found = self._authenticator.reauthenticate(key, user, tenant, project)
        if found is None or "ask" not in found.permissions or not (found.all_projects or found.project == project):
            return None
        return found if found.project == project else replace(found, project=project)

    async def _read(self, work: UnitOfWork[T]) -> T:
        return await self._store.run_in_thread(lambda: self._store.read(work))


def _can_see(principal: Principal, run: FlowRun) -> bool:
    """Of its own project, and where its key is confined to some flows, of those."""
    only = principal.scope.flows if principal.scope is not None else ()
    mine = run.tenant == principal.tenant and (principal.all_projects or run.project == principal.project)
    return mine and (not only or run.flow in only)


def _is_owner(principal: Principal, run: FlowRun) -> bool:
    return principal.key_id == run.key or (principal.user_id != "" and principal.user_id == run.user)


def _require_owner(principal: Principal, run: FlowRun) -> None:
    """Raises Forbidden: what goes on with another's rights and money is not everybody's to stop or to begin again."""
    if not _is_owner(principal, run) and "manage_flows" not in principal.permissions:
        raise Forbidden("this run is another's", "its owner, or who may `manage_flows`, can cancel and resume it")


def _revoked(run: FlowRun) -> InvalidApiKey:
    return InvalidApiKey(f"the key {run.key!r}, by which the run was started, may ask no more", "start it by another")


def _restore_error(why: StoredError) -> SizewiseError:
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
    error.flow_node = why.node
    return error


def _source_location(fault: BaseException) -> str:
    """Where it came up; its message could hold a prompt."""
    place = fault.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
