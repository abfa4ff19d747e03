"""Plan store: plans of what may become live, by hashes alone, and who approved them; applies none."""

from __future__ import annotations

import asyncio
import secrets
import time

from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.auth.api_keys import audit_event
from sizewise.errors import Conflict, Forbidden, PathNotFound
from sizewise.principal import Principal
from sizewise.releases.environments import tables
from sizewise.releases.environments.environment_store import Place
from sizewise.releases.environments.tables import GateRow, PlanRow
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner

PREFIX = "plan-"
"""Of ids, so that none is taken for a hash."""


class PlanStore:
    def __init__(self, read: TransactionRunner, write: AsyncTransactionRunner) -> None:
        self._read = read
        self._write = write

    async def create(self, principal: Principal, place: Place, *, source: str, release: str, base: str) -> PlanRow:
        """`source`: an environment, or empty. `base`: the release that is live; empty: none."""
        tenant, project, environment = place
        plan = PlanRow(
            id=f"{PREFIX}{secrets.token_hex(4)}",
            tenant=tenant,
            project=project,
            environment=environment,
            source=source,
            release=release,
            base=base,
            created=_now(),
            by=_who(principal),
        )
        await self._write(lambda c: tables.insert_plan(c, plan, _event(principal, plan, "release.plan")))
        return plan

    async def find(self, tenant: str, project: str, id: str) -> PlanRow:
        """Raises PathNotFound."""
        found = await asyncio.to_thread(self._read, lambda c: tables.find_plan(c, tenant, project, id))
        if found is None:
            raise PathNotFound(f"there is no plan {id[:60]!r}", "make one: sizewise release plan FROM TO")
        return found

    async def find_open(self, place: Place, release: str, base: str) -> PlanRow | None:
        """The newest one of the same that was not applied."""
        return await asyncio.to_thread(self._read, lambda c: tables.find_open_plan(c, place, release, base))

    async def list_open(self, place: Place, limit: int) -> list[PlanRow]:
        """Plans that were not applied, newest first."""
        return await asyncio.to_thread(self._read, lambda c: tables.list_open_plans(c, place, limit))

    async def approve(self, principal: Principal, plan: PlanRow) -> None:
        """Raises Forbidden for who planned it, Conflict if it was applied or approved by the same before."""
        who = _who(principal)
        if who == plan.by:
            raise Forbidden("you planned this release, so another person approves it", "ask someone else")
        if plan.applied is not None:
            raise Conflict(f"{plan.id} was applied already", "make a new plan")
        told = _event(principal, plan, "release.approve")
        if not await self._write(lambda c: tables.insert_approval(c, plan, who, _now(), told)):
            raise Conflict(f"you have approved {plan.id} already", "another person is needed")

    async def approvals(self, plan: PlanRow) -> list[str]:
        """Ids of users or keys."""
        return await asyncio.to_thread(self._read, lambda c: tables.list_approvals(c, plan.id))

    async def save_gate(
        self, principal: Principal, plan: PlanRow, eval: str, *, verdict: str, sentence: str, rules: str
    ) -> GateRow:
        gate = GateRow(
            tenant=plan.tenant,
            project=plan.project,
            release=plan.release,
            base=plan.base,
            eval=eval,
            verdict=verdict,
            sentence=sentence,
            rules=rules,
            at=_now(),
            by=_who(principal),
        )
        told = audit_event(
            principal,
            plan.tenant,
            "release.gate",
            f"environment:{plan.project}/{plan.environment}",
            None,
            {"plan": plan.id, "release": plan.release, "eval": eval, "verdict": verdict},
        )
        await self._write(lambda c: tables.save_gate(c, gate, told))
        return gate

    async def gates(self, place: Place, release: str, base: str) -> list[GateRow]:
        """Verdicts on `release` against `base`."""
        return await asyncio.to_thread(self._read, lambda c: tables.list_gates(c, place[:2], release, base))

    async def mark_applied(self, plan: PlanRow) -> None:
        await self._write(lambda c: tables.mark_applied(c, plan.id, _now()))


def _event(principal: Principal, plan: PlanRow, action: str) -> AuditEvent:
    resource = f"environment:{plan.project}/{plan.environment}"
    return audit_event(principal, plan.tenant, action, resource, None, {"plan": plan.id, "release": plan.release})


def _who(principal: Principal) -> str:
    return principal.user_id or principal.key_id


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
