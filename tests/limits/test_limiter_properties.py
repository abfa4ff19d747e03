"""Whatever workers do, in any order: no limit is passed, and when all is settled everything unspent can be spent."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from sizewise.errors import BudgetExceeded, Busy, SizewiseError, StorageError
from sizewise.limits.rate_limiter import Limiter
from sizewise.limits.reservations import Reservation
from sizewise.limits.rules import Limit, ScopedLimit, Unit, window_bounds
from sizewise.limits.windows import LimitCounter, LimitWindow
from sizewise.messages import ChatRequest
from sizewise.principal import Principal
from tests.limits.limiter_harness import MODEL, Shop, chat, worst
from tests.properties import examples, tried_with_all

pytestmark = tried_with_all

DAY, MONTH, TOKENS, REQUESTS = 5_000_000, 20_000_000, 4_000, 12
UNITS: tuple[Unit, ...] = ("usd/day", "usd/month", "tokens/minute")
CALLERS = [
    Principal("local", "shop", "sw-anna"),
    Principal("local", "lab", "sw-bert"),
    Principal("local", "shop", "sw-cleo"),
]
KEYS: list[tuple[str, str, Unit, int]] = [
    ("local", "organization", "usd/month", MONTH),
    ("local", "project:shop", "usd/day", DAY),
    ("local", "key:sw-bert", "usd/day", DAY // 2),
    ("local", "model:echo/small", "tokens/minute", TOKENS),
]


@dataclass(eq=False)
class Flight:
    """An attempt that is held. `windows`: what the test itself says that it may cost at most, by key and window."""

    worker: Limiter
    lease: Reservation
    windows: dict[tuple[str, str, Unit, int], int]


@dataclass(eq=False)
class Waiting:
    worker: Limiter
    lease: Reservation
    task: asyncio.Task[None]
    what: ChatRequest
    caller: Principal
    at: float


def held_by(lease: Reservation) -> list[tuple[LimitWindow, int, LimitCounter]]:
    """How much of which window."""
    its = lease._windows
    pots = {} if its is None else {pot.key: pot for pot in (*its.money, *its.tokens, *its.requests)}
    return [(pots[each.key], lease.required(each), each) for each in lease.counters if pots]


class Spending(RuleBasedStateMachine):
    flights = Bundle("flights")
    waiting = Bundle("waiting")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.shop = Shop(Path(self.folder.name))
        first = self.shop.worker()
        limits = {"organization": Limit(usd_month=MONTH), "project:shop": Limit(requests_minute=REQUESTS, usd_day=DAY)}
        limits |= {"key:sw-bert": Limit(usd_day=DAY // 2), "model:echo/small": Limit(tokens_minute=TOKENS)}
        for scope, limit in limits.items():
            self.run(first.set_limit(ScopedLimit("local", scope, limit), CALLERS[0]))
        self.workers = [first, self.shop.worker(shared=True), self.shop.worker(shared=True)]
        self.spent: dict[tuple[str, str, Unit, int], int] = {}  # settled, by key and window
        self.lost: dict[tuple[str, str, Unit, int], int] = {}  # held by workers that have died: maybe spent
        self.gone: dict[tuple[str, str, Unit, int], int] = {}  # taken by workers that have died, and not spent
        self.open: list[Flight] = []
        self.pending: list[Waiting] = []
        self.entered: dict[int, int] = {}
        self.tidying: list[tuple[Limiter, asyncio.Task[None]]] = []

    def run(self, work: object) -> object:
        return self.loop.run_until_complete(work)  # type: ignore[arg-type]  # whatever can be awaited

    def windows(self, principal: Principal, tokens: int, cost: int, at: float) -> dict[tuple[str, str, Unit, int], int]:
        scopes = {"organization", f"project:{principal.project}", f"key:{principal.key_id}", "model:echo/small"}
        mine = [each for each in KEYS if each[1] in scopes]
        return {(t, s, u, window_bounds(u, at)[0]): tokens if u == "tokens/minute" else cost for t, s, u, _ in mine}

    def flown(self, one: Waiting) -> Flight:
        """`tokens` as the meter estimates them, which is not promised: only what it holds is."""
        held = {
            (*pot.key, pot.starts_at): amount for pot, amount, its in held_by(one.lease) if not its.is_request_count
        }
        cost = worst(one.what, one.lease.max_tokens)
        for (tenant, scope, unit, since), amount in held.items():
            assert unit == "tokens/minute" or amount == cost, (tenant, scope, since)
        flight = Flight(one.worker, one.lease, held)
        self.open.append(flight)
        return flight

    # ---- rules

    @rule(
        target=flights,
        worker=st.integers(0, 2),
        caller=st.sampled_from(CALLERS),
        words=st.integers(1, 300),
        out=st.sampled_from([None, 16, 300, 900]),
    )
    def attempt(self, worker: int, caller: Principal, words: int, out: int | None) -> Flight | None:
        budgets, what = self.workers[worker], chat("x" * words, out)
        lease = budgets.reserve(caller, MODEL, what)
        assert lease is not None
        try:
            self.run(lease.acquire())
        except (BudgetExceeded, Busy):
            return None
        waiting = Waiting(budgets, lease, None, what, caller, self.shop.clock())  # type: ignore[arg-type]  # it is over
        return self.flown(waiting)

    @rule(target=waiting, worker=st.integers(0, 2), caller=st.sampled_from(CALLERS), out=st.sampled_from([None, 500]))
    def begin(self, worker: int, caller: Principal, out: int | None) -> Waiting:
        budgets, what = self.workers[worker], chat("Hello there", out)
        lease = budgets.reserve(caller, MODEL, what)
        assert lease is not None
        task = self.loop.create_task(lease.acquire())
        one = Waiting(budgets, lease, task, what, caller, self.shop.clock())
        self.pending.append(one)
        return one

    @rule(steps=st.integers(0, 4))
    def turn(self, steps: int) -> None:
        for _ in range(steps):
            self.run(asyncio.sleep(0))

    @rule(one=consumes(waiting))
    def client_leaves_while_it_waits(self, one: Waiting) -> None:
        if one not in self.pending:
            return
        one.task.cancel()
        self.ended(one)

    @rule(target=flights, one=consumes(waiting))
    def wait(self, one: Waiting) -> Flight | None:
        return self.ended(one) if one in self.pending else None

    def ended(self, one: Waiting) -> Flight | None:
        self.pending.remove(one)
        try:
            self.run(one.task)
        except (SizewiseError, asyncio.CancelledError):
            one.lease.settle(0, 0)
            assert held_by(one.lease) == []
            return None
        return self.flown(one)

    @rule(flight=consumes(flights), share=st.floats(0, 1), known=st.booleans())
    def settle(self, flight: Flight | None, share: float, known: bool) -> None:
        if flight is None or flight not in self.open:
            return
        self.open.remove(flight)
        tokens = min((amount for (*_, u, _), amount in flight.windows.items() if u == "tokens/minute"), default=0)
        cost = min((amount for (*_, u, _), amount in flight.windows.items() if u != "tokens/minute"), default=0)
        came, used = int(cost * share), int(tokens * share)
        flight.lease.settle(came if known else None, used)
        flight.lease.settle(came, used)  # once is enough
        for key in flight.windows:
            booked = used if key[2] == "tokens/minute" else came if known else cost
            self.spent[key] = self.spent.get(key, 0) + booked

    @rule(worker=st.integers(0, 2), all=st.booleans())
    def tidy(self, worker: int, all: bool) -> None:
        self.run(self.workers[worker].flush(all))

    @rule(worker=st.integers(0, 2), all=st.booleans())
    def begin_to_tidy(self, worker: int, all: bool) -> None:
        self.tidying.append((self.workers[worker], self.loop.create_task(self.workers[worker].flush(all))))

    @rule(worker=st.integers(0, 2))
    def the_disk_is_full_for_a_moment(self, worker: int) -> None:
        budgets = self.workers[worker]
        self.tidied()
        for one in [each for each in self.pending if each.worker is budgets]:
            self.ended(one)
        before = {pot: pot.available for pot in self.pots_of(budgets)}
        self.shop.fails = StorageError("the disk is full")
        try:
            self.run(budgets.flush(True))
        except StorageError:
            pass
        self.shop.fails = None
        for pot, free in before.items():
            self.note(self.gone, (*pot.key, pot.starts_at), max(0, free - pot.available))

    @rule(worker=st.integers(0, 2))
    def a_worker_dies(self, worker: int) -> None:
        budgets = self.workers[worker]
        self.tidied()
        for one in [each for each in self.pending if each.worker is budgets]:
            self.ended(one)
        for flight in [each for each in self.open if each.worker is budgets]:
            self.open.remove(flight)
            for key, amount in flight.windows.items():
                self.note(self.lost, key, amount)
        for pot in self.pots_of(budgets):
            self.note(self.gone, (*pot.key, pot.starts_at), pot.available + pot.in_use + pot.unreported)
        self.workers[worker] = self.shop.worker(shared=True)

    def tidied(self) -> None:
        while self.tidying:
            self.run(self.tidying.pop()[1])

    def pots_of(self, budgets: Limiter) -> set:  # type: ignore[type-arg]  # of Pots
        return {each.window for each in budgets._leases.counters.values()} | budgets._leases._closed_windows

    def note(self, where: dict, key: tuple, amount: int) -> None:  # type: ignore[type-arg]  # of sums by pot
        where[key] = where.get(key, 0) + amount

    @rule(seconds=st.sampled_from([0.3, 1, 20, 61, 43_200, 20 * 86_400]))
    def time_goes_on(self, seconds: float) -> None:
        self.shop.clock.now += seconds

    @rule(worker=st.integers(0, 2), caller=st.sampled_from(CALLERS))
    def request(self, worker: int, caller: Principal) -> None:
        minute = window_bounds("requests/minute", self.shop.clock())[0]
        try:
            waits = self.workers[worker].count_request(caller)
            if waits is not None:
                self.run(waits)
        except Busy:
            return
        if caller.project == "shop":
            self.entered[minute] = self.entered.get(minute, 0) + 1

    # ---- what must hold

    @invariant()
    def nothing_is_overspent(self) -> None:
        for tenant, scope, unit, limit in KEYS:
            for key in {key for key in (*self.spent, *self.lost) if key[:3] == (tenant, scope, unit)}:
                flying = sum(flight.windows.get(key, 0) for flight in self.open)
                assert self.spent.get(key, 0) + self.lost.get(key, 0) + flying <= limit, key
        assert all(count <= REQUESTS for count in self.entered.values())

    def teardown(self) -> None:
        try:
            self.nothing_is_stuck()
        finally:
            self.shop.database.close()
            self.folder.cleanup()
            self.loop.close()

    def nothing_is_stuck(self) -> None:
        """When all has ended, what nobody spent is there again, but for what the dead took along."""
        for one in list(self.pending):
            self.ended(one)
        for flight in list(self.open):
            self.settle(flight, 0.5, True)
        self.tidied()
        for worker in self.workers:
            self.run(worker.close())
        for key, spent in self.spent.items():
            tenant, scope, unit, since = key
            taken, told = self.shop.window((tenant, scope, unit), since)
            if unit == "tokens/minute" and self.shop.clock() >= since + 60:
                continue  # a minute that is over is not told any more
            assert taken == told + self.gone.get(key, 0), key
            assert told <= spent <= taken, key
            if not self.gone.get(key):
                assert told == spent, key


TestSpending = Spending.TestCase
TestSpending.settings = settings(examples(50), stateful_step_count=40)
