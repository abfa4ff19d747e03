"""Who may ask: keys listed, made and revoked, each only within the caller's own tenant, project and rights."""

from __future__ import annotations

import math
import time

from sizewise.accounts.rows import Key
from sizewise.errors import BadRequest, Forbidden
from sizewise.graphql.context import Context
from sizewise.graphql.told import Told

DAY_MS = 86_400_000
MOST_DAYS = 36_500


async def me(context: Context) -> Told:
    caller = context.caller
    return {
        "tenant": caller.tenant,
        "project": caller.project,
        "key": caller.key,
        "name": caller.name,
        "may": sorted(caller.may),
        "dataClass": caller.data_class,
    }


async def keys(context: Context) -> list[Told]:
    context.may("read")
    return [_key(key) for key in await context.house.means.keeper.list_keys(context.caller.tenant)]


async def create_key(context: Context, name: str, may: list[str], expires_in_days: float | None = None) -> Told:
    """Never more rights than the caller's own, and never a looser data class: CVE-2026-47101 was that."""
    context.may("manage")
    caller = context.caller
    if beyond := sorted(set(may) - caller.may):
        raise Forbidden(
            f"the key {caller.key!r} may not {' or '.join(beyond)} itself, so it cannot allow others to",
            f"allow some of {', '.join(sorted(caller.may))}",
        )
    made = await context.house.means.keeper.create_key(
        caller.project,
        _named(name),
        may,
        tenant=caller.tenant,
        expires=_expiry(expires_in_days),
        data_class=caller.data_class,
    )
    return {"key": _key(made.key), "text": made.text}


async def revoke_key(context: Context, id: str) -> Told:
    context.may("manage")
    await context.house.means.keeper.revoke_key(id, context.caller.tenant)
    return {"id": id}


def _named(name: str) -> str:
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise BadRequest(f"{name[:100]!r} is no name for a key", "give 1 to 100 printable characters", param="name")
    return name.strip()


def _expiry(days: float | None) -> int | None:
    if days is None:
        return None
    if not math.isfinite(days) or not 0 < days <= MOST_DAYS:
        raise BadRequest(f"a key cannot expire in {days!r} days", f"give more than 0, at most {MOST_DAYS}")
    return _now() + round(days * DAY_MS)


def _key(key: Key) -> Told:
    expired = key.expires is not None and key.expires <= _now()
    return {
        "id": key.id,
        "name": key.name,
        "project": key.project,
        "may": sorted(key.may),
        "dataClass": key.data_class,
        "created": key.created,
        "expires": key.expires,
        "revoked": key.revoked,
        "state": "revoked" if key.revoked is not None else "expired" if expired else "valid",
    }


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
