"""Keys listed, made, rotated and revoked, each only within the caller's own organisation, project and rights."""

from __future__ import annotations

import math
import time

import msgspec

from sizewise.auth.authorization import Thing, demand, may
from sizewise.auth.key_scope import narrowed, scope
from sizewise.auth.permissions import granted
from sizewise.auth.tables import Key
from sizewise.data_class import DataClass, strictest
from sizewise.errors import BadRequest, Forbidden
from sizewise.graphql.context import Context
from sizewise.graphql.model_type import Told
from sizewise.principal import Caller, Scope
from sizewise.settings.validators import NAME

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MOST_DAYS = 36_500
MOST_HOURS = 24 * 90


async def me(context: Context) -> Told:
    caller = context.caller
    return {
        "tenant": caller.tenant,
        "project": caller.project,
        "key": caller.key,
        "name": caller.name,
        "user": caller.user,
        "allProjects": caller.wide,
        "permissions": sorted(caller.may),
        "dataClass": caller.data_class,
    }


async def keys(context: Context) -> list[Told]:
    caller = context.caller
    found = await context.house.means.keeper.accounts.list(caller.tenant)
    return [told_key(key) for key in found if may(caller, "read_keys", thing(key))]


async def create_key(
    context: Context,
    name: str,
    permissions: list[str],
    expires_in_days: float | None = None,
    project: str | None = None,
    data_class: DataClass | None = None,
    personal: bool = False,
    **confined: list[str],
) -> Told:
    """Never more than the caller's own rights, scope and class: CVE-2026-47101 and its kin were that."""
    caller = context.caller
    where = caller.project if project is None else project_named(project)
    service = not personal and ("manage_keys" in caller.may or not caller.user)
    demand(caller, "manage_keys", Thing(caller.tenant, where, "" if service else caller.user))
    if not caller.wide and where != caller.project:
        raise Forbidden(
            f"{caller.key!r} works in the project {caller.project!r} alone", "work in that one, and ask again"
        )
    if "manage_keys" not in caller.may and not context.house.means.keeper.accounts.keys.project(where):
        raise Forbidden(f"there is no project {where!r}, and {caller.key!r} begins none", "ask whoever manages keys")
    if beyond := sorted(granted(permissions) - caller.may):
        raise Forbidden(
            f"the key {caller.key!r} may not {' or '.join(beyond)} itself, so it cannot allow others to",
            f"allow some of {', '.join(sorted(caller.may))}",
        )
    if personal and not caller.user:
        raise BadRequest(
            f"{caller.key!r} is nobody's, so no key can be its user's own", "sign in first", param="personal"
        )
    expires, ends = _expiry(expires_in_days), await _ends(context)
    if ends is not None and expires is not None and expires > ends:
        raise Forbidden(f"the key {caller.key!r} expires before that", "give fewer days, or use another key")
    made = await context.house.means.keeper.accounts.create(
        where,
        _named(name),
        permissions,
        tenant=caller.tenant,
        expires=ends if expires is None else expires,
        data_class=_class(data_class, caller),
        user="" if service else caller.user,
        wide=caller.wide and project is None,
        scope=narrowed(scope(**{each: tuple(said) for each, said in confined.items()}), caller.scope),
        by=caller,
    )
    return {"key": told_key(made.key), "secret": made.text}


async def rotate_key(context: Context, id: str, overlap_hours: float) -> Told:
    if not math.isfinite(overlap_hours) or not 0 <= overlap_hours <= MOST_HOURS:
        hint = f"give 0 to {MOST_HOURS}"
        raise BadRequest(f"cannot overlap keys by {overlap_hours!r} hours", hint, param="overlapHours")
    old = await _own(context, id)
    if not context.caller.wide and old.project != context.caller.project:
        raise Forbidden(f"the key {id!r} is one of another project than you work in", "work in that one, and ask again")
    if beyond := granted(old.may) - context.caller.may:
        raise Forbidden(f"the key {id!r} may {' and '.join(sorted(beyond))}, and yours may not", "use a key that may")
    if context.caller.scope is not None and narrowed(old.scope, context.caller.scope) != old.scope:
        raise Forbidden(f"the key {id!r} has fewer restrictions than yours", "use a key without restrictions")
    if _class(old.data_class, context.caller) != old.data_class:
        raise Forbidden(f"the key {id!r} has a less strict data class than yours", "use a key that has it")
    if old.user and old.user != context.caller.user:
        raise Forbidden(f"the key {id!r} is somebody's own, and its text acts as them", "revoke it: they make another")
    ends = await _ends(context)
    if ends is not None and (old.expires is None or old.expires > ends):
        raise Forbidden(f"the key {id!r} expires later than yours", "use a key that expires later")
    accounts = context.house.means.keeper.accounts
    made = await accounts.rotate(old.id, old.tenant, round(overlap_hours * HOUR_MS), context.caller)
    return {"key": told_key(made.key), "secret": made.text}


async def revoke_key(context: Context, id: str) -> Told:
    key = await _own(context, id)
    await context.house.means.keeper.accounts.revoke(key.id, key.tenant, context.caller)
    return {"id": id}


async def _own(context: Context, id: str) -> Key:
    """Raises UnknownPath for a key that is not there as far as the caller is concerned."""
    caller = context.caller
    key = await context.house.means.keeper.accounts.one(id, caller.tenant)
    demand(caller, "manage_keys", thing(key))
    if key.wide and not caller.wide:
        raise Forbidden(f"the key {id!r} has access to every project, and yours does not", "use a key that does")
    return key


async def made_by(context: Context, user: str) -> list[Key]:
    """The good service keys that a user made, and those that these made: they stay when their maker goes."""
    left = [key for key in await context.house.means.keeper.accounts.list(context.caller.tenant) if not key.user]
    makers, found = {user}, list[Key]()
    while more := [key for key in left if key.by in makers]:
        left = [key for key in left if key.by not in makers]
        makers = {key.id for key in more}
        found += more
    now = _now()
    good = [key for key in found if key.revoked is None and (key.expires is None or key.expires > now)]
    return [key for key in good if may(context.caller, "read_keys", thing(key))]


async def _ends(context: Context) -> int | None:
    """When the key that the caller came with expires, and with it whatever it makes; None: never."""
    found = await context.house.means.keeper.accounts.list(context.caller.tenant)
    return next((key.expires for key in found if key.id == context.caller.key), None)


def thing(key: Key) -> Thing:
    return Thing(key.tenant, key.project, key.user, f"key:{key.id}")


def _class(said: DataClass | None, caller: Caller) -> DataClass | None:
    known = [each for each in (said, caller.data_class) if each is not None]
    return strictest(*known) if known else None


def _named(name: str) -> str:
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise BadRequest(f"{name[:100]!r} is no name for a key", "give 1 to 100 printable characters", param="name")
    return name.strip()


def project_named(name: str) -> str:
    if not NAME.match(name) or len(name) > 100:
        hint = "letters, digits, '.', '_', '-'"
        raise BadRequest(f"{name[:100]!r} is no name of a project", hint, param="project")
    return name


def _expiry(days: float | None) -> int | None:
    if days is None:
        return None
    if not math.isfinite(days) or not 0 < days <= MOST_DAYS:
        raise BadRequest(f"a key cannot expire in {days!r} days", f"give more than 0, at most {MOST_DAYS}")
    return _now() + round(days * DAY_MS)


def told_key(key: Key) -> Told:
    expired = key.expires is not None and key.expires <= _now()
    return {
        "id": key.id,
        "name": key.name,
        "project": key.project,
        "user": key.user,
        "createdBy": key.by,
        "allProjects": key.wide,
        "scope": msgspec.to_builtins(key.scope or Scope()),
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
