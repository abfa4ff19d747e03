"""Limits and how they stand, and setting them, each only for what the caller sees; counts nothing itself."""

from __future__ import annotations

from collections.abc import Mapping

from sizewise.auth.authorization import Thing, demand, may
from sizewise.graphql.context import Context
from sizewise.graphql.model_type import Told
from sizewise.limits.limiter import Standing
from sizewise.limits.rules import EVERYONE, Limit, Set, amount
from sizewise.limits.rules import scope as known
from sizewise.principal import Caller

PERIODS: Mapping[str, str] = {
    "requests_per_minute": "requests_minute",
    "tokens_per_minute": "tokens_minute",
    "usd_per_day": "usd_day",
    "usd_per_month": "usd_month",
}
"""The arguments of setBudget, and the field of Limit that each sets."""


async def budgets(context: Context) -> list[Told]:
    caller = context.caller
    listed = await context.house.means.keeper.budgets.listed(caller.tenant)
    things = await _things(context, {each.key[1] for each in listed})
    seen = [each for each in listed if _seen(caller, each, things[each.key[1]])]
    context.take(len(seen))
    return [_told(each) for each in seen]


async def set_budget(context: Context, scope: str, **amounts: int | None) -> list[Told]:
    """What is left out of `amounts` stays as it is. Raises UnknownPath, Forbidden, BadRequest."""
    caller, its = context.caller, known(scope)
    thing = (await _things(context, {its}))[its]
    if its.startswith("key:"):  # raises for one that is not there, as for one of another project
        await context.house.means.keeper.accounts.one(its.partition(":")[2], caller.tenant)
    if its.startswith("user:"):
        context.house.means.keeper.users.one(its.partition(":")[2], caller.tenant)
    demand(caller, "manage_budgets", thing)
    keeper = context.house.means.keeper
    before = keeper.budgets.limit(caller.tenant, its)
    given = {PERIODS[name]: value for name, value in amounts.items()}
    after = {name: getattr(before, name) for name in Limit.__struct_fields__} | given
    await keeper.budgets.set(Set(caller.tenant, its, Limit(**after)), caller)
    return [_told(each) for each in await keeper.budgets.listed(caller.tenant) if each.key[:2] == (caller.tenant, its)]


def _seen(caller: Caller, each: Standing, thing: Thing) -> bool:
    """What everyone's models have cost together is the business of whoever runs the server."""
    if each.key[0] == EVERYONE and "manage_settings" not in caller.may:
        return False
    return may(caller, "read_budgets", thing)


async def _things(context: Context, scopes: set[str]) -> dict[str, Thing]:
    """What each scope stands for."""
    tenant, keys = context.caller.tenant, {}
    if any(scope.startswith("key:") for scope in scopes):
        keys = {key.id: key for key in await context.house.means.keeper.accounts.list(tenant)}
    things = {}
    for scope in scopes:
        kind, _, name = scope.partition(":")
        key = keys.get(name) if kind == "key" else None
        project = key.project if key is not None else name if kind == "project" else ""
        user = key.user if key is not None else name if kind == "user" else ""
        things[scope] = Thing(tenant, project, user, scope if kind in ("key", "user") else f"budget:{scope}")
    return things


def _told(each: Standing) -> Told:
    _, its, unit = each.key
    return {
        "scope": its,
        "unit": unit,
        "limit": amount(unit, each.limit),
        "spent": amount(unit, each.spent),
        "reserved": amount(unit, max(0, each.taken - each.spent)),
        "remaining": amount(unit, max(0, each.limit - max(each.taken, each.spent))),
        "resets": each.until * 1_000,
        "source": each.source,
    }
