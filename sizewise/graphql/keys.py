"""Fields that list, create, rotate and revoke API keys within the caller's organization and permissions."""

from __future__ import annotations

import math
import time

import msgspec

from sizewise.auth.authorization import Resource, is_allowed, require_permission
from sizewise.auth.key_scope import build_scope, narrow_scope
from sizewise.auth.permissions import expand_actions
from sizewise.auth.tables import ApiKey
from sizewise.data_class import DataClass, strictest
from sizewise.errors import BadRequest, Forbidden, did_you_mean
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.principal import KeyScope, Principal
from sizewise.settings.validators import NAME

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MOST_DAYS = 36_500
MOST_HOURS = 24 * 90


async def me(context: RequestContext) -> FieldValues:
    principal = context.principal
    return {
        "tenant": principal.tenant,
        "project": principal.project,
        "key": principal.key_id,
        "name": principal.name,
        "user": principal.user_id,
        "allProjects": principal.all_projects,
        "permissions": sorted(principal.permissions),
        "dataClass": principal.data_class,
    }


async def keys(context: RequestContext) -> list[FieldValues]:
    principal = context.principal
    found = await context.services.api_keys.list(principal.tenant)
    return [key_values(key) for key in found if is_allowed(principal, "read_keys", key_resource(key))]


async def create_key(
    context: RequestContext,
    name: str,
    permissions: list[str],
    expires_in_days: float | None = None,
    project: str | None = None,
    data_class: DataClass | None = None,
    personal: bool = False,
    environment: str | None = None,
    **confined: list[str],
) -> FieldValues:
    """A key never exceeds the caller's own permissions, scope and data class; CVE-2026-47101 was such an escalation."""
    principal = context.principal
    where = principal.project if project is None else validate_project_name(project)
    service = not personal and ("manage_keys" in principal.permissions or not principal.user_id)
    require_permission(
        principal,
        "manage_keys",
        Resource(principal.tenant, where, "" if service else principal.user_id),
    )
    if not principal.all_projects and where != principal.project:
        raise Forbidden(
            f"{principal.key_id!r} is limited to the project {principal.project!r}",
            "use a key of the other project, or create the key in your own",
        )
    if "manage_keys" not in principal.permissions and not context.services.api_keys.authenticator.has_project(where):
        raise Forbidden(
            f"there is no project {where!r}, and {principal.key_id!r} cannot create one",
            "ask a user with the permission `manage_keys` to create it",
        )
    if beyond := sorted(expand_actions(permissions) - principal.permissions):
        raise Forbidden(
            f"{principal.key_id!r} cannot grant permissions that it lacks: {', '.join(beyond)}",
            f"grant some of: {', '.join(sorted(principal.permissions))}",
        )
    if personal and not principal.user_id:
        raise BadRequest(
            f"{principal.key_id!r} belongs to no user, so it cannot create a personal key",
            "sign in first",
            param="personal",
        )
    expires, ends = _expiry(expires_in_days), await creator_expiry(context)
    if ends is not None and expires is not None and expires > ends:
        raise Forbidden(f"the key {principal.key_id!r} expires before that", "use fewer days, or another key")
    made = await context.services.api_keys.create(
        where,
        _validate_name(name),
        permissions,
        tenant=principal.tenant,
        expires=ends if expires is None else expires,
        data_class=strictest_class(data_class, principal),
        user="" if service else principal.user_id,
        wide=principal.all_projects and project is None,
        scope=narrow_scope(
            build_scope(
                *(tuple(confined.get(each, ())) for each in ("endpoints", "models", "policies", "flows", "networks"))
            ),
            principal.scope,
        ),
        environment=_environment(context, environment),
        actor=principal,
    )
    return {"key": key_values(made.key), "secret": made.text}


def _environment(context: RequestContext, named: str | None) -> str:
    """Empty: the default one. The caller's own unless it names another, which one with an environment of its own
    cannot, without `manage_releases`. Raises BadRequest, Forbidden.
    """
    own, known = context.principal.environment, context.app.settings.environments
    if named is None or named == own:
        return own
    if named not in known:
        hint = did_you_mean(named, list(known)) or (
            f"known: {', '.join(known)}" if known else "add a table [environments.NAME] to the settings"
        )
        raise BadRequest(f"there is no environment {named[:100]!r}", hint, param="environment")
    if own and "manage_releases" not in context.principal.permissions:
        raise Forbidden(f"{context.principal.key_id!r} is limited to the environment {own!r}", "use another key")
    return named


async def rotate_key(context: RequestContext, id: str, overlap_hours: float) -> FieldValues:
    if not math.isfinite(overlap_hours) or not 0 <= overlap_hours <= MOST_HOURS:
        hint = f"use 0 to {MOST_HOURS}"
        raise BadRequest(f"cannot overlap keys by {overlap_hours!r} hours", hint, param="overlapHours")
    old = await _reachable_key(context, id)
    if not context.principal.all_projects and old.project != context.principal.project:
        raise Forbidden(f"the key {id!r} belongs to another project", "use a key of that project, or switch to it")
    if beyond := expand_actions(old.may) - context.principal.permissions:
        raise Forbidden(
            f"the key {id!r} has permissions that yours lacks: {', '.join(sorted(beyond))}", "use a key that has them"
        )
    if context.principal.scope is not None and narrow_scope(old.scope, context.principal.scope) != old.scope:
        raise Forbidden(f"the key {id!r} has fewer restrictions than yours", "use a key without restrictions")
    if strictest_class(old.data_class, context.principal) != old.data_class:
        raise Forbidden(f"the key {id!r} has a less strict data class than yours", "use a key with the same data class")
    if old.user and old.user != context.principal.user_id:
        raise Forbidden(f"the key {id!r} is another user's personal key", "revoke it; its owner can create a new one")
    ends = await creator_expiry(context)
    if ends is not None and (old.expires is None or old.expires > ends):
        raise Forbidden(f"the key {id!r} expires later than yours", "use a key that expires later")
    accounts = context.services.api_keys
    made = await accounts.rotate(old.id, old.tenant, round(overlap_hours * HOUR_MS), context.principal)
    return {"key": key_values(made.key), "secret": made.text}


async def revoke_key(context: RequestContext, id: str) -> FieldValues:
    key = await _reachable_key(context, id)
    await context.services.api_keys.revoke(key.id, key.tenant, context.principal)
    return {"id": id}


async def _reachable_key(context: RequestContext, id: str) -> ApiKey:
    """Raises PathNotFound for a key that the caller cannot see, Forbidden for one that it may not manage."""
    principal = context.principal
    key = await context.services.api_keys.get(id, principal.tenant)
    require_permission(principal, "manage_keys", key_resource(key))
    if key.wide and not principal.all_projects:
        raise Forbidden(
            f"the key {id!r} has access to every project, and yours does not", "use a key with access to every project"
        )
    return key


async def keys_created_by(context: RequestContext, user: str) -> list[ApiKey]:
    """Valid service keys that a user created, directly or with another of them. They outlive the user."""
    left = [key for key in await context.services.api_keys.list(context.principal.tenant) if not key.user]
    makers, found = {user}, list[ApiKey]()
    while more := [key for key in left if key.by in makers]:
        left = [key for key in left if key.by not in makers]
        makers = {key.id for key in more}
        found += more
    now = _now()
    good = [key for key in found if key.revoked is None and (key.expires is None or key.expires > now)]
    return [key for key in good if is_allowed(context.principal, "read_keys", key_resource(key))]


async def creator_expiry(context: RequestContext) -> int | None:
    """When the caller's own key expires, which limits the keys that it creates; None: never."""
    found = await context.services.api_keys.list(context.principal.tenant)
    return next((key.expires for key in found if key.id == context.principal.key_id), None)


def key_resource(key: ApiKey) -> Resource:
    return Resource(key.tenant, key.project, key.user, f"key:{key.id}")


def strictest_class(said: DataClass | None, principal: Principal) -> DataClass | None:
    known = [each for each in (said, principal.data_class) if each is not None]
    return strictest(*known) if known else None


def _validate_name(name: str) -> str:
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise BadRequest(f"{name[:100]!r} is not a valid key name", "use 1 to 100 printable characters", param="name")
    return name.strip()


def validate_project_name(name: str) -> str:
    if not NAME.match(name) or len(name) > 100:
        hint = "use up to 100 letters, digits, '.', '_' and '-'"
        raise BadRequest(f"{name[:100]!r} is not a valid project name", hint, param="project")
    return name


def _expiry(days: float | None) -> int | None:
    if days is None:
        return None
    if not math.isfinite(days) or not 0 < days <= MOST_DAYS:
        raise BadRequest(f"{days!r} is not a valid number of days", f"use more than 0, at most {MOST_DAYS}")
    return _now() + round(days * DAY_MS)


def key_values(key: ApiKey) -> FieldValues:
    expired = key.expires is not None and key.expires <= _now()
    return {
        "id": key.id,
        "name": key.name,
        "project": key.project,
        "user": key.user,
        "createdBy": key.by,
        "allProjects": key.wide,
        "environment": key.environment,
        "scope": msgspec.structs.asdict(key.scope or KeyScope()),
        "permissions": sorted(key.may),
        "dataClass": key.data_class,
        "created": key.created,
        "expires": key.expires,
        "revoked": key.revoked,
        "state": "revoked" if key.revoked is not None else "expired" if expired else "valid",
    }


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
