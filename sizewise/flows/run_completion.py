"""Completion of runs: wakes callers when a run ends or waits for a person, and the event `flow.ended`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from sizewise.flows.active_runs import ActiveRuns
from sizewise.flows.run_queries import RunQueries
from sizewise.flows.tables import ACTIVE_STATES, FlowRun
from sizewise.principal import Principal
from sizewise.storage.database import PublishEvent, UnitOfWork, no_event, with_event

POLL_INTERVAL_S = 1.0
"""Between checks whether another server ended the run."""
RUN_ENDED_EVENT = "flow.ended"


class RunCompletion:
    """Wakes waiters in this process at once; a waiter polls for runs that end in another one."""

    def __init__(
        self,
        queries: RunQueries,
        active: ActiveRuns,
        *,
        store_is_shared: bool,
        publish_event: PublishEvent = no_event,
    ) -> None:
        """`publish_event` receives each run that ends."""
        self._publish_event = publish_event
        self._queries = queries
        self._active = active
        self._store_is_shared = store_is_shared
        self._waiters: dict[str, set[asyncio.Event]] = {}

    async def wait_until_ended(self, principal: Principal, id: str, timeout_s: float | None = None) -> FlowRun:
        """The run once it has ended, or in its state after `timeout_s`. Raises PathNotFound."""
        run, _ = await self._wait(principal, id, timeout_s, lambda run: "")
        return run

    async def wait_until_ended_or_waiting(self, principal: Principal, id: str) -> tuple[FlowRun, str]:
        """The run once it has ended, or waits for a person: then also the id of the run that waits, which is this one
        or one that it calls. Raises PathNotFound.
        """
        return await self._wait(principal, id, None, self._waiting_run)

    async def _wait(
        self,
        principal: Principal,
        id: str,
        timeout_s: float | None,
        find_waiting: Callable[[FlowRun], str],
    ) -> tuple[FlowRun, str]:
        woken = asyncio.Event()
        waiters = self._waiters.setdefault(id, set())
        waiters.add(woken)
        until = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while (run := await self._queries.get(principal, id)).state in ACTIVE_STATES:
                if waiting := find_waiting(run):
                    return run, waiting
                left = POLL_INTERVAL_S if until is None else min(POLL_INTERVAL_S, until - time.monotonic())
                if left <= 0:
                    break
                with suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), left if self._store_is_shared or until else None)
                woken.clear()
            return run, ""
        finally:
            waiters.discard(woken)
            if not waiters:
                self._waiters.pop(id, None)

    def _waiting_run(self, run: FlowRun) -> str:
        """The id of the run that cannot continue without a person; empty: none. Runs elsewhere: by their state."""
        active = self._active.executing
        if run.id not in active:
            return run.id if run.state == "waiting" else ""
        if active[run.id].steps.is_waiting:
            return run.id
        below = (each for each in active if run.id in self._active.ancestors(each))
        return next((each for each in below if active[each].steps.is_waiting), "")

    def notify_waiting(self, id: str) -> None:
        """Wakes the waiters of a run that cannot continue without a person, and those of the runs that called it."""
        for each in (id, *self._active.ancestors(id)):
            for woken in self._waiters.get(each, ()):
                woken.set()

    def notify(self, run: FlowRun) -> None:
        """Wakes the waiters of `run`, which has ended in this process."""
        self._active.forget(run.id)
        for woken in self._waiters.get(run.id, ()):
            woken.set()

    def with_event(self, ending: UnitOfWork[bool], run: FlowRun) -> UnitOfWork[bool]:
        """`ending`, and in its transaction the event of the run as it has ended, if it does."""
        data = {"run": run.id, "flow": run.flow, "version": run.version, "project": run.project, "state": run.state}
        event = self._publish_event(RUN_ENDED_EVENT, data | ({"error": run.error} if run.error else {}), run.tenant)
        return with_event(ending, event)
