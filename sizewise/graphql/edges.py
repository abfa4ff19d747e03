"""Fields of edges: those that have reported, and the keys that they may hold; an edge's key holds no secret."""

from __future__ import annotations

import time

from sizewise.auth.authorization import is_allowed
from sizewise.auth.tables import ApiKey
from sizewise.errors import InvalidApiKey
from sizewise.graphql.context import RequestContext, only_project
from sizewise.graphql.keys import key_resource
from sizewise.graphql.model_type import FieldValues
from sizewise.principal import KeyScope, Principal


async def edges(context: RequestContext) -> list[FieldValues]:
    found = await context.services.edges.list(context.principal.tenant, only_project(context))
    return [
        {
            "name": each.name,
            "kind": each.kind,
            "project": each.project,
            "key": each.key,
            "release": each.release or None,
            "build": each.build or None,
            "version": each.version,
            "seen": each.seen,
            "records": each.records,
            "waiting": each.waiting,
            "lost": each.lost,
            "note": each.note,
        }
        for each in found
    ]


async def edge_keys(context: RequestContext) -> list[FieldValues]:
    """Valid keys alone: what is not here is to be removed from an edge."""
    principal, keys = context.principal, context.services.api_keys
    digests = await keys.digests(principal.tenant)
    found = [key for key in await keys.list(principal.tenant) if _is_valid(key)]
    found = [key for key in found if is_allowed(principal, "manage_keys", key_resource(key))]
    context.charge_rows(len(found))
    shown: list[FieldValues] = []
    for key in found:
        try:
            caller = keys.authenticator.principal_by_key_id(key.id)
        except InvalidApiKey:  # its user is disabled
            continue
        shown.append(_edge_key(key, caller, digests[key.id]))
    return shown


def _is_valid(key: ApiKey) -> bool:
    return key.revoked is None and (key.expires is None or key.expires > time.time_ns() // 1_000_000)


def _edge_key(key: ApiKey, caller: Principal, digest: str) -> FieldValues:
    scope = caller.scope or KeyScope()
    return {
        "id": key.id,
        "digest": digest,
        "tenant": caller.tenant,
        "project": caller.project,
        "dataClass": caller.data_class,
        "permissions": sorted(caller.permissions),
        "expires": key.expires,
        "models": list(scope.models),
        "policies": list(scope.policies),
        "endpoints": list(scope.endpoints),
        "obstacle": _obstacle(caller, scope),
    }


def _obstacle(caller: Principal, scope: KeyScope) -> str:
    """Why an edge cannot hold a key; empty: it can."""
    if "ask" not in caller.permissions:
        return "it may not ask"
    if scope.networks:
        return "it is restricted to networks"
    if scope.flows:
        return "it is restricted to flows"
    if caller.environment:
        return f"it asks the environment {caller.environment!r}"
    return ""
