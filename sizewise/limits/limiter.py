"""Which limits hold for whom, and how they stand: the purse of one worker; what is taken and spent is slices.py's.

Where nothing limits a caller, nothing is done. What limits one is held before and settled after: see leases.py.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping

from msgspec import Struct, to_builtins

from sizewise.audit_log.hash_chain import Deed
from sizewise.errors import SizewiseError, StoreFailed
from sizewise.limits import tables
from sizewise.limits.quota_leases import Do, Slices
from sizewise.limits.reservations import Entry, Fare, Lease, told_time
from sizewise.limits.rules import Key, Limit, Ruled, Set, Unit, amount, bounded, read, window
from sizewise.limits.tables import Known
from sizewise.limits.windows import Meter, Meters, Pot
from sizewise.messages import Chat, Embed
from sizewise.model_card import Card
from sizewise.principal import Caller
from sizewise.settings.limits import Budgets as Rules
from sizewise.settings.limits import Limits as Said

log = logging.getLogger("sizewise.limits")

Tell = Callable[[str, Mapping[str, object], str], None]
"""An event, what is to be known of it, and whose it is; never waits."""

TIDY_S = 1.0
MOST_KNOWN = 10_000
"""Callers whose limits are remembered."""


class Standing(Struct, frozen=True):
    """How one limit of an organisation stands. `taken` is spent or reserved; `source`: server, file or both."""

    key: Key
    limit: int
    spent: int
    taken: int
    until: int  # unix s
    source: str


class Room(Struct, frozen=True):
    """What the tightest limit of a unit leaves to a caller, and until when, in unix s."""

    unit: Unit
    limit: int
    left: int
    until: int


class Door(Struct, frozen=True):
    """What limits a caller: what counts requests, what attempts are limited by, and what is told in headers."""

    counting: Meters
    others: list[Meter]
    told: Meters
    fares: dict[str, Fare]
    """By model."""


class Budgets:
    """One for a process, outlives Houses. For one thread: the event loop."""

    def __init__(
        self, known: Known, read: Do, write: Do, *, shared: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        """`known`: the limits in the store. `shared`: others may set some there. `clock`: unix seconds."""
        self.tell: Tell | None = None
        self.limited = False
        self._read = read
        self._write = write
        self._shared = shared
        self._clock = clock
        self._rules = Rules()
        self._known = known
        self._said: Mapping[str, Limit] = {}
        self._ruled = Ruled()
        self._doors: dict[tuple[str, str, str, str], Door] = {}
        self._seen: dict[int, tuple[Caller, Door]] = {}  # by id(): a key's Caller is the same while it is kept
        self._fares = 0
        self._slices = Slices(write, clock, self._alert)
        self._renew()

    # Which limits there are

    def prepare(self, said: Mapping[str, Said], rules: Rules) -> Callable[[], None]:
        """The change to the limits of new settings, beside those in the database."""
        limits = {scope: read(each) for scope, each in said.items()}

        def apply() -> None:
            self._rules, self._said = rules, limits
            self._renew()

        return apply

    def _renew(self) -> None:
        known = {(each.tenant, each.scope): each.limit for each in self._known.limits}
        self._ruled = Ruled(known, self._said)
        self.limited = bool(known or self._said)
        self._forget()
        self._slices.begin_anew()

    async def set(self, each: Set, by: Caller) -> None:
        """In the place of what was set for its scope. Raises BadRequest, StoreFailed."""
        bounded(each.limit)
        before, after = _shown(self.limit(each.tenant, each.scope)), _shown(each.limit)
        who, key = by.user or by.key, by.key if by.user else ""
        deed = Deed(each.tenant, who, "budget.set", f"budget:{each.scope}", before, after, by=key)
        self._learnt(await self._write(lambda c: tables.put(c, each, deed)))
        await self.tidy()

    def limit(self, tenant: str, scope: str) -> Limit:
        """As it was set in the database."""
        return self._ruled.set.get((tenant, scope), Limit())

    def _learnt(self, known: Known) -> None:
        if known.version > self._known.version:
            self._known = known
            self._renew()

    def _forget(self) -> None:
        self._doors.clear()
        self._seen.clear()
        self._fares = 0

    def _door(self, caller: Caller) -> Door:
        seen = self._seen.get(id(caller))
        return seen[1] if seen is not None and seen[0] is caller else self._met(caller)

    def _met(self, caller: Caller) -> Door:
        if len(self._seen) >= MOST_KNOWN:
            self._forget()
        who = (caller.tenant, caller.project, caller.user, caller.key)
        found = self._doors.get(who)
        if found is None:
            all = [self._slices.meter(key, limit) for key, limit in self._ruled.door(caller)]
            counting, told = [each for each in all if each.counts], [each for each in all if not each.money]
            others, together = [each for each in all if not each.counts], self._slices.together
            found = self._doors[who] = Door(together(counting), others, together(told), {})
        self._seen[id(caller)] = caller, found
        return found

    def _fare(self, caller: Caller, door: Door, card: Card) -> Fare:
        if self._fares >= MOST_KNOWN:
            self._forget()
        its = [self._slices.meter(key, limit) for key, limit in self._ruled.model(caller.tenant, card.name)]
        found = door.fares[card.name] = Fare(self._slices.together([*door.others, *its]), card, self._rules)
        self._fares += 1
        return found

    # At the door

    def knock(self, caller: Caller) -> Coroutine[object, None, None] | None:
        """Counts a request. None: it may come in; else what must be awaited first. Raises Busy."""
        if not self.limited:
            return None
        its = self._door(caller).counting
        if not its.all:
            return None
        now = self._clock()
        if now >= its.until:
            self._slices.renew(its, now)
        return None if its.pots.count() else self._slices.hold(Entry(self._slices, its))

    def rooms(self, caller: Caller) -> list[Room]:
        """What is left to the caller of requests and of tokens a minute, where somebody limits them."""
        if not self.limited:
            return []
        its = self._door(caller).told
        if not its.all:
            return []
        now = self._clock()
        if now >= its.until:
            self._slices.renew(its, now)
        found = []
        for pots in (its.pots.counting, its.pots.rates):
            tightest, least = None, 0
            for pot in pots:
                left = pot.limit - pot.taken + pot.free
                if tightest is None or left < least:
                    tightest, least = pot, left
            if tightest is not None:
                found.append(Room(tightest.key[2], tightest.limit, least if least > 0 else 0, tightest.until))
        return found

    # Before and after an attempt

    def lease(self, caller: Caller, card: Card, what: Chat | Embed) -> Lease | None:
        """None where nothing limits the attempt; else what must be held before it and settled after it."""
        if not self.limited:
            return None
        door = self._door(caller)
        fare = door.fares.get(card.name)
        if fare is None or fare.card is not card:
            fare = self._fare(caller, door, card)
        return Lease(self._slices, fare, what) if fare.its.all else None

    def _alert(self, pot: Pot, percent: int) -> None:
        tenant, scope, unit = pot.key
        spent, limit = amount(unit, pot.spent), amount(unit, pot.limit)
        log.warning("%d %% of %s of %s in %s are spent: %s of %s", percent, unit, scope, tenant, spent, limit)
        if self.tell is not None:
            sums = {"percent": percent, "spent_usd": spent, "limit_usd": limit}
            told = {"scope": scope, "window": unit.partition("/")[2], **sums, "renews": told_time(pot.until)}
            self.tell("budget.alert", told, tenant)

    # Beside the requests

    async def tend(self) -> None:
        """Tidies up every second, until it is cancelled."""
        ill = False
        while True:
            await asyncio.sleep(TIDY_S)
            try:
                await self.tidy()
                ill = False
            except StoreFailed as error:
                if not ill:
                    log.warning("what is spent of budgets cannot be told to the store: %s", error.message)
                ill = True

    async def tidy(self, all: bool = False) -> None:
        """Tells the store what was spent, and gives back what is not needed; `all`: whatever no attempt holds.

        Takes up limits that others have set. Raises StoreFailed.
        """
        if self._shared and await self._read(tables.version) != self._known.version:
            self._learnt(await self._read(tables.known))
        await self._slices.tidy(all)

    async def close(self) -> None:
        """Gives back all that is not held. What attempts still hold counts as spent."""
        try:
            await self.tidy(all=True)
        except SizewiseError as error:
            log.warning("budgets could not be given back: %s", error.message)

    # How things stand

    async def listed(self, tenant: str) -> list[Standing]:
        """Every limit of an organisation, as it stands now. Raises StoreFailed."""
        await self.tidy(all=True)
        now = self._clock()
        found = [(key, most, source, *window(key[2], now)) for key, most, source in self._ruled.listed(tenant)]
        wanted = [(key, since) for key, _, _, since, _ in found]
        stood = await self._read(lambda c: tables.standing(c, wanted))
        listed = []
        for key, most, source, since, until in found:
            taken, spent = stood.get((key, since), (0, 0))
            listed.append(Standing(key, most, spent, taken, until, source))
        return listed

    def ratios(self) -> Iterator[tuple[str, str, str, float]]:
        """(organisation, scope, day or month, share that is spent) of each money budget that was used."""
        self._slices.share()
        now = self._clock()
        for each in tuple(self._slices.meters.values()):
            pot = each.pot
            if each.money and each.limit and now < pot.until:
                tenant, scope, unit = each.key
                yield tenant, scope, unit.partition("/")[2], (pot.spent + pot.unsaid) / each.limit


def _shown(limit: Limit | None) -> dict[str, object] | None:
    if limit is None or limit == Limit():
        return None
    shown: dict[str, object] = to_builtins(limit)
    return {name: value for name, value in shown.items() if value is not None}
