"""Recovery of runs: starts orphaned and restored runs, stops runs taken over elsewhere or whose key was revoked."""

from __future__ import annotations

import logging
from functools import partial

from sizewise.auth.authenticator import Authenticator
from sizewise.flows import tables
from sizewise.flows.active_runs import ActiveRuns
from sizewise.flows.engines.on_demand import OnDemandEngine
from sizewise.flows.run_access import RunPrincipals, revoked
from sizewise.flows.step_store import StepStore, now_ms
from sizewise.flows.versions.store import FlowVersions
from sizewise.jobs.periodic_tasks import PeriodicTask

log = logging.getLogger("sizewise.flows")

POLL_INTERVAL_S = 1.0
"""Between checks whether other servers changed the runs of this process."""
ORPHAN_AFTER_MS = 20_000
"""A run still queued after this time has lost its server."""
BATCH_SIZE = 1_000


class RunRecovery:
    """One polling loop per server."""

    def __init__(
        self,
        *,
        store: StepStore,
        versions: FlowVersions,
        active: ActiveRuns,
        authenticator: Authenticator,
        principals: RunPrincipals,
        engine: OnDemandEngine,
        store_is_shared: bool,
    ) -> None:
        """`store_is_shared`: other servers use the same store."""
        self._store = store
        self._versions = versions
        self._active = active
        self._authenticator = authenticator
        self._principals = principals
        self._engine = engine
        self._store_is_shared = store_is_shared
        self._has_reconciled = store_is_shared  # there the engine's tables lie in the same database
        self._has_active_runs = tables.active_run_check()
        authenticator.listeners.add(self)

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("flow runs", POLL_INTERVAL_S, self.check_once, at_once=True)]

    async def check_once(self) -> None:
        """Opens the engine once there are unfinished runs, even if this server started none. Raises StorageError."""
        if self._store_is_shared:
            await self._versions.refresh()
        if not self._engine.is_open and await self._store.read_in_thread(self._has_active_runs):
            await self._engine.open()
        if not self._engine.is_open:
            return
        executing = self._active.executing
        if not self._has_reconciled:
            await self._reconcile()
            self._has_reconciled = True
        for run in await self._store.read_in_thread(lambda c: tables.list_orphaned_runs(c, now_ms() - ORPHAN_AFTER_MS)):
            if run.id not in executing:
                await self._engine.start(run.id, run.attempt)
        if not self._store_is_shared or not executing:
            return
        epochs = await self._store.read_in_thread(lambda c: tables.find_epochs(c, list(executing)))
        for active in tuple(executing.values()):
            if epochs.get(active.run.id) != active.run.epoch:
                active.task.cancel()
            else:
                await active.steps.check_decisions()

    async def _reconcile(self) -> None:
        """Starts the active runs that the engine does not know, once: the two databases may be of different times."""
        after, count = 0, 0
        while found := await self._store.read_in_thread(
            partial(tables.list_active_runs, after=after, limit=BATCH_SIZE)
        ):
            after = found[-1][0]
            mine = {*self._active.executing, *self._active.admitted}
            count += await self._engine.ensure([(run.id, run.attempt) for _, run in found if run.id not in mine])
        if count:
            log.warning("%d unfinished runs were unknown to the flow engine; they go on", count)

    def on_change(self) -> None:
        """Called by the authenticator: stops the runs whose starter has lost the permission to run them."""
        for active in tuple(self._active.executing.values()):
            if self._principals.current(active.run) is None:
                active.stop(revoked(active.run))

    async def close(self) -> None:
        """Stops the runs of this process; a durable engine resumes them at the next start."""
        self._authenticator.listeners.discard(self)
        await self._engine.close()
