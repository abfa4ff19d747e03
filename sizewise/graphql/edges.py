"""Fields of edges: those that have reported, against what is live; and keys that they may hold, without a secret."""

from __future__ import annotations

import time

from sizewise.auth.authorization import is_allowed
from sizewise.auth.tables import ApiKey
from sizewise.errors import BadRequest, InvalidApiKey
from sizewise.graphql.context import RequestContext, only_project, yielding_to_loop
from sizewise.graphql.keys import key_resource
from sizewise.graphql.model_type import FieldValues
from sizewise.principal import KeyScope, Principal
from sizewise.releases.edges.fleet import EdgeFilter, FleetEdge, Standing
from sizewise.settings.environments import default_environment

MAX_EDGES = 1_000
"""On a page."""


async def edges(
    context: RequestContext, filter: dict[str, object] | None = None, last: int = 50, before: str | None = None
) -> FieldValues:
    """Raises BadRequest if `last` is not from 1 to 1,000, or for a `before` that no page had."""
    if not 1 <= last <= MAX_EDGES:
        raise BadRequest(f"`last` is {last}", f"it is from 1 to {MAX_EDGES:,}", param="last")
    context.charge_rows(last)
    said = dict(filter or {})
    standing = said.pop("standing", None)
    criteria = EdgeFilter(
        context.principal.tenant,
        only_project(context),
        standing=None if standing is None else Standing[str(standing)],
        **{name: str(value) for name, value in said.items() if value is not None},
    )
    default = default_environment(context.get_app().settings.environments)
    page = await context.services.edge_fleet.page(criteria, default, last, before)
    return {"rows": yielding_to_loop(_edge(each) for each in page.rows), "before": page.before}


def _edge(each: FleetEdge) -> FieldValues:
    names = ("name", "kind", "project", "key", "version", "seen", "records", "waiting", "lost", "note", "environment")
    return {
        **{name: getattr(each, name) for name in names},
        "release": each.release or None,
        "build": each.build or None,
        "wanted": each.wanted,
        "wantedSince": each.changed,
        "standing": each.standing.name,
    }


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
