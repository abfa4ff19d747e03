"""The keys by which things are sealed: how they stand, and a new one in front; never a key, and nothing sealed."""

from __future__ import annotations

from msgspec.structs import replace

from sizewise.auth.api_keys import deed
from sizewise.graphql.context import Context
from sizewise.graphql.model_type import Told


async def encryption(context: Context) -> Told:
    """Data keys of the caller's own organisation. Raises VaultLocked."""
    keeper, tenant = context.house.means.keeper, context.caller.tenant
    by, found = await keeper.vault()
    keys = [
        {"id": its.id, "wrappedBy": its.by, "created": its.created, "retired": its.retired, "rows": its.rows}
        for its in found
        if its.tenant == tenant
    ]
    return {"wrappedBy": by, "reencrypting": keeper.resealing.busy, "keys": keys}


async def rotate_encryption_keys(context: Context, new_data_keys: bool) -> Told:
    """Those of all organisations. That it was begun stands in the trail before. Raises VaultLocked: then all can be
    opened as before."""
    keeper, caller = context.house.means.keeper, context.caller
    begun = deed(caller, caller.tenant, "manage_vault", "vault:keys", None, {"data": new_data_keys})
    await keeper.note(begun)
    count = await keeper.rotate(new_data_keys)
    await keeper.note(replace(begun, after={"data": new_data_keys, "wrapped": count}))
    return {"rewrapped": count}
