"""What agents and flows remember of somebody, told in the words of schema.graphql, and forgotten by hand."""

from __future__ import annotations

from sizewise.auth.api_keys import deed
from sizewise.auth.authorization import Thing, demand
from sizewise.errors import BadRequest
from sizewise.graphql.context import Context
from sizewise.graphql.model_type import Told

MOST = 1_000


async def memories(context: Context, namespace: str, query: str = "", limit: int = 100) -> list[Told]:
    """Of the caller's project. Who reads them leaves a line in the trail. Raises BadRequest."""
    if not 1 <= limit <= MOST:
        raise BadRequest(f"cannot list {limit!r} memories", f"ask for 1 to {MOST}", param="limit")
    context.take(limit)
    keeper, caller = context.house.means.keeper, context.caller
    demand(caller, "read_contents", Thing(caller.tenant, caller.project))
    found = (await keeper.memories.found(caller, namespace, query))[:limit]
    await keeper.note(deed(caller, caller.tenant, "read_memories", f"project:{caller.project}"))
    return [{"id": each.id, "text": each.text, "created": each.created} for each in found]


async def forget_memories(context: Context, namespace: str, ids: list[str]) -> int:
    """How many there were. Raises BadRequest."""
    if not 1 <= len(ids) <= MOST:
        raise BadRequest(f"{len(ids)} memories cannot be forgotten at once", f"name 1 to {MOST}", param="ids")
    keeper, caller = context.house.means.keeper, context.caller
    demand(caller, "erase_records", Thing(caller.tenant, caller.project))
    shown: dict[str, object] = {"ids": [each[:40] for each in ids[:20]], "count": len(ids)}
    told = deed(caller, caller.tenant, "forget_memories", f"project:{caller.project}", None, shown)
    return await keeper.memories.remove(caller, namespace, ids, told)
