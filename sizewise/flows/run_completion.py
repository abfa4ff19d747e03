"""Completion of runs: wakes callers that wait for a run's end, and publishes the event `flow.ended`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from sizewise.flows.active_runs import ActiveRuns
from sizewise.flows.run_queries import RunQueries
from sizewise.flows.tables import ACTIVE_STATES, FlowRun
from sizewise.principal import Principal

POLL_INTERVAL_S = 1.0
"""Between checks whether another server ended the run."""
RUN_ENDED_EVENT = "flow.ended"


PublishEvent = Callable[[str, Mapping[str, object], str], None]
"""Called with the event name, its data and its organization."""


def ignore_event(event: str, data: Mapping[str, object], tenant: str) -> None:
    pass


class RunCompletion:
    """Wakes waiters in this process at once; a waiter polls for runs that end in another one."""

    def __init__(
        self,
        queries: RunQueries,
        active: ActiveRuns,
        *,
        store_is_shared: bool,
        publish_event: PublishEvent = ignore_event,
    ) -> None:
        """`publish_event` is called with each run that ends."""
        self._publish_event = publish_event
        self._queries = queries
        self._active = active
        self._store_is_shared = store_is_shared
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}

    async def wait_until_ended(self, principal: Principal, id: str, timeout_s: float | None = None) -> FlowRun:
        """The run once it has ended, or in its state after `timeout_s`. Raises PathNotFound."""
        mine = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(id, set())
        waiters.add(mine)
        until = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while (run := await self._queries.get(principal, id)).state in ACTIVE_STATES:
                left = POLL_INTERVAL_S if until is None else min(POLL_INTERVAL_S, until - time.monotonic())
                if left <= 0:
                    break
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(mine), left if self._store_is_shared or until else None)
            return run
        finally:
            mine.cancel()
            waiters.discard(mine)
            if not waiters:
                self._waiters.pop(id, None)

    def notify(self, run: FlowRun) -> None:
        """Wakes the waiters of `run`, which has ended in this process, and publishes the event."""
        self._active.forget(run.id)
        for future in self._waiters.get(run.id, ()):
            if not future.done():
                future.set_result(None)
        data = {"run": run.id, "flow": run.flow, "version": run.version, "project": run.project, "state": run.state}
        self._publish_event(RUN_ENDED_EVENT, data | ({"error": run.error} if run.error else {}), run.tenant)
