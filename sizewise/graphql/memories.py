"""Fields that list and delete the memory entries of agents and flows."""

from __future__ import annotations

from sizewise.auth.api_keys import audit_event
from sizewise.auth.authorization import Resource, require_permission
from sizewise.errors import BadRequest
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues

MOST = 1_000


async def memories(context: RequestContext, namespace: str, query: str = "", limit: int = 100) -> list[FieldValues]:
    """Entries of the caller's project. Each read is written to the audit log. Raises BadRequest."""
    if not 1 <= limit <= MOST:
        raise BadRequest(f"cannot list {limit!r} memories", f"use 1 to {MOST}", param="limit")
    context.charge_rows(limit)
    services, principal = context.services, context.principal
    require_permission(principal, "read_contents", Resource(principal.tenant, principal.project))
    found = (await services.memories.search(principal, namespace, query))[:limit]
    await services.audit_log.append(
        audit_event(principal, principal.tenant, "read_memories", f"project:{principal.project}"),
    )
    return [{"id": each.id, "text": each.text, "created": each.created} for each in found]


async def forget_memories(context: RequestContext, namespace: str, ids: list[str]) -> int:
    """Returns the number of deleted entries. Raises BadRequest."""
    if not 1 <= len(ids) <= MOST:
        raise BadRequest(f"cannot forget {len(ids)} memories at once", f"pass 1 to {MOST} ids", param="ids")
    services, principal = context.services, context.principal
    require_permission(principal, "erase_records", Resource(principal.tenant, principal.project))
    shown: dict[str, object] = {"ids": [each[:40] for each in ids[:20]], "count": len(ids)}
    told = audit_event(principal, principal.tenant, "forget_memories", f"project:{principal.project}", None, shown)
    return await services.memories.remove(principal, namespace, ids, told)
