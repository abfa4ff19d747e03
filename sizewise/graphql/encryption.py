"""Fields of encryption keys: their status and rotation; returns no key and no plaintext."""

from __future__ import annotations

from msgspec.structs import replace

from sizewise.auth.api_keys import audit_event
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues


async def encryption(context: RequestContext) -> FieldValues:
    """The data keys of the caller's organization. Raises EncryptionKeyUnavailable."""
    services, tenant = context.services, context.principal.tenant
    by, found = await services.key_rotation.status()
    keys = [
        {
            "id": its.id,
            "wrappedBy": its.wrapped_by,
            "created": its.created_at,
            "retired": its.retired_at,
            "rows": its.row_count,
        }
        for its in found
        if its.tenant == tenant
    ]
    return {"wrappedBy": by, "reencrypting": services.key_rotation.job.in_progress, "keys": keys}


async def rotate_encryption_keys(context: RequestContext, new_data_keys: bool) -> FieldValues:
    """Rotates the keys of all organizations, with an audit entry before and after. Raises EncryptionKeyUnavailable, and
    then everything can still be decrypted.
    """
    services, principal = context.services, context.principal
    after: dict[str, object] = {"data": new_data_keys}
    begun = audit_event(principal, principal.tenant, "manage_encryption", "encryption:keys", None, after)
    await services.audit_log.append(begun)
    count = await services.key_rotation.rotate(new_data_keys)
    await services.audit_log.append(replace(begun, after={**after, "wrapped": count}))
    return {"rewrapped": count}
