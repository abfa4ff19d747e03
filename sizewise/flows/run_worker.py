"""Run worker: claims a run for the engine, executes its flow with stored steps, and stores how it ended.

A run can execute more than once: after a crash, or when it is resumed. Each execution has its own epoch, and the store
refuses writes of an older epoch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sizewise.errors import SizewiseError, StorageError
from sizewise.flows import tables
from sizewise.flows.active_runs import ActiveRun, ActiveRuns
from sizewise.flows.engine import Steps
from sizewise.flows.run_access import RunPrincipals
from sizewise.flows.run_clock import RunClock, worked_seconds
from sizewise.flows.run_completion import RunCompletion
from sizewise.flows.run_limits import RunLimits, RunUsage, time_exceeded
from sizewise.flows.run_queries import StoredRunRequest
from sizewise.flows.step_store import DurableSteps, StepStore, encode_error, now_ms, retry_until_stored
from sizewise.flows.tables import FAILURE, INPUTS, OUTPUTS, FlowRun, RunState, RunStep
from sizewise.handler import RequestOptions, Send, discard_events
from sizewise.principal import Principal
from sizewise.request_origin import RequestOrigin
from sizewise.settings.storage import FlowsSettings

MIN_LOOK_S = 1.0
"""Between looks at the clock of a run that waits."""

log = logging.getLogger("sizewise.flows")


class RunExecution(Struct, frozen=True, kw_only=True):
    """Arguments of an executor. `principal` has the permissions at the start of this execution; `current_principal`
    returns the current ones. `send` takes the events, for a client that still listens.
    """

    run: FlowRun
    principal: Principal
    inputs: bytes
    options: RequestOptions
    trace: str
    origin: RequestOrigin | None
    send: Send
    usage: RunUsage
    current_principal: Callable[[], Principal]


ExecuteFlow = Callable[[RunExecution, Steps], Awaitable[bytes]]
"""Returns the outputs, JSON of an object. Raises SizewiseError."""


class RunWorker:
    """Executes runs by id; `run` is the engine's runner."""

    def __init__(
        self,
        *,
        store: StepStore,
        active: ActiveRuns,
        principals: RunPrincipals,
        completion: RunCompletion,
        limits: RunLimits,
    ) -> None:
        self._limits = limits
        self._store = store
        self._active = active
        self._principals = principals
        self._completion = completion
        self._execute: ExecuteFlow | None = None
        self._executor_of: Callable[[FlowRun], Awaitable[ExecuteFlow]] | None = None

    def configure(self, execute: ExecuteFlow) -> None:
        """Sets the executor for runs that begin from now on.

        Not a constructor argument, since the executor belongs to the application, which a settings reload replaces.
        """
        self._execute = execute

    def use_releases(self, executor_of: Callable[[FlowRun], Awaitable[ExecuteFlow]]) -> None:
        """`executor_of` a run that has a release. Raises SizewiseError."""
        self._executor_of = executor_of

    async def run(self, id: str) -> None:
        """Executes a run and stores how it ended; raises nothing but CancelledError."""
        try:
            await self._run_claimed(id)
        finally:
            self._active.admitted.pop(id, None)

    async def _run_claimed(self, id: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        run = await retry_until_stored(
            lambda: self._store.write_in_thread(lambda c: tables.claim_run(c, id, now_ms())),
        )
        if run is None:
            return  # it was cancelled in the meantime
        executing = self._active.executing
        try:
            known = await retry_until_stored(lambda: self._store.run_in_thread(partial(self._store.load_steps, run)))
            clock = RunClock(worked_seconds(known.values()))
            steps = DurableSteps(
                store=self._store,
                run=run,
                known=known,
                clock=clock,
                check_access=partial(self._principals.require_current, run),
                on_fenced=task.cancel,
                on_waiting=partial(self._completion.notify_waiting, id),
            )
            active = executing[id] = ActiveRun(run, steps, task)
            self._active.admitted.pop(id, None)
            parent, catching_up = self._active.parents.get(id, ""), lambda: steps.is_catching_up
            with (
                self._limits.counting(id, run.tenant, parent, catching_up) as usage,
                stopping_in_time(active, clock, self._limits.settings),
            ):
                outputs = await self._execute_claimed(active, usage, known)
        except SizewiseError as error:
            await self._end(run, "failed", FAILURE, encode_error(error), error.code)
        except asyncio.CancelledError:
            if (mine := executing.get(id)) is None or mine.stopped_by is None:
                raise
            task.uncancel()
            await self._end(run, "failed", FAILURE, encode_error(mine.stopped_by), mine.stopped_by.code)
        except Exception as fault:
            log.error("unexpected %s at %s, run %s", type(fault).__name__, _source_location(fault), run.id)
            unforeseen = SizewiseError("an internal error occurred", "see the server's log")
            await self._end(run, "failed", FAILURE, encode_error(unforeseen), unforeseen.code)
        else:
            await self._end(run, "done", OUTPUTS, outputs)
        finally:
            if (mine := executing.get(id)) is not None and mine.task is task:
                del executing[id]

    async def _execute_claimed(
        self,
        active: ActiveRun,
        usage: RunUsage,
        known: Mapping[str, tuple[RunStep, bytes]],
    ) -> bytes:
        run = active.run
        if INPUTS not in known or self._execute is None:
            raise StorageError(f"the inputs of the run {run.id} have been deleted", "start the flow again")
        request = msgspec.json.decode(known[INPUTS][1], type=StoredRunRequest)
        execution = RunExecution(
            run=run,
            principal=self._principals.require_current(run),
            inputs=bytes(request.inputs),
            options=request.options,
            trace=request.trace,
            origin=request.origin,
            send=self._active.sends.get(run.id, discard_events),
            usage=usage,
            current_principal=partial(self._principals.require_current, run),
        )
        execute = self._execute
        if run.release is not None and self._executor_of is not None:
            execute = await self._executor_of(run)
        return await execute(execution, active.steps)

    async def _end(self, run: FlowRun, state: RunState, key: str, value: bytes, error: str = "") -> None:
        step = RunStep(key=key, state="done", attempt=run.attempt, began=run.began or run.created, ended=now_ms())

        ended = replace(run, state=state, error=error)

        def write() -> bool:
            written = self._store.seal_step(run.tenant, run.id, step, value)
            ending = partial(tables.end_run, run=run, state=state, now=now_ms(), sealed_step=written, error=error)
            return self._store.write(self._completion.with_event(ending, ended))

        if await retry_until_stored(lambda: self._store.run_in_thread(write)):
            self._completion.notify(ended)


@contextmanager
def stopping_in_time(active: ActiveRun, clock: RunClock, settings: FlowsSettings) -> Iterator[None]:
    """Stops the run once its clock shows `max_seconds_per_run`."""
    loop = asyncio.get_running_loop()
    timer: asyncio.Handle

    def look() -> None:
        nonlocal timer
        left = settings.max_seconds_per_run - clock.worked_s
        if left > 0:
            timer = loop.call_later(max(left, MIN_LOOK_S) if clock.stands else left, look)
        else:
            active.stop(time_exceeded(settings))

    timer = loop.call_soon(look)
    try:
        yield
    finally:
        timer.cancel()


def _source_location(fault: BaseException) -> str:
    """File and line. The exception's message is not logged: it could contain a prompt."""
    place = fault.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
