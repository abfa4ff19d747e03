"""Quota leased from the shared store before it is spent, and returned; knows neither principals nor models.

Invariant: nothing is spent that was not leased, and no lease is lost while this worker lives. A worker that dies
holds back until the window ends: a 64th of each limit (a 16th of each rate), the most that its running attempts could
cost, and what attempts of its last second reserved and did not use. An idle worker leases nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from sizewise.errors import Busy, SizewiseError
from sizewise.limits import tables
from sizewise.limits.rules import LimitKey
from sizewise.limits.tables import AddAlert, LeaseRequest, LeaseReturn, WindowState
from sizewise.limits.windows import LimitCounter, LimitCounters, LimitWindow, LimitWindows
from sizewise.storage.database import AsyncTransactionRunner

T = TypeVar("T")

REFRESH_S = 0.5
"""Seconds for which a worker trusts the remaining quota read from the store, before it asks again."""
MAX_ROUNDS = 100


MissingQuota = tuple[LimitCounter, int]
"""A counter and the amount that it lacks."""


class QuotaShortfall(Struct, frozen=True):
    """The limit that was too low, and its remainder."""

    counter: LimitCounter
    remaining: int


class QuotaRequest(Protocol):
    """A request or attempt that needs quota."""

    @property
    def counters(self) -> tuple[LimitCounter, ...]: ...

    def acquire_locally(self, now: float, /) -> bool:
        """Whether the quota is held now, without a call to the store."""

    def required(self, counter: LimitCounter, /) -> int: ...

    def reduce(self, shortfall: QuotaShortfall, /) -> None:
        """Needs less. Raises SizewiseError if it cannot."""


class QuotaLeases:
    """All limits of one worker. For one thread: the event loop."""

    def __init__(self, write: AsyncTransactionRunner, clock: Callable[[], float], alert: AddAlert) -> None:
        self.clock = clock
        self.counters: dict[LimitKey, LimitCounter] = {}
        self._write = write
        self._alert = alert
        self._closed_windows: set[LimitWindow] = set()  # of past windows or removed limits, until reported and unused
        self._dirty: list[LimitWindows] = []
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[object]] = set()

    def counter(self, key: LimitKey, limit: int) -> LimitCounter:
        found = self.counters.get(key)
        if found is None:
            found = self.counters[key] = LimitCounter(key, limit, self.clock())
        return found

    def reset(self) -> None:
        """Limits have changed: leases of the old limits are returned as soon as possible."""
        self._closed_windows.update(each.window for each in self.counters.values())
        self.counters.clear()

    def group(self, counters: Sequence[LimitCounter]) -> LimitCounters:
        """Counters that apply to the same attempts or requests."""
        return LimitCounters(counters, self._dirty)

    def renew_windows(self, counters: LimitCounters, now: float) -> None:
        """Opens the windows of `now` where the current ones have ended."""
        for each in counters.all:
            self.current_window(each, now)
        counters.renew()

    def distribute(self) -> None:
        """Adds summed spending to each window."""
        for each in self._dirty:
            each.distribute()
        self._dirty.clear()

    async def acquire(self, request: QuotaRequest) -> None:
        """Calls the store one request at a time; the next request finds what is left of the lease.

        Raises Busy after MAX_ROUNDS, or the error of `request.reduce`.
        """
        async with self._lock:
            for _ in range(MAX_ROUNDS):
                if request.acquire_locally(self.clock()):
                    return
                short = await self._lease_missing(request)
                if short is not None:
                    request.reduce(short)
        raise Busy("too many requests compete for the rest of a limit", "retry", retry_after=1)

    def current_window(self, counter: LimitCounter, now: float) -> LimitWindow:
        if now >= counter.window.ends_at:
            if counter.is_money:
                self._closed_windows.add(counter.window)
            counter.window = counter.open_window(now)
        return counter.window

    async def _lease_missing(self, request: QuotaRequest) -> QuotaShortfall | None:
        """Leases what is missing, or returns the limit that has too little."""
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
            wants.append(
                LeaseRequest(
                    key=pot.key,
                    starts_at=pot.starts_at,
                    limit=pot.limit,
                    required=need,
                    extra=lease_size(each),
                    spent=pot.unreported,
                )
            )
            pot.mark_reported(pot.unreported)
        pots = [each.window for each, _ in missing]
        try:
            enough, stands = await self._write(lambda c: tables.lease_quota(c, wants, self._alert))
        except SizewiseError:
            for pot, want in zip(pots, wants, strict=True):
                pot.mark_reported(-want.spent)
            raise
        for (each, _), pot, stood in zip(missing, pots, stands, strict=True):
            pot.add_lease(stood.leased)
            self._update_window(pot, stood, now)
            if self.counters.get(pot.key) is not each or each.window is not pot:  # it has ended meanwhile
                self._closed_windows.add(pot)
        if enough:
            return None
        full = next(
            number
            for number, stood in enumerate(stands)
            if wants[number].limit - stood.allocated < wants[number].required
        )
        each, pot = missing[full][0], pots[full]
        return QuotaShortfall(each, pot.remaining) if each.window is pot else None  # its window has ended: try again

    def _update_window(self, window: LimitWindow, state: WindowState, now: float) -> None:
        window.allocated, window.spent, window.refreshed_at = state.allocated, state.spent, now

    async def flush(self, all: bool = False) -> None:
        """Reports spending to the store and returns unused quota; `all`: everything that no attempt holds.

        A lease in use is kept while plenty is left for others. Raises StorageError.
        """
        async with self._lock:
            self.distribute()
            now = self.clock()
            pots, backs = [], []
            for pot, back in tuple(self._windows_to_flush(now, all)):
                pots.append(pot)
                backs.append(
                    LeaseReturn(
                        key=pot.key,
                        starts_at=pot.starts_at,
                        limit=pot.limit,
                        amount=back,
                        spent=pot.unreported,
                        exhausted=pot.exhausted,
                    )
                )
                pot.add_lease(-back)  # before anything is awaited, so that it is not spent while it is returned
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
        """If it fails, returned quota is lost until the window ends: the write may have succeeded."""
        try:
            stands = await self._write(lambda c: tables.return_quota(c, returns, self._alert))
        except SizewiseError:
            current = {each.window for each in self.counters.values()}
            for pot, told in zip(windows, returns, strict=True):
                pot.mark_reported(-told.spent)
                pot.add_lease(min(0, told.amount))  # a debt remains
                if pot not in current:
                    self._closed_windows.add(pot)
            raise
        for pot, stood in zip(windows, stands, strict=True):
            self._update_window(pot, stood, now)

    async def _shield(self, work: Coroutine[object, None, T]) -> T:
        """Lets `work` finish even if its caller is cancelled, so that no lease is lost."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return await asyncio.shield(task)

    def _on_task_done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # already raised to the caller, or the caller was cancelled


def lease_size(counter: LimitCounter) -> int:
    """The amount leased beyond the current need, if plenty is left."""
    return counter.limit // (64 if counter.is_money else 16)
