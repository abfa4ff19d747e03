"""Erasure of runs: deletes those of one person or key with all that they stored, in the journal and in the engine."""

from __future__ import annotations

from functools import partial

from sizewise.flows import tables
from sizewise.flows.engines.on_demand import OnDemandEngine
from sizewise.flows.run_control import RunControl
from sizewise.flows.step_store import StepStore
from sizewise.flows.tables import ACTIVE_STATES
from sizewise.storage.erasure import BATCH_ROWS, DataSubject


class RunErasure:
    """Checks no permissions."""

    def __init__(self, store: StepStore, control: RunControl, engine: OnDemandEngine) -> None:
        self._store = store
        self._control = control
        self._engine = engine

    async def count(self, subject: DataSubject) -> int:
        return len(await self._store.read_in_thread(lambda c: tables.PERSONAL.find(c, subject)))

    async def erase(self, subject: DataSubject) -> int:
        """Cancels those that are active, and returns the number of all. Raises StorageError."""
        runs = await self._store.read_in_thread(lambda c: tables.list_runs_of(c, subject))
        for run in runs:
            if run.state in ACTIVE_STATES:
                await self._control.stop(run)
        for at in range(0, len(runs), BATCH_ROWS):
            part = runs[at : at + BATCH_ROWS]
            ids = [run.id for run in part]
            await self._store.write_in_thread(partial(tables.delete_runs, tenant=subject.tenant, ids=ids))
            await self._engine.open()
            await self._engine.forget([(run.id, run.attempt) for run in part])
        return len(runs)
