"""Limit rules by scope and which of them apply to a principal and a model; pure, knows nothing of usage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.money import DAY_S, PICO_PER_DOLLAR, format_dollars
from sizewise.principal import Principal
from sizewise.settings.limits import LimitsSettings
from sizewise.settings.limits import scope as spelt

Unit = Literal["requests/minute", "tokens/minute", "usd/day", "usd/month"]
UNITS: tuple[Unit, ...] = ("requests/minute", "tokens/minute", "usd/day", "usd/month")
MONEY_UNITS = frozenset({"usd/day", "usd/month"})

ALL_TENANTS = "*"
"""Tenant of the model limits in the settings: all organizations share them."""
MAX_PICO_DOLLARS = 1_000_000 * PICO_PER_DOLLAR
MAX_COUNT = 10**12


class Limit(Struct, frozen=True):
    """Upper limits; None: no limit. Money is in pico-dollars."""

    requests_minute: int | None = None
    tokens_minute: int | None = None
    usd_day: int | None = None
    usd_month: int | None = None

    def amounts(self) -> Iterator[tuple[Unit, int]]:
        """The limits that are set."""
        amounts = (self.requests_minute, self.tokens_minute, self.usd_day, self.usd_month)
        return ((unit, most) for unit, most in zip(UNITS, amounts, strict=True) if most is not None)


class ScopedLimit(Struct, frozen=True):
    """The limit of one scope of one organization, as stored in the database."""

    tenant: str
    scope: str
    limit: Limit


LimitKey = tuple[str, str, Unit]
"""(tenant, scope, unit)"""


class LimitRules(Struct, frozen=True):
    """All limits: of the database by (tenant, scope), and of the settings by scope."""

    stored: Mapping[tuple[str, str], Limit] = {}
    configured: Mapping[str, Limit] = {}

    def for_principal(self, principal: Principal) -> list[tuple[LimitKey, int]]:
        """The limits on every request of `principal`."""
        return [each for scope in _scopes(principal) for each in self.for_scope(principal.tenant, scope)]

    def for_model(self, tenant: str, name: str) -> list[tuple[LimitKey, int]]:
        """The additional limits on an attempt at the model."""
        scope, own, said = (
            f"model:{name}",
            self.stored.get((tenant, f"model:{name}")),
            self.configured.get(f"model:{name}"),
        )
        return [*_keyed_amounts(tenant, scope, own), *_keyed_amounts(ALL_TENANTS, scope, said)]

    def for_scope(self, tenant: str, scope: str) -> list[tuple[LimitKey, int]]:
        """The stricter of database and settings."""
        return list(
            _strictest(
                [
                    *_keyed_amounts(tenant, scope, self.stored.get((tenant, scope))),
                    *self._configured_limits(tenant, scope),
                ],
            ),
        )

    def _configured_limits(self, tenant: str, scope: str) -> Iterator[tuple[LimitKey, int]]:
        yield from _keyed_amounts(tenant, scope, self.configured.get(scope))
        if scope == "organization":
            yield from _keyed_amounts(tenant, scope, self.configured.get(f"organization:{tenant}"))

    def limit_of(self, key: LimitKey) -> int | None:
        """What limits a window at present; None: nothing."""
        tenant, scope, _ = key
        kind, _, name = scope.partition(":")
        found = self.for_model(tenant, name) if kind == "model" else self.for_scope(tenant, scope)
        return dict(found).get(key)

    def for_tenant(self, tenant: str) -> list[tuple[LimitKey, int, str]]:
        """Every limit that can apply within `tenant`, and its source: server, file or both."""
        scopes = {scope for whose, scope in self.stored if whose == tenant}
        scopes |= {scope for scope in self.configured if not scope.startswith(("organization:", "model:"))}
        if f"organization:{tenant}" in self.configured:
            scopes.add("organization")
        found = []
        for scope in sorted(scopes):
            own, said = (
                dict(_keyed_amounts(tenant, scope, self.stored.get((tenant, scope)))),
                dict(self._configured_limits(tenant, scope)),
            )
            for key, most in self.for_scope(tenant, scope):
                found.append((key, most, "both" if key in own and key in said else "server" if key in own else "file"))
        for scope, limit in sorted(self.configured.items()):
            if scope.startswith("model:"):
                found.extend((key, most, "file") for key, most in _keyed_amounts(ALL_TENANTS, scope, limit))
        return found


def _scopes(principal: Principal) -> Iterator[str]:
    yield "organization"
    yield f"project:{principal.project}"
    if principal.user_id:
        yield f"user:{principal.user_id}"
    if principal.key_id:
        yield f"key:{principal.key_id}"


def _keyed_amounts(tenant: str, scope: str, limit: Limit | None) -> Iterator[tuple[LimitKey, int]]:
    for unit, most in limit.amounts() if limit is not None else ():
        yield (tenant, scope, unit), most


def _strictest(limits: list[tuple[LimitKey, int]]) -> Iterator[tuple[LimitKey, int]]:
    least: dict[LimitKey, int] = {}
    for key, most in limits:
        least[key] = min(most, least.get(key, most))
    yield from least.items()


def parse_scope(text: str) -> str:
    """A scope of the principal's own organization. Raises BadRequest."""
    try:
        return spelt(text, within_organization=True)
    except ValueError as error:
        raise BadRequest(str(error), "write it as project:shop, for example") from error


def limit_from_settings(settings: LimitsSettings) -> Limit:
    return Limit(settings.requests_per_minute, settings.tokens_per_minute, settings.daily_limit, settings.monthly_limit)


def validate_limit(limit: Limit) -> Limit:
    """Raises BadRequest for an amount out of range."""
    for unit, most in limit.amounts():
        if not 0 <= most <= (MAX_PICO_DOLLARS if unit in MONEY_UNITS else MAX_COUNT):
            raise BadRequest(
                f"{format_amount(unit, most)} is not a valid limit of {unit}",
                "use 0 to 1,000,000 dollars, or a count of up to 10^12",
            )
    return limit


def window_bounds(unit: Unit, now: float) -> tuple[int, int]:
    """Start and end of the window around `now`, in unix seconds: a minute, day or month in UTC."""
    if unit == "usd/month":
        day = datetime.fromtimestamp(now, UTC)
        first = datetime(day.year, day.month, 1, tzinfo=UTC)
        after = datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=UTC)
        return int(first.timestamp()), int(after.timestamp())
    length = DAY_S if unit == "usd/day" else 60
    start = int(now // length) * length
    return start, start + length


SETTLING_SHARE = 1 / 24
"""Of a window: what is spent in this first part of it counts as spent over all of this part."""


def forecast(spent: int, starts_at: int, ends_at: int, now: float) -> float:
    """What will be spent at the end of a window at its pace so far; times in unix seconds."""
    length = ends_at - starts_at
    return spent * length / min(max(now - starts_at, length * SETTLING_SHARE), length)


def format_amount(unit: Unit, number: int) -> str:
    """An amount of this unit as text; money in dollars."""
    sign, size = ("-" if number < 0 else ""), abs(number)
    return sign + (format_dollars(size) if unit in MONEY_UNITS else str(size))
