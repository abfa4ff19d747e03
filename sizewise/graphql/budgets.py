"""Fields that list and set limits and budgets within the caller's access; counts nothing itself."""

from __future__ import annotations

from collections.abc import Mapping

from sizewise.auth.authorization import Resource, is_allowed, require_permission
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.limits.rate_limiter import LimitStatus
from sizewise.limits.rules import ALL_TENANTS, Limit, ScopedLimit, format_amount
from sizewise.limits.rules import parse_scope as known
from sizewise.principal import Principal

PERIODS: Mapping[str, str] = {
    "requests_per_minute": "requests_minute",
    "tokens_per_minute": "tokens_minute",
    "usd_per_day": "usd_day",
    "usd_per_month": "usd_month",
}
"""Argument of setBudget -> field of Limit."""


async def budgets(context: RequestContext) -> list[FieldValues]:
    principal = context.principal
    listed = await context.services.limiter.list_statuses(principal.tenant)
    things = await _resources(context, {each.key[1] for each in listed})
    seen = [each for each in listed if _is_visible(principal, each, things[each.key[1]])]
    context.charge_rows(len(seen))
    return [_limit_values(each) for each in seen]


async def set_budget(context: RequestContext, scope: str, **amounts: int | None) -> list[FieldValues]:
    """Omitted amounts stay unchanged. Raises PathNotFound, Forbidden, BadRequest."""
    principal, its = context.principal, known(scope)
    thing = (await _resources(context, {its}))[its]
    if its.startswith("key:"):  # raises the same error for an unknown key as for one of another project
        await context.services.api_keys.get(its.partition(":")[2], principal.tenant)
    if its.startswith("user:"):
        context.services.users.get(its.partition(":")[2], principal.tenant)
    require_permission(principal, "manage_budgets", thing)
    services = context.services
    before = services.limiter.get_limit(principal.tenant, its)
    given = {PERIODS[name]: value for name, value in amounts.items()}
    after = {name: getattr(before, name) for name in Limit.__struct_fields__} | given
    await services.limiter.set_limit(ScopedLimit(principal.tenant, its, Limit(**after)), principal)
    return [
        _limit_values(each)
        for each in await services.limiter.list_statuses(principal.tenant)
        if each.key[:2] == (principal.tenant, its)
    ]


def _is_visible(principal: Principal, each: LimitStatus, thing: Resource) -> bool:
    """Limits across all organizations are visible with manage_settings only."""
    if each.key[0] == ALL_TENANTS and "manage_settings" not in principal.permissions:
        return False
    return is_allowed(principal, "read_budgets", thing)


async def _resources(context: RequestContext, scopes: set[str]) -> dict[str, Resource]:
    """The resource of each scope."""
    tenant, keys = context.principal.tenant, {}
    if any(scope.startswith("key:") for scope in scopes):
        keys = {key.id: key for key in await context.services.api_keys.list(tenant)}
    things = {}
    for scope in scopes:
        kind, _, name = scope.partition(":")
        key = keys.get(name) if kind == "key" else None
        project = key.project if key is not None else name if kind == "project" else ""
        user = key.user if key is not None else name if kind == "user" else ""
        things[scope] = Resource(tenant, project, user, scope if kind in ("key", "user") else f"budget:{scope}")
    return things


def _limit_values(each: LimitStatus) -> FieldValues:
    _, its, unit = each.key
    return {
        "scope": its,
        "unit": unit,
        "limit": format_amount(unit, each.limit),
        "spent": format_amount(unit, each.spent),
        "reserved": format_amount(unit, max(0, each.allocated - each.spent)),
        "remaining": format_amount(unit, max(0, each.limit - max(each.allocated, each.spent))),
        "resets": each.resets_at * 1_000,
        "source": each.source,
    }
