"""Approval of waiting steps: lists what waits for a person, and stores the decision of one who can decide it."""

from __future__ import annotations

from functools import partial

import msgspec
from msgspec import Struct

from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.auth.api_keys import audit_event
from sizewise.errors import BadRequest, Conflict
from sizewise.flows import tables
from sizewise.flows.active_runs import ActiveRuns
from sizewise.flows.approvers import Approvers
from sizewise.flows.run_access import can_see
from sizewise.flows.run_queries import MAX_PAGE_SIZE, RunQueries
from sizewise.flows.step_store import StepStore, now_ms
from sizewise.flows.tables import ACTIVE_STATES, FlowRun, RunStep
from sizewise.principal import Principal

MAX_DECISION_BYTES = 16_000_000


class WaitingStep(Struct, frozen=True):
    """A step that waits for a decision. `question`: JSON; `null` unless the caller `may_decide`. `approvers`: see
    Approvers.
    """

    run: FlowRun
    key: str
    question: bytes
    approvers: tuple[str, ...]
    may_decide: bool


class StoredQuestion(Struct, frozen=True):
    """The part of a waiting step's question that says who can decide."""

    approvers: tuple[str, ...] = ()


class RunApproval:
    """The first decision on a step counts."""

    def __init__(self, store: StepStore, active: ActiveRuns, queries: RunQueries, approvers: Approvers) -> None:
        self._store = store
        self._active = active
        self._queries = queries
        self._approvers = approvers

    async def list_waiting(self, principal: Principal, limit: int = 100) -> list[WaitingStep]:
        """What waits for a person in the runs that the caller can see, oldest first."""
        return [
            await self._store.run_in_thread(partial(self._open, principal, run, key, sealed))
            for run, key, sealed in await self._waiting(principal, limit)
        ]

    async def list_waiting_keys(self, principal: Principal) -> list[tuple[str, str]]:
        """Run and step of each of the same, without decrypting what they ask."""
        return [(run.id, key) for run, key, _ in await self._waiting(principal, MAX_PAGE_SIZE)]

    async def _waiting(self, principal: Principal, limit: int) -> list[tuple[tables.FlowRun, str, bytes]]:
        project = "" if principal.all_projects else principal.project
        found = await self._store.read_in_thread(
            lambda c: tables.list_waiting_steps(c, principal.tenant, project, min(limit, MAX_PAGE_SIZE)),
        )
        return [each for each in found if can_see(principal, each[0])]

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
        found = await self._store.read_in_thread(lambda c: tables.find_step(c, run.id, key))
        if found is None or found[0].state != "waiting" or run.state not in ACTIVE_STATES:
            self._approvers.require(principal, run, ())
            raise _does_not_wait(id, key)
        asked = await self._store.run_in_thread(partial(self._open, principal, run, key, found[1]))
        self._approvers.require(principal, run, asked.approvers)
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
        event = audit_event(principal, run.tenant, "flow.decide", f"run:{run.id}/{key}", None, {"approved": approved})
        if not await self._store.run_in_thread(partial(self._complete_waiting_step, run, key, decision, event)):
            raise _does_not_wait(id, key)
        active = self._active.executing.get(id)
        if active is not None:
            await active.steps.check_decisions()

    def _open(self, principal: Principal, run: FlowRun, key: str, sealed: bytes) -> WaitingStep:
        question = self._store.open_value(run.tenant, run.id, key, sealed)
        approvers = msgspec.json.decode(question, type=StoredQuestion).approvers if question else ()
        may_decide = self._approvers.refusal(principal, run, approvers) is None
        shown = question if may_decide and question else b"null"
        return WaitingStep(run=run, key=key, question=shown, approvers=approvers, may_decide=may_decide)

    def _complete_waiting_step(self, run: FlowRun, key: str, decision: bytes, event: AuditEvent) -> bool:
        now = now_ms()
        written = self._store.seal_step(
            run.tenant, run.id, RunStep(key=key, state="done", attempt=run.attempt, began=now, ended=now), decision
        )
        return self._store.write(lambda c: tables.complete_waiting_step(c, run, written, now, event))


def _does_not_wait(id: str, key: str) -> Conflict:
    hint = "list the waiting steps: sizewise flow waiting"
    return Conflict(f"no step {key[:100]!r} of the run {id} is waiting", hint)
