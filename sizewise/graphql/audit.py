"""The audit trail as it stands, in pages; whether it holds is worked out by whoever reads it."""

from __future__ import annotations

from sizewise.audit_log.hash_chain import Line
from sizewise.errors import BadRequest
from sizewise.graphql.context import Context
from sizewise.graphql.model_type import Told

MOST = 1_000


async def audit(context: Context, last: int = 20, after: int | None = None) -> list[Told]:
    """The newest lines, newest first; with `after` the lines behind that number, oldest first."""
    if not 1 <= last <= MOST:
        raise BadRequest(f"invalid page size {last!r}", f"ask for 1 to {MOST:,}", param="last")
    context.take(last)
    keeper, tenant = context.house.means.keeper, context.caller.tenant
    found = await (keeper.audited(tenant, last) if after is None else keeper.audit(tenant, after, last))
    return [_line(line) for line in found]


def _line(line: Line) -> Told:
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
    }
