"""Limits by scope, and which of them hold for a caller and a model; pure, and knows nothing of what is spent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.money import DAY_S, PICO, dollars
from sizewise.principal import Caller
from sizewise.settings.limits import Limits as Said
from sizewise.settings.limits import scope as spelt

Unit = Literal["requests/minute", "tokens/minute", "usd/day", "usd/month"]
UNITS: tuple[Unit, ...] = ("requests/minute", "tokens/minute", "usd/day", "usd/month")
MONEY = frozenset({"usd/day", "usd/month"})

EVERYONE = "*"
"""Whose a limit is that the settings give a model: all organisations share it."""
MOST_PICO = 1_000_000 * PICO
MOST_COUNT = 10**12


class Limit(Struct, frozen=True):
    """At most so much of each; None: no limit. Money is in pico-dollars."""

    requests_minute: int | None = None
    tokens_minute: int | None = None
    usd_day: int | None = None
    usd_month: int | None = None

    def of(self) -> Iterator[tuple[Unit, int]]:
        """Those that are set."""
        amounts = (self.requests_minute, self.tokens_minute, self.usd_day, self.usd_month)
        return ((unit, most) for unit, most in zip(UNITS, amounts, strict=True) if most is not None)


class Set(Struct, frozen=True):
    """The limit of one scope of one organisation, as it was set in the database."""

    tenant: str
    scope: str
    limit: Limit


Key = tuple[str, str, Unit]
"""Whose, of which scope, of what."""


class Ruled(Struct, frozen=True):
    """All limits there are: of the database by (organisation, scope), and of the settings by scope."""

    set: Mapping[tuple[str, str], Limit] = {}
    said: Mapping[str, Limit] = {}

    def door(self, caller: Caller) -> list[tuple[Key, int]]:
        """What a request of `caller` is counted against, whatever it asks."""
        return [each for scope in _scopes(caller) for each in self.of(caller.tenant, scope)]

    def model(self, tenant: str, name: str) -> list[tuple[Key, int]]:
        """What an attempt at the model is counted against beside that."""
        scope, own, said = f"model:{name}", self.set.get((tenant, f"model:{name}")), self.said.get(f"model:{name}")
        return [*_of(tenant, scope, own), *_of(EVERYONE, scope, said)]

    def of(self, tenant: str, scope: str) -> list[tuple[Key, int]]:
        """The stricter of database and settings."""
        return list(_strictest([*_of(tenant, scope, self.set.get((tenant, scope))), *self._said(tenant, scope)]))

    def _said(self, tenant: str, scope: str) -> Iterator[tuple[Key, int]]:
        yield from _of(tenant, scope, self.said.get(scope))
        if scope == "organization":
            yield from _of(tenant, scope, self.said.get(f"organization:{tenant}"))

    def listed(self, tenant: str) -> list[tuple[Key, int, str]]:
        """Every limit that can hold for somebody of `tenant`, and where it is from: server, file or both."""
        scopes = {scope for whose, scope in self.set if whose == tenant}
        scopes |= {scope for scope in self.said if not scope.startswith(("organization:", "model:"))}
        if f"organization:{tenant}" in self.said:
            scopes.add("organization")
        found = []
        for scope in sorted(scopes):
            own, said = dict(_of(tenant, scope, self.set.get((tenant, scope)))), dict(self._said(tenant, scope))
            for key, most in self.of(tenant, scope):
                found.append((key, most, "both" if key in own and key in said else "server" if key in own else "file"))
        for scope, limit in sorted(self.said.items()):
            if scope.startswith("model:"):
                found.extend((key, most, "file") for key, most in _of(EVERYONE, scope, limit))
        return found


def _scopes(caller: Caller) -> Iterator[str]:
    yield "organization"
    yield f"project:{caller.project}"
    if caller.user:
        yield f"user:{caller.user}"
    if caller.key:
        yield f"key:{caller.key}"


def _of(tenant: str, scope: str, limit: Limit | None) -> Iterator[tuple[Key, int]]:
    for unit, most in limit.of() if limit is not None else ():
        yield (tenant, scope, unit), most


def _strictest(limits: list[tuple[Key, int]]) -> Iterator[tuple[Key, int]]:
    least: dict[Key, int] = {}
    for key, most in limits:
        least[key] = min(most, least.get(key, most))
    yield from least.items()


def scope(text: str) -> str:
    """A scope of the caller's own organisation. Raises BadRequest."""
    try:
        return spelt(text, own=True)
    except ValueError as error:
        raise BadRequest(str(error), "for example project:shop") from error


def read(said: Said) -> Limit:
    """As the settings have it."""
    return Limit(said.requests_per_minute, said.tokens_per_minute, said.day, said.month)


def bounded(limit: Limit) -> Limit:
    """Raises BadRequest for what no database could count."""
    for unit, most in limit.of():
        if not 0 <= most <= (MOST_PICO if unit in MONEY else MOST_COUNT):
            raise BadRequest(f"{amount(unit, most)} is no limit of {unit}", "give 0 to a million dollars, or 10^12")
    return limit


def window(unit: Unit, now: float) -> tuple[int, int]:
    """From when until when the window around `now` lasts, in unix seconds: a minute, day or month of UTC."""
    if unit == "usd/month":
        day = datetime.fromtimestamp(now, UTC)
        first = datetime(day.year, day.month, 1, tzinfo=UTC)
        after = datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=UTC)
        return int(first.timestamp()), int(after.timestamp())
    length = DAY_S if unit == "usd/day" else 60
    start = int(now // length) * length
    return start, start + length


def amount(unit: Unit, number: int) -> str:
    """A number of this unit, in dollars where it is money."""
    sign, size = ("-" if number < 0 else ""), abs(number)
    return sign + (dollars(size) if unit in MONEY else str(size))
