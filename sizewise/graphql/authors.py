"""The field that names users and keys of the caller's organization by their ids; knows no page that shows them."""

from __future__ import annotations

from sizewise.errors import BadRequest
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues

MOST_IDS = 200


async def authors(context: RequestContext, ids: list[str]) -> list[FieldValues]:
    """Those of `ids` that are users or keys of the organization, also disabled and revoked ones."""
    if len(ids) > MOST_IDS:
        raise BadRequest(f"{len(ids)} ids were sent", f"send at most {MOST_IDS} in one request")
    tenant, wanted = context.principal.tenant, set(ids)
    users = [each for each in context.services.users.list_users(tenant) if each.id in wanted]
    keys = [each for each in await context.services.api_keys.list(tenant) if each.id in wanted]
    context.charge_rows(len(users) + len(keys))
    return [
        *({"id": each.id, "name": each.name or each.email} for each in users),
        *({"id": each.id, "name": each.name} for each in keys),
    ]
