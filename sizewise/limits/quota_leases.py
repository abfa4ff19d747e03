"""Slices of limits, taken of the shared store before they are spent, and given back; knows no caller and no model.

Kept whatever happens: nothing is spent that was not taken before, and nothing that was taken gets lost while this
worker lives. One that dies takes along until the window ends: of each limit a 64th (of a rate a 16th), what its
attempts under way could have cost, and what those of its last second had reserved too much. An idle one takes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from sizewise.errors import Busy, SizewiseError
from sizewise.limits import tables
from sizewise.limits.rules import Key
from sizewise.limits.tables import Back, Stands, Want
from sizewise.limits.windows import Meter, Meters, Pot, Pots
from sizewise.storage.database import Work

T = TypeVar("T")

FRESH_S = 0.5
"""For how long a worker believes what the store said was left, before it asks again in vain."""
ROUNDS = 100


class Do(Protocol):
    """Has something done with a connection, and waits for nobody else meanwhile."""

    def __call__(self, work: Work[T], /) -> Awaitable[T]: ...


Need = tuple[Meter, int]
"""What is missing of a limit."""


class Short(Struct, frozen=True):
    """The limit that had too little, and what is left of it."""

    meter: Meter
    left: int


class Wanted(Protocol):
    """A request or an attempt that wants to be held."""

    @property
    def meters(self) -> tuple[Meter, ...]: ...

    def at_once(self, now: float, /) -> bool:
        """Whether it is held now, without asking the store."""

    def need(self, each: Meter, /) -> int: ...

    def shorten(self, short: Short, /) -> None:
        """Wants less. Raises SizewiseError where it cannot."""


class Slices:
    """All limits of one worker. `alert` is told of thresholds that were reached. For one thread: the event loop."""

    def __init__(self, write: Do, clock: Callable[[], float], alert: Callable[[Pot, int], None]) -> None:
        self.clock = clock
        self.meters: dict[Key, Meter] = {}
        self._write = write
        self._alert = alert
        self._over: set[Pot] = set()  # of windows or limits that are over, until they are told and nothing is held
        self._touched: list[Pots] = []
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[object]] = set()

    def meter(self, key: Key, limit: int) -> Meter:
        found = self.meters.get(key)
        if found is None:
            found = self.meters[key] = Meter(key, limit, self.clock())
        return found

    def begin_anew(self) -> None:
        """Limits have changed: what is held of the old ones goes back as soon as it can."""
        self._over.update(each.pot for each in self.meters.values())
        self.meters.clear()

    def together(self, its: Sequence[Meter]) -> Meters:
        """Those that hold for the same attempts or requests."""
        return Meters(its, self._touched)

    def renew(self, its: Meters, now: float) -> None:
        """Opens the windows of `now` where others are over."""
        for each in its.all:
            self.current(each, now)
        its.renew()

    def share(self) -> None:
        """Every pot knows what was spent of it."""
        for each in self._touched:
            each.share()
        self._touched.clear()

    async def hold(self, wanted: Wanted) -> None:
        """One asks the store at a time, and whoever comes after it finds what is left of its slice."""
        async with self._turn:
            for _ in range(ROUNDS):
                if wanted.at_once(self.clock()):
                    return
                short = await self._more(wanted)
                if short is not None:
                    wanted.shorten(short)
        raise Busy("too many requests want the last of a limit at once", "send it again", retry_after=1)

    def current(self, each: Meter, now: float) -> Pot:
        if now >= each.pot.until:
            if each.money:
                self._over.add(each.pot)
            each.pot = each.opened(now)
        return each.pot

    async def _more(self, wanted: Wanted) -> Short | None:
        """Takes from the store what is missing; or says of which limit there is too little."""
        self.share()
        now, missing = self.clock(), list[Need]()
        for each in wanted.meters:
            need = wanted.need(each)
            if self.current(each, now).free < need:
                missing.append((each, need - each.pot.free))
        for each, need in missing:
            pot = each.pot
            if 0 <= now - pot.seen < FRESH_S and pot.limit - pot.taken < need:
                pot.full = True
                return Short(each, pot.left)
        if not missing:
            return None
        return await self._whole(self._topped_up(missing, now))

    async def _topped_up(self, missing: Sequence[Need], now: float) -> Short | None:
        wants = []
        for each, need in missing:
            pot = each.pot
            wants.append(Want(pot.key, pot.since, pot.limit, need, slice_of(each), pot.unsaid))
            pot.says(pot.unsaid)
        pots = [each.pot for each, _ in missing]
        try:
            enough, stands = await self._write(lambda c: tables.take(c, wants))
        except SizewiseError:
            for pot, want in zip(pots, wants, strict=True):
                pot.says(-want.spent)
            raise
        for (each, _), pot, stood in zip(missing, pots, stands, strict=True):
            pot.gets(stood.got)
            self._saw(pot, stood, now)
            if self.meters.get(pot.key) is not each or each.pot is not pot:  # it is over meanwhile
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

    async def tidy(self, all: bool = False) -> None:
        """Tells the store what was spent, and gives back what is not needed; `all`: whatever no attempt holds.

        A slice is kept while it is used and there is plenty for others. Raises StoreFailed.
        """
        async with self._turn:
            self.share()
            now = self.clock()
            pots, backs = [], []
            for pot, back in tuple(self._to_tell(now, all)):
                pots.append(pot)
                backs.append(Back(pot.key, pot.since, pot.limit, back, pot.unsaid, pot.full))
                pot.gets(-back)  # before anything is awaited: it is not spent while it goes back
                pot.says(pot.unsaid)
                pot.full = False
            if pots:
                await self._whole(self._told(pots, backs, now))

    def _to_tell(self, now: float, all: bool) -> Iterator[tuple[Pot, int]]:
        for each in self.meters.values():
            pot = self.current(each, now)
            scarce = pot.limit - pot.taken < pot.limit // 8
            kept = 0 if all or scarce or not pot.busy else slice_of(each)
            back = pot.free if pot.free < 0 else max(0, pot.free - kept)
            pot.busy = False
            if back or ((pot.unsaid or pot.full) and (all or each.money)):
                yield pot, back
        for pot in tuple(self._over):
            if not pot.held:
                self._over.discard(pot)
            if pot.free or pot.unsaid:
                yield pot, pot.free

    async def _told(self, pots: Sequence[Pot], backs: Sequence[Back], now: float) -> None:
        """Where it fails what was to go back is lost until the window ends: nobody knows whether it arrived."""
        try:
            stands = await self._write(lambda c: tables.report(c, backs))
        except SizewiseError:
            current = {each.pot for each in self.meters.values()}
            for pot, told in zip(pots, backs, strict=True):
                pot.says(-told.spent)
                pot.gets(min(0, told.back))  # a debt stays one
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


def slice_of(each: Meter) -> int:
    """What is taken beyond what is needed now, where there is plenty."""
    return each.limit // (64 if each.money else 16)
