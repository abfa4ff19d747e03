"""Quota leased from the shared store before it is spent, and returned; knows neither principals nor models.

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
from sizewise.limits.rules import LimitKey
from sizewise.limits.tables import LeaseRequest, LeaseReturn, WindowState
from sizewise.limits.windows import LimitCounter, LimitCounters, LimitWindow, LimitWindows
from sizewise.storage.database import UnitOfWork

T = TypeVar("T")

REFRESH_S = 0.5
"""For how long a worker believes what the store said was left, before it asks again in vain."""
MAX_ROUNDS = 100


class RunWork(Protocol):
    """Has something done with a connection, and waits for nobody else meanwhile."""

    def __call__(self, work: UnitOfWork[T], /) -> Awaitable[T]: ...


MissingQuota = tuple[LimitCounter, int]
"""What is missing of a limit."""


class QuotaShortfall(Struct, frozen=True):
    """The limit that had too little, and what is left of it."""

    counter: LimitCounter
    remaining: int


class QuotaRequest(Protocol):
    """A request or an attempt that wants to be held."""

    @property
    def counters(self) -> tuple[LimitCounter, ...]: ...

    def acquire_locally(self, now: float, /) -> bool:
        """Whether it is held now, without asking the store."""

    def required(self, counter: LimitCounter, /) -> int: ...

    def reduce(self, shortfall: QuotaShortfall, /) -> None:
        """Wants less. Raises SizewiseError where it cannot."""


class QuotaLeases:
    """All limits of one worker. `alert` is told of thresholds that were reached. For one thread: the event loop."""

    def __init__(self, write: RunWork, clock: Callable[[], float], alert: Callable[[LimitWindow, int], None]) -> None:
        self.clock = clock
        self.counters: dict[LimitKey, LimitCounter] = {}
        self._write = write
        self._alert = alert
        self._closed_windows: set[LimitWindow] = (
            set()
        )  # of windows or limits that are over, until they are told and nothing is held
        self._dirty: list[LimitWindows] = []
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[object]] = set()

    def counter(self, key: LimitKey, limit: int) -> LimitCounter:
        found = self.counters.get(key)
        if found is None:
            found = self.counters[key] = LimitCounter(key, limit, self.clock())
        return found

    def reset(self) -> None:
        """Limits have changed: what is held of the old ones goes back as soon as it can."""
        self._closed_windows.update(each.window for each in self.counters.values())
        self.counters.clear()

    def group(self, counters: Sequence[LimitCounter]) -> LimitCounters:
        """Those that hold for the same attempts or requests."""
        return LimitCounters(counters, self._dirty)

    def renew_windows(self, counters: LimitCounters, now: float) -> None:
        """Opens the windows of `now` where others are over."""
        for each in counters.all:
            self.current_window(each, now)
        counters.renew()

    def distribute(self) -> None:
        """Every pot knows what was spent of it."""
        for each in self._dirty:
            each.distribute()
        self._dirty.clear()

    async def acquire(self, request: QuotaRequest) -> None:
        """One asks the store at a time, and whoever comes after it finds what is left of its slice."""
        async with self._lock:
            for _ in range(MAX_ROUNDS):
                if request.acquire_locally(self.clock()):
                    return
                short = await self._lease_missing(request)
                if short is not None:
                    request.reduce(short)
        raise Busy("too many requests want the last of a limit at once", "send it again", retry_after=1)

    def current_window(self, counter: LimitCounter, now: float) -> LimitWindow:
        if now >= counter.window.ends_at:
            if counter.is_money:
                self._closed_windows.add(counter.window)
            counter.window = counter.open_window(now)
        return counter.window

    async def _lease_missing(self, request: QuotaRequest) -> QuotaShortfall | None:
        """Takes from the store what is missing; or says of which limit there is too little."""
        self.distribute()
        now, missing = self.clock(), list[MissingQuota]()
        for each in request.counters:
            need = request.required(each)
            if self.current_window(each, now).available < need:
                missing.append((each, need - each.window.available))
        for each, need in missing:
            pot = each.window
            if 0 <= now - pot.refreshed_at < REFRESH_S and pot.limit - pot.allocated < need:
                pot.exhausted = True
                return QuotaShortfall(each, pot.remaining)
        if not missing:
            return None
        return await self._shield(self._lease(missing, now))

    async def _lease(self, missing: Sequence[MissingQuota], now: float) -> QuotaShortfall | None:
        wants = []
        for each, need in missing:
            pot = each.window
            wants.append(LeaseRequest(pot.key, pot.starts_at, pot.limit, need, lease_size(each), pot.unreported))
            pot.mark_reported(pot.unreported)
        pots = [each.window for each, _ in missing]
        try:
            enough, stands = await self._write(lambda c: tables.lease_quota(c, wants))
        except SizewiseError:
            for pot, want in zip(pots, wants, strict=True):
                pot.mark_reported(-want.spent)
            raise
        for (each, _), pot, stood in zip(missing, pots, stands, strict=True):
            pot.add_lease(stood.leased)
            self._update_window(pot, stood, now)
            if self.counters.get(pot.key) is not each or each.window is not pot:  # it is over meanwhile
                self._closed_windows.add(pot)
        if enough:
            return None
        full = next(
            number
            for number, stood in enumerate(stands)
            if wants[number].limit - stood.allocated < wants[number].required
        )
        each, pot = missing[full][0], pots[full]
        return (
            QuotaShortfall(each, pot.remaining) if each.window is pot else None
        )  # its window is over meanwhile: that is another try

    def _update_window(self, window: LimitWindow, state: WindowState, now: float) -> None:
        window.allocated, window.spent, window.refreshed_at = state.allocated, state.spent, now
        for percent in state.thresholds:
            self._alert(window, percent)

    async def flush(self, all: bool = False) -> None:
        """Tells the store what was spent, and gives back what is not needed; `all`: whatever no attempt holds.

        A slice is kept while it is used and there is plenty for others. Raises StoreFailed.
        """
        async with self._lock:
            self.distribute()
            now = self.clock()
            pots, backs = [], []
            for pot, back in tuple(self._windows_to_flush(now, all)):
                pots.append(pot)
                backs.append(LeaseReturn(pot.key, pot.starts_at, pot.limit, back, pot.unreported, pot.exhausted))
                pot.add_lease(-back)  # before anything is awaited: it is not spent while it goes back
                pot.mark_reported(pot.unreported)
                pot.exhausted = False
            if pots:
                await self._shield(self._flush_windows(pots, backs, now))

    def _windows_to_flush(self, now: float, all: bool) -> Iterator[tuple[LimitWindow, int]]:
        for each in self.counters.values():
            pot = self.current_window(each, now)
            scarce = pot.limit - pot.allocated < pot.limit // 8
            kept = 0 if all or scarce or not pot.recently_used else lease_size(each)
            back = pot.available if pot.available < 0 else max(0, pot.available - kept)
            pot.recently_used = False
            if back or ((pot.unreported or pot.exhausted) and (all or each.is_money)):
                yield pot, back
        for pot in tuple(self._closed_windows):
            if not pot.in_use:
                self._closed_windows.discard(pot)
            if pot.available or pot.unreported:
                yield pot, pot.available

    async def _flush_windows(self, windows: Sequence[LimitWindow], returns: Sequence[LeaseReturn], now: float) -> None:
        """Where it fails what was to go back is lost until the window ends: nobody knows whether it arrived."""
        try:
            stands = await self._write(lambda c: tables.return_quota(c, returns))
        except SizewiseError:
            current = {each.window for each in self.counters.values()}
            for pot, told in zip(windows, returns, strict=True):
                pot.mark_reported(-told.spent)
                pot.add_lease(min(0, told.amount))  # a debt stays one
                if pot not in current:
                    self._closed_windows.add(pot)
            raise
        for pot, stood in zip(windows, stands, strict=True):
            self._update_window(pot, stood, now)

    async def _shield(self, work: Coroutine[object, None, T]) -> T:
        """Its end is noted also where whoever waits for it leaves: nothing taken gets lost."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return await asyncio.shield(task)

    def _on_task_done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited was told, or has left


def lease_size(counter: LimitCounter) -> int:
    """What is taken beyond what is needed now, where there is plenty."""
    return counter.limit // (64 if counter.is_money else 16)
