"""Limiter: rate limits and budgets per principal, reservations, alerts and status; see quota_leases.py.

Without limits on a principal, nothing is done. Otherwise quota is reserved before each attempt and settled after it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping

from msgspec import Struct, to_builtins

from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.errors import SizewiseError
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.limits import tables
from sizewise.limits.quota_leases import QuotaLeases
from sizewise.limits.reservations import RequestReservation, Reservation, WorstCaseCost, format_time
from sizewise.limits.rules import (
    Limit,
    LimitKey,
    LimitRules,
    ScopedLimit,
    Unit,
    format_amount,
    limit_from_settings,
    validate_limit,
    window_bounds,
)
from sizewise.limits.tables import BudgetAlert, LimitSnapshot
from sizewise.limits.window_clock import LimitClock, WindowClock
from sizewise.limits.windows import LimitCounter, LimitCounters
from sizewise.messages import ChatRequest, EmbeddingRequest
from sizewise.model_card import ModelCard
from sizewise.principal import Principal
from sizewise.settings.limits import BudgetsSettings, LimitsSettings
from sizewise.storage.database import AsyncTransactionRunner, PublishEvent, UnitOfWork, no_event

log = logging.getLogger("sizewise.limits")

FLUSH_S = 1.0
MAX_CACHED_PRINCIPALS = 10_000
"""Principals whose limits are cached."""


class LimitStatus(Struct, frozen=True):
    """State of one limit of an organization. `allocated` is spent or reserved; `source`: server, file or both."""

    key: LimitKey
    limit: int
    spent: int
    allocated: int
    resets_at: int  # unix s
    source: str


class RemainingQuota(Struct, frozen=True):
    """What the tightest limit of a unit leaves to a principal for the next `resets_in_s` seconds."""

    unit: Unit
    limit: int
    remaining: int
    resets_in_s: float


class PrincipalLimits(Struct, frozen=True):
    """The limits of a principal: on requests, on attempts, and those reported in headers."""

    request_counters: LimitCounters
    attempt_counters: list[LimitCounter]
    reported_counters: LimitCounters
    costs_by_model: dict[str, WorstCaseCost]
    """By model name."""


class Limiter:
    """One per process; outlives an Application. For one thread: the event loop."""

    def __init__(
        self,
        snapshot: LimitSnapshot,
        read: AsyncTransactionRunner,
        write: AsyncTransactionRunner,
        *,
        shared: bool = False,
        publish_event: PublishEvent = no_event,
        clock: LimitClock | None = None,
    ) -> None:
        """`snapshot`: the limits in the store. `shared`: other servers may change them there. `publish_event` receives
        budget alerts. `clock`: None for one that starts with this machine's.
        """
        clock = clock or WindowClock(time.time())
        self._publish_event = publish_event
        self.has_limits = False
        self._read = read
        self._write = write
        self._shared = shared
        self._clock = clock
        self._settings = BudgetsSettings()
        self._snapshot = snapshot
        self._configured: Mapping[str, Limit] = {}
        self._limit_rules = LimitRules()
        self._limits_by_ids: dict[tuple[str, str, str, str], PrincipalLimits] = {}
        # By id(): a key's Principal stays the same object while it is cached.
        self._limits_by_identity: dict[int, tuple[Principal, PrincipalLimits]] = {}
        self._cost_count = 0
        self._leases = QuotaLeases(write, clock, self._alert)
        self.flush_siblings: Callable[[], Awaitable[None]] | None = None  # has other processes return unused quota
        self._rebuild()

    # Rules

    def prepare(self, said: Mapping[str, LimitsSettings], rules: BudgetsSettings) -> Callable[[], None]:
        """Returns the change to new settings; limits in the database stay."""
        limits = {scope: limit_from_settings(each) for scope, each in said.items()}

        def apply() -> None:
            self._settings, self._configured = rules, limits
            self._rebuild()

        return apply

    def _rebuild(self) -> None:
        known = {(each.tenant, each.scope): each.limit for each in self._snapshot.limits}
        self._limit_rules = LimitRules(known, self._configured)
        self.has_limits = bool(known or self._configured)
        self._clear_cache()
        self._leases.reset()

    async def set_limit(self, limit: ScopedLimit, actor: Principal) -> None:
        """Replaces the stored limit of its scope. Raises BadRequest, StorageError."""
        validate_limit(limit.limit)
        before, after = _audit_fields(self.get_limit(limit.tenant, limit.scope)), _audit_fields(limit.limit)
        who, key = actor.user_id or actor.key_id, actor.key_id if actor.user_id else ""
        deed = AuditEvent(
            tenant=limit.tenant,
            who=who,
            action="budget.set",
            thing=f"budget:{limit.scope}",
            before=before,
            after=after,
            by=key,
        )
        self._apply(await self._write(lambda c: tables.set_limit(c, limit, deed)))
        await self.flush()

    def get_limit(self, tenant: str, scope: str) -> Limit:
        """The limit stored in the database."""
        return self._limit_rules.stored.get((tenant, scope), Limit())

    def _apply(self, snapshot: LimitSnapshot) -> None:
        if snapshot.version > self._snapshot.version:
            self._snapshot = snapshot
            self._rebuild()

    def _clear_cache(self) -> None:
        self._limits_by_ids.clear()
        self._limits_by_identity.clear()
        self._cost_count = 0

    def _limits_of(self, principal: Principal) -> PrincipalLimits:
        seen = self._limits_by_identity.get(id(principal))
        return seen[1] if seen is not None and seen[0] is principal else self._build_limits(principal)

    def _build_limits(self, principal: Principal) -> PrincipalLimits:
        if len(self._limits_by_identity) >= MAX_CACHED_PRINCIPALS:
            self._clear_cache()
        who = (principal.tenant, principal.project, principal.user_id, principal.key_id)
        found = self._limits_by_ids.get(who)
        if found is None:
            all = [self._leases.counter(key, limit) for key, limit in self._limit_rules.for_principal(principal)]
            counting, told = (
                [each for each in all if each.is_request_count],
                [each for each in all if not each.is_money],
            )
            others, together = [each for each in all if not each.is_request_count], self._leases.group
            found = self._limits_by_ids[who] = PrincipalLimits(together(counting), others, together(told), {})
        self._limits_by_identity[id(principal)] = principal, found
        return found

    def _build_cost(self, principal: Principal, limits: PrincipalLimits, card: ModelCard) -> WorstCaseCost:
        if self._cost_count >= MAX_CACHED_PRINCIPALS:
            self._clear_cache()
        its = [
            self._leases.counter(key, limit) for key, limit in self._limit_rules.for_model(principal.tenant, card.name)
        ]
        found = limits.costs_by_model[card.name] = WorstCaseCost(
            self._leases.group([*limits.attempt_counters, *its]),
            card,
            self._settings,
        )
        self._cost_count += 1
        return found

    # Requests

    def count_request(self, principal: Principal) -> Coroutine[object, None, None] | None:
        """Counts a request. None: counted; otherwise the result must be awaited first. Raises Busy."""
        if not self.has_limits:
            return None
        its = self._limits_of(principal).request_counters
        if not its.all:
            return None
        now = self._clock()
        if now >= its.ends_at:
            self._leases.renew_windows(its, now)
        return None if its.windows.try_count() else self._leases.acquire(RequestReservation(self._leases, its))

    def remaining_quotas(self, principal: Principal) -> list[RemainingQuota]:
        """What is left to the principal in requests and tokens a minute, if limited."""
        if not self.has_limits:
            return []
        its = self._limits_of(principal).reported_counters
        if not its.all:
            return []
        now = self._clock()
        if now >= its.ends_at:
            self._leases.renew_windows(its, now)
        found = []
        for pots in (its.windows.requests, its.windows.tokens):
            tightest, least = None, 0
            for pot in pots:
                left = pot.limit - pot.allocated + pot.available
                if tightest is None or left < least:
                    tightest, least = pot, left
            if tightest is not None:
                found.append(
                    RemainingQuota(tightest.key[2], tightest.limit, max(0, least), tightest.ends_at - now),
                )
        return found

    # Attempts

    def reserve(
        self,
        principal: Principal,
        card: ModelCard,
        payload: ChatRequest | EmbeddingRequest,
    ) -> Reservation | None:
        """None if nothing limits the attempt; otherwise a reservation to acquire before it and settle after it."""
        if not self.has_limits:
            return None
        limits = self._limits_of(principal)
        cost = limits.costs_by_model.get(card.name)
        if cost is None or cost.card is not card:
            cost = self._build_cost(principal, limits, card)
        return Reservation(self._leases, cost, payload) if cost.counters.all else None

    def _alert(self, alert: BudgetAlert) -> UnitOfWork[None]:
        (tenant, scope, unit), percent = alert.key, alert.percent
        used, limit = format_amount(unit, alert.spent), format_amount(unit, alert.limit)
        log.warning("%d %% of the limit %s of %s in %s is used: %s of %s", percent, unit, scope, tenant, used, limit)
        _, ends_at = window_bounds(unit, alert.starts_at)
        sums = {"percent": percent, "spent_usd": used, "limit_usd": limit}
        data = {"scope": scope, "window": unit.partition("/")[2], **sums, "renews": format_time(ends_at)}
        return self._publish_event("budget.alert", data, tenant)

    # Background work

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("limits", FLUSH_S, self.flush)]

    async def flush(self, all: bool = False) -> None:
        """Reports spending to the store and returns unused quota; `all`: everything that no attempt holds.

        Also follows the store's clock, and loads limits that other servers have set. Raises StorageError.
        """
        self._clock.sync(await self._read(tables.read_clock) if self._shared else time.time())
        if self._shared and await self._read(tables.read_version) != self._snapshot.version:
            self._apply(await self._read(tables.read_snapshot))
        await self._leases.flush(all)

    async def close(self) -> None:
        """Returns all quota that is not held. What attempts still hold counts as spent."""
        try:
            await self.flush(all=True)
        except SizewiseError as error:
            log.warning("unused quota could not be returned to the database: %s", error.message)

    # Status

    async def list_statuses(self, tenant: str) -> list[LimitStatus]:
        """Every limit of an organization with its current state. Raises StorageError."""
        if self.flush_siblings is not None:
            await self.flush_siblings()
        await self.flush(all=True)
        now = self._clock()
        found = [
            (key, most, source, *window_bounds(key[2], now))
            for key, most, source in self._limit_rules.for_tenant(tenant)
        ]
        wanted = [(key, since) for key, _, _, since, _ in found]
        stood = await self._read(lambda c: tables.read_windows(c, wanted))
        listed = []
        for key, most, source, since, until in found:
            taken, spent = stood.get((key, since), (0, 0))
            listed.append(
                LimitStatus(key=key, limit=most, spent=spent, allocated=taken, resets_at=until, source=source)
            )
        return listed

    def limit_of(self, key: LimitKey) -> int | None:
        """What limits a window at present; None: nothing. For any thread."""
        return self._limit_rules.limit_of(key)

    def spent_ratios(self) -> Iterator[tuple[str, str, str, float]]:
        """(organization, scope, day or month, spent share) of each money budget that was used."""
        self._leases.distribute()
        now = self._clock()
        for each in tuple(self._leases.counters.values()):
            pot = each.window
            if each.is_money and each.limit and now < pot.ends_at:
                tenant, scope, unit = each.key
                yield tenant, scope, unit.partition("/")[2], (pot.spent + pot.unreported) / each.limit


def _audit_fields(limit: Limit | None) -> dict[str, object] | None:
    if limit is None or limit == Limit():
        return None
    shown: dict[str, object] = to_builtins(limit)
    return {name: value for name, value in shown.items() if value is not None}
