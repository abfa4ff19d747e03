"""Control of runs: cancels a run wherever it executes, and resumes one that failed or was cancelled."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.auth.api_keys import audit_event
from sizewise.errors import Conflict, Forbidden
from sizewise.flows import tables
from sizewise.flows.engines.on_demand import OnDemandEngine
from sizewise.flows.run_access import require_owner
from sizewise.flows.run_admission import RunAdmission
from sizewise.flows.run_completion import RunCompletion
from sizewise.flows.run_queries import RunQueries
from sizewise.flows.step_store import StepStore, now_ms
from sizewise.flows.tables import FlowRun
from sizewise.principal import Principal


class RunControl:
    """For the owner of a run, and for callers with the permission `manage_flows`."""

    def __init__(
        self,
        *,
        store: StepStore,
        queries: RunQueries,
        admission: RunAdmission,
        completion: RunCompletion,
        engine: OnDemandEngine,
    ) -> None:
        self._store = store
        self._queries = queries
        self._admission = admission
        self._completion = completion
        self._engine = engine

    async def cancel(self, principal: Principal, id: str) -> FlowRun:
        """Cancels a run on any server. Raises PathNotFound, Forbidden, Conflict if it has ended already."""
        run = await self._queries.get(principal, id)
        require_owner(principal, run)
        if not await self.stop(run, audit_event(principal, run.tenant, "flow.cancel", f"run:{run.id}")):
            raise Conflict(f"the run {id} has already ended", "only active runs can be cancelled")
        return await self._queries.get(principal, id)

    async def stop(self, run: FlowRun, audit_event: AuditEvent | None = None) -> bool:
        """Cancels without a permission check, for a caller that started the run. False if it has ended."""
        ended = replace(run, state="cancelled")
        ending = partial(tables.cancel_run, id=run.id, now=now_ms(), audit_event=audit_event)
        if not await self._store.write_in_thread(self._completion.with_event(ending, ended)):
            return False
        await self._engine.open()
        await self._engine.stop(run.id, run.attempt)
        self._completion.notify(ended)
        return True

    async def resume(self, principal: Principal, id: str) -> FlowRun:
        """Continues a run at the step that failed, with its starter's permissions. Raises PathNotFound, Forbidden,
        Conflict if it neither failed nor was cancelled, Busy.
        """
        run = await self._queries.get(principal, id)
        require_owner(principal, run)
        if "ask" not in principal.permissions:
            raise Forbidden("this key does not have the `ask` permission", "use a key that has it")
        self._admission.require_room(run.tenant)
        await self._admission.count(principal)
        event = audit_event(principal, run.tenant, "flow.resume", f"run:{run.id}")
        self._admission.admit(id, run.tenant)
        try:
            if not await self._store.write_in_thread(lambda c: tables.requeue_run(c, run.id, event)):
                raise Conflict(f"the run {id} is {run.state}", "only failed or cancelled runs can be resumed")
            await self._engine.open()
            run = await self._queries.get(principal, id)
            await self._engine.start(run.id, run.attempt)
        except BaseException:
            self._admission.release(id)
            raise
        return run
