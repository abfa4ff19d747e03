"""The `audit` field: pages of the audit log; the client verifies the hash chain."""

from __future__ import annotations

from sizewise.audit_log.hash_chain import AuditEntry, chained_text
from sizewise.errors import BadRequest
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues

MOST = 1_000


async def audit(context: RequestContext, last: int = 20, after: int | None = None) -> list[FieldValues]:
    """The newest entries, newest first; with `after`, the entries after that number, oldest first."""
    if not 1 <= last <= MOST:
        raise BadRequest(f"invalid page size {last!r}", f"use 1 to {MOST:,}", param="last")
    context.charge_rows(last)
    services, tenant = context.services, context.principal.tenant
    found = await (
        services.audit_log.newest(tenant, last) if after is None else services.audit_log.entries(tenant, after, last)
    )
    return [_event_values(line) for line in found]


def _event_values(line: AuditEntry) -> FieldValues:
    deed = line.deed
    return {
        "seq": line.seq,
        "at": line.at,
        "actor": deed.who,
        "action": deed.action,
        "resource": deed.thing,
        "before": deed.before,
        "after": deed.after,
        "error": deed.refused,
        "credential": deed.by,
        "previous": line.previous,
        "hash": line.hash,
        "chained": chained_text(deed, line.seq, line.at, line.previous).decode(),
    }
