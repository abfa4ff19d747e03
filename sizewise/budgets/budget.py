"""Holds budgets and limits for one worker: takes slices of the shared store, and spends from them without waiting.

Kept whatever happens: nothing is spent that was not taken before; every attempt is settled, however it ends; no limit,
no work. A worker that dies takes its slices with it until their window ends: of each limit at most what its attempts
under way could have cost, and a 64th of a money limit or a 16th of a rate. An idle one has given them back.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from msgspec import Struct, to_builtins

from sizewise.audit.chain import Deed
from sizewise.budgets import meter as meters
from sizewise.budgets import rows
from sizewise.budgets.limits import EVERYONE, Key, Limit, Ruled, Set, Unit, amount, bounded, read, window
from sizewise.budgets.meter import Held, Load, Meter, Pot
from sizewise.budgets.rows import Back, Known, Stands, Want
from sizewise.caller import Caller
from sizewise.cards import Card
from sizewise.chat import Chat, Embed
from sizewise.db import Work
from sizewise.errors import Busy, OverBudget, SizewiseError, StoreFailed
from sizewise.settings import Budgets as Rules
from sizewise.settings import Limits as Said

log = logging.getLogger("sizewise.budgets")

T = TypeVar("T")
Tell = Callable[[str, Mapping[str, object], str], None]
"""An event, what is to be known of it, and whose it is; never waits."""

LEAST = 16
"""Tokens; an answer that could not even have so many is not asked for."""
TIDY_S = 1.0
FRESH_S = 0.5
"""For how long a worker believes what the store said was left, before it asks again in vain."""
ROUNDS = 100
MOST_KNOWN = 10_000
"""Callers whose limits are remembered."""


class Do(Protocol):
    """Has something done with a connection, and waits for nobody else meanwhile."""

    def __call__(self, work: Work[T], /) -> Awaitable[T]: ...


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


Need = tuple[Meter, int]
"""What is missing of a limit."""


class Short(Struct, frozen=True):
    """The limit that had too little, and what is left of it."""

    meter: Meter
    left: int


Doors = tuple[tuple[Meter, ...], tuple[Meter, ...]]
"""What counts requests of a caller, and what else limits them."""


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
        self._meters: dict[Key, Meter] = {}
        self._over: set[Pot] = set()  # of windows or limits that are over, until they are told and nothing is held
        self._doors: dict[tuple[str, str, str, str], Doors] = {}
        self._pairs: dict[tuple[str, str, str, str, str], tuple[Meter, ...]] = {}
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[object]] = set()
        self._renew()

    # Which limits there are

    def aim(self, said: Mapping[str, Said], rules: Rules) -> Budgets:
        """The limits of new settings, beside those in the database."""
        self._rules, self._said = rules, {scope: read(each) for scope, each in said.items()}
        self._renew()
        return self

    def _renew(self) -> None:
        known = {(each.tenant, each.scope): each.limit for each in self._known.limits}
        self._ruled = Ruled(known, self._said)
        self.limited = bool(known or self._said)
        self._doors.clear()
        self._pairs.clear()
        self._over.update(each.pot for each in self._meters.values())
        self._meters.clear()

    async def set(self, each: Set, by: Caller) -> None:
        """In the place of what was set for its scope. Raises BadRequest, StoreFailed."""
        bounded(each.limit)
        before, after = _shown(self.limit(each.tenant, each.scope)), _shown(each.limit)
        deed = Deed(each.tenant, by.user or by.key, "budget.set", f"budget:{each.scope}", before, after)
        self._learnt(await self._write(lambda c: rows.put(c, each, deed)))
        await self.tidy()

    def limit(self, tenant: str, scope: str) -> Limit:
        """As it was set in the database."""
        return self._ruled.set.get((tenant, scope), Limit())

    def _learnt(self, known: Known) -> None:
        if known.version > self._known.version:
            self._known = known
            self._renew()

    def _meter(self, key: Key, limit: int) -> Meter:
        found = self._meters.get(key)
        if found is None:
            found = self._meters[key] = Meter(key, limit, self._clock())
        return found

    def _door(self, caller: Caller) -> Doors:
        who = (caller.tenant, caller.project, caller.user, caller.key)
        found = self._doors.get(who)
        if found is None:
            if len(self._doors) >= MOST_KNOWN:
                self._doors.clear()
            all = [self._meter(key, limit) for key, limit in self._ruled.door(caller)]
            found = (tuple(each for each in all if each.counts), tuple(each for each in all if not each.counts))
            self._doors[who] = found
        return found

    def _pair(self, caller: Caller, model: str) -> tuple[Meter, ...]:
        who = (caller.tenant, caller.project, caller.user, caller.key, model)
        found = self._pairs.get(who)
        if found is None:
            if len(self._pairs) >= MOST_KNOWN:
                self._pairs.clear()
            its = [self._meter(key, limit) for key, limit in self._ruled.model(caller.tenant, model)]
            found = self._pairs[who] = (*self._door(caller)[1], *its)
        return found

    # At the door

    def knock(self, caller: Caller) -> Coroutine[object, None, None] | None:
        """Counts a request. None: it may come in; else what must be awaited first. Raises Busy."""
        if not self.limited:
            return None
        counting = self._door(caller)[0]
        if not counting:
            return None
        entry = Entry(self, counting)
        return None if entry.at_once() else self.hold(entry)

    def rooms(self, caller: Caller) -> list[Room]:
        """What is left to the caller of requests and of tokens a minute, where somebody limits them."""
        if not self.limited:
            return []
        now, found = self._clock(), dict[Unit, Room]()
        for each in (one for group in self._door(caller) for one in group if not one.money):
            pot, unit = self._current(each, now), each.key[2]
            room = Room(unit, each.limit, pot.left, pot.until)
            if unit not in found or room.left < found[unit].left:
                found[unit] = room
        return list(found.values())

    # Before and after an attempt

    def lease(self, caller: Caller, card: Card, what: Chat | Embed) -> Lease | None:
        """None where nothing limits the attempt; else what must be held before it and settled after it."""
        if not self.limited:
            return None
        its = self._pair(caller, card.name)
        return Lease(self, its, card, what, self._rules) if its else None

    def take(self, its: Iterable[Meter], money: int, tokens: int) -> list[Held] | None:
        """All of it without asking the store, or None."""
        return meters.take(its, money, tokens, self._clock(), self._current)

    async def hold(self, wanted: Lease | Entry) -> None:
        """One asks the store at a time, and whoever comes after it finds what is left of its slice."""
        async with self._turn:
            for _ in range(ROUNDS):
                if wanted.at_once():
                    return
                short = await self._more(wanted)
                if short is not None:
                    wanted.shorten(short)
        raise Busy("too many requests want the last of a limit at once", "send it again", retry_after=1)

    def _current(self, each: Meter, now: float) -> Pot:
        if now >= each.pot.until:
            if each.money:
                self._over.add(each.pot)
            each.pot = each.opened(now)
        return each.pot

    async def _more(self, wanted: Lease | Entry) -> Short | None:
        """Takes from the store what is missing; or says of which limit there is too little."""
        now, missing = self._clock(), list[Need]()
        for each in wanted.meters:
            need = wanted.need(each)
            if self._current(each, now).free < need:
                missing.append((each, need - each.pot.free))
        for each, need in missing:
            pot = each.pot
            if 0 <= now - pot.seen < FRESH_S and pot.limit - pot.taken < need:
                return Short(each, pot.left)
        if not missing:
            return None
        return await self._whole(self._topped_up(missing, now))

    async def _topped_up(self, missing: Sequence[Need], now: float) -> Short | None:
        wants = []
        for each, need in missing:
            pot = each.pot
            wants.append(Want(pot.key, pot.since, pot.limit, need, slice_of(each), pot.unsaid))
            pot.unsaid = 0
        pots = [each.pot for each, _ in missing]
        try:
            enough, stands = await self._write(lambda c: rows.take(c, wants))
        except SizewiseError:
            for pot, want in zip(pots, wants, strict=True):
                pot.unsaid += want.spent
            raise
        for (each, _), pot, stood in zip(missing, pots, stands, strict=True):
            pot.free += stood.got
            self._saw(pot, stood, now)
            if self._meters.get(pot.key) is not each or each.pot is not pot:  # it is over meanwhile
                self._over.add(pot)
        if enough:
            return None
        full = next(
            number for number, stood in enumerate(stands) if wants[number].limit - stood.taken < wants[number].need
        )
        each, pot = missing[full][0], pots[full]
        return Short(each, pot.left) if each.pot is pot else None  # its window is over meanwhile: that is another try

    def _saw(self, pot: Pot, stood: Stands, now: float) -> None:
        pot.taken, pot.spent, pot.seen = stood.taken, stood.spent, now
        for percent in stood.reached:
            self._alert(pot, percent)

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

        A slice is kept while it is used and there is plenty for others. Raises StoreFailed.
        """
        async with self._turn:
            if self._shared and await self._read(rows.version) != self._known.version:
                self._learnt(await self._read(rows.known))
            now = self._clock()
            pots, backs = [], []
            for pot, back in tuple(self._to_tell(now, all)):
                pots.append(pot)
                backs.append(Back(pot.key, pot.since, pot.limit, back, pot.unsaid))
                pot.free -= back  # before anything is awaited: it is not spent while it goes back
                pot.unsaid = 0
            if pots:
                await self._whole(self._told(pots, backs, now))

    def _to_tell(self, now: float, all: bool) -> Iterator[tuple[Pot, int]]:
        for each in self._meters.values():
            pot = self._current(each, now)
            scarce = pot.limit - pot.taken < pot.limit // 8
            kept = 0 if all or scarce or not pot.busy else slice_of(each)
            back = pot.free if pot.free < 0 else max(0, pot.free - kept)
            pot.busy = False
            if back or (pot.unsaid and (all or each.money)):
                yield pot, back
        for pot in tuple(self._over):
            if not pot.held:
                self._over.discard(pot)
            if pot.free or pot.unsaid:
                yield pot, pot.free

    async def _told(self, pots: Sequence[Pot], backs: Sequence[Back], now: float) -> None:
        """Where it fails what was to go back is lost until the window ends: nobody knows whether it arrived."""
        try:
            stands = await self._write(lambda c: rows.report(c, backs))
        except SizewiseError:
            current = {each.pot for each in self._meters.values()}
            for pot, told in zip(pots, backs, strict=True):
                pot.unsaid += told.spent
                pot.free += min(0, told.back)  # a debt stays one
                if pot not in current:
                    self._over.add(pot)
            raise
        for pot, stood in zip(pots, stands, strict=True):
            self._saw(pot, stood, now)

    async def _whole(self, work: Coroutine[object, None, T]) -> T:
        """Its end is noted also where whoever waits for it leaves: nothing taken gets lost."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited was told, or has left

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
        stood = await self._read(lambda c: rows.standing(c, wanted))
        listed = []
        for key, most, source, since, until in found:
            taken, spent = stood.get((key, since), (0, 0))
            listed.append(Standing(key, most, spent, taken, until, source))
        return listed

    def ratios(self) -> Iterator[tuple[str, str, str, float]]:
        """(organisation, scope, day or month, share that is spent) of each money budget that was used."""
        now = self._clock()
        for each in list(self._meters.values()):
            pot = each.pot
            if each.money and each.limit and now < pot.until:
                tenant, scope, unit = each.key
                yield tenant, scope, unit.partition("/")[2], (pot.spent + pot.unsaid) / each.limit

    def refusal(self, short: Short, load: Load | None = None, model: str = "") -> SizewiseError:
        """Why a request, or an attempt at a model, is not made: whose limit, what is left, when it renews."""
        its, pot = short.meter, short.meter.pot
        tenant, scope, unit = its.key
        whose = _whose(tenant, scope)
        wait = max(1, math.ceil(pot.until - self._clock()))
        limit = amount(unit, its.limit)
        if its.counts:
            return Busy(f"{whose} may make {limit} requests a minute", "wait for the next minute", retry_after=wait)
        if load is None or not its.money:
            if load is not None and load.beyond() is its:
                hint = "shorten the prompt, or have the limit raised"
                return Busy(f"{whose} may use {limit} tokens a minute, and this prompt alone has more", hint)
            need = "" if load is None else f" for a request that may need {load.tokens}"
            words = f"{whose} may use {limit} tokens a minute, and {amount(unit, short.left)} are left{need}"
            return Busy(words, "wait for the next minute, or ask for fewer tokens", retry_after=wait)
        every = unit.partition("/")[2]
        spent, held = pot.spent + pot.unsaid, max(0, pot.taken - pot.free - pot.spent - pot.unsaid)
        stood = "" if tenant == EVERYONE else f"{amount(unit, spent)} are spent and {amount(unit, held)} reserved, and "
        least = amount(unit, (load.worst(LEAST) if load.most is not None else load.money) or 0)
        return OverBudget(
            f"{whose} may spend {limit} dollars a {every}: {stood}asking {model} could cost {least}; "
            f"it renews at {told_time(pot.until)}",
            "ask for fewer tokens or of a cheaper model, or have the budget raised",
        )


class Entry:
    """One request at the door."""

    __slots__ = ("_budgets", "meters")

    def __init__(self, budgets: Budgets, counting: tuple[Meter, ...]) -> None:
        self._budgets = budgets
        self.meters = counting

    def need(self, each: Meter) -> int:
        return 1

    def at_once(self) -> bool:
        """It is spent as soon as it is held."""
        held = self._budgets.take(self.meters, 0, 0)
        meters.settle(held or (), 0, 0)
        return held is not None

    def shorten(self, short: Short) -> None:
        """Raises Busy."""
        raise self._budgets.refusal(short)


class Lease:
    """The right to make one attempt. `await hold()` before it, `settle` when it has ended, however it ended."""

    __slots__ = ("_budgets", "_held", "_load", "_model", "_priced", "meters")

    def __init__(self, budgets: Budgets, its: tuple[Meter, ...], card: Card, what: Chat | Embed, rules: Rules) -> None:
        self._budgets = budgets
        self.meters = its
        self._load = Load(its, card, what, rules.answer_tokens)
        self._priced = not self._load.unpriced or rules.unpriced == "allow"
        self._model = card.name
        self._held: list[Held] = []

    @property
    def most(self) -> int | None:
        """Tokens that the answer may have, where the client did not say; None: as many as it likes."""
        return self._load.most

    async def hold(self) -> None:
        """Raises OverBudget, Busy, or StoreFailed where nobody can tell."""
        if not self._priced:
            whose = next(_whose(*each.key[:2]) for each in self._load.meters if each.money)
            raise OverBudget(
                f"{self._model} has no known price, and {whose} has a budget",
                f'say its price under [models."{self._model}".price], or `unpriced = "allow"` in [budgets]',
            )
        if (beyond := self._load.beyond()) is not None:
            raise self._budgets.refusal(Short(beyond, 0), self._load, self._model)
        if not self.at_once():
            await self._budgets.hold(self)

    def need(self, each: Meter) -> int:
        load = self._load
        return load.money or 0 if each.money else 1 if each.counts else min(load.tokens, each.limit)

    def at_once(self) -> bool:
        held = self._budgets.take(self.meters, self._load.money or 0, self._load.tokens)
        self._held = held or []
        return held is not None

    def shorten(self, short: Short) -> None:
        """Asks for a shorter answer where that can be paid. Raises OverBudget or Busy where it cannot."""
        load = self._load
        if not short.meter.money or not load.shorten(short.left, LEAST):
            raise self._budgets.refusal(short, load, self._model)

    def settle(self, cost: int | None, tokens: int) -> None:
        """What it came to: pico-dollars, None where nobody knows, and tokens read and said. At once, and once."""
        held, self._held = self._held, []
        meters.settle(held, cost, tokens)


def slice_of(each: Meter) -> int:
    """What is taken beyond what is needed now, where there is plenty."""
    return each.limit // (64 if each.money else 16)


def told_time(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _whose(tenant: str, scope: str) -> str:
    kind, _, name = scope.partition(":")
    if kind == "organisation":
        return f"the organisation {tenant!r}"
    all = " of everyone together" if tenant == EVERYONE else ""
    return f"the {kind} {name!r}{all}"


def _shown(limit: Limit | None) -> dict[str, object] | None:
    if limit is None or limit == Limit():
        return None
    shown: dict[str, object] = to_builtins(limit)
    return {name: value for name, value in shown.items() if value is not None}
