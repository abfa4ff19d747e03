"""Approval of waiting steps: lists the runs that wait for a person, and stores the person's decision."""

from __future__ import annotations

from functools import partial

import msgspec

from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.auth.api_keys import audit_event
from sizewise.errors import BadRequest, Conflict, Forbidden
from sizewise.flows import tables
from sizewise.flows.active_runs import ActiveRuns
from sizewise.flows.run_access import can_see
from sizewise.flows.run_queries import MAX_PAGE_SIZE, RunQueries
from sizewise.flows.step_store import StepStore, now_ms
from sizewise.flows.tables import ACTIVE_STATES, FlowRun, RunStep
from sizewise.principal import Principal

MAX_DECISION_BYTES = 16_000_000


class RunApproval:
    """The first decision on a step counts."""

    def __init__(self, store: StepStore, active: ActiveRuns, queries: RunQueries) -> None:
        self._store = store
        self._active = active
        self._queries = queries

    async def list_waiting(self, principal: Principal, limit: int = 100) -> list[tuple[FlowRun, str, bytes]]:
        """Runs that wait for a person, each with the step's key and its question as JSON. The question is `null` for a
        caller that can neither decide nor read contents.
        """
        project = "" if principal.all_projects else principal.project
        found = await self._store.read_in_thread(
            lambda c: tables.list_waiting_steps(c, principal.tenant, project, min(limit, MAX_PAGE_SIZE)),
        )
        mine = [each for each in found if can_see(principal, each[0])]
        if principal.permissions.isdisjoint({"ask", "read_contents"}):
            return [(run, key, b"null") for run, key, _ in mine]
        return [
            (run, key, await self._store.run_in_thread(partial(self._open_question, run, key, sealed)))
            for run, key, sealed in mine
        ]

    async def decide(
        self,
        principal: Principal,
        id: str,
        key: str,
        approved: bool,
        note: str = "",
        value: bytes = b"null",
    ) -> None:
        """Stores the decision on the step `key`, with the caller's identity, and wakes the run. `value`: JSON that the
        step returns with it. Raises PathNotFound, Forbidden, BadRequest, Conflict if the step does not wait.
        """
        run = await self._queries.get(principal, id)
        if "ask" not in principal.permissions:
            raise Forbidden("this key does not have the `ask` permission", "use a key that has it")
        decision = msgspec.json.encode(
            {
                "approved": approved,
                "note": note,
                "by": principal.user_id or principal.key_id,
                "value": msgspec.Raw(value),
            },
        )
        if len(decision) > MAX_DECISION_BYTES:
            raise BadRequest(f"the decision is {len(decision)} bytes long", f"send at most {MAX_DECISION_BYTES} bytes")
        event = audit_event(principal, run.tenant, "flow.decide", f"run:{run.id}/{key}")
        if run.state not in ACTIVE_STATES or not await self._store.run_in_thread(
            partial(self._complete_waiting_step, run, key, decision, event),
        ):
            raise Conflict(
                f"no step {key[:100]!r} of the run {id} is waiting", "list the waiting steps: sizewise flow waiting"
            )
        active = self._active.executing.get(id)
        if active is not None:
            await active.steps.check_decisions()

    def _open_question(self, run: FlowRun, key: str, sealed: bytes) -> bytes:
        return self._store.open_value(run.tenant, run.id, key, sealed)

    def _complete_waiting_step(self, run: FlowRun, key: str, decision: bytes, event: AuditEvent) -> bool:
        now = now_ms()
        written = self._store.seal_step(
            run.tenant, run.id, RunStep(key=key, state="done", attempt=run.attempt, began=now, ended=now), decision
        )
        return self._store.write(lambda c: tables.complete_waiting_step(c, run, written, now, event))
