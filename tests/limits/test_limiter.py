"""Limits held by workers of one store: what is reserved and comes back, who is told, and what a refusal says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from sizewise.errors import BadRequest, BudgetExceeded, Busy, StorageError
from sizewise.limits.rate_limiter import Limiter, LimitStatus
from sizewise.limits.rules import Limit, LimitKey, ScopedLimit, window_bounds
from sizewise.messages import EmbeddingRequest
from sizewise.money import FREE, PICO_PER_DOLLAR, UNKNOWN_PRICE, Price, format_dollars
from sizewise.principal import Principal
from sizewise.providers.echo import echo_card
from sizewise.settings.limits import BudgetsSettings, LimitsSettings
from tests.limits.limiter_harness import ANNA, MODEL, NOON, READ, SAID, Shop, chat, held, worst

DAY: LimitKey = ("local", "project:shop", "usd/day")
TODAY = window_bounds("usd/day", NOON)[0]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.database.close()


async def limited(shop: Shop, scope: str = "project:shop", **limits: int) -> Limiter:
    budgets = shop.worker()
    await budgets.set_limit(ScopedLimit("local", scope, Limit(**limits)), ANNA)
    return budgets


def standing(listed: list[LimitStatus]) -> tuple[int, int]:
    """(taken, spent) of the one limit."""
    (only,) = listed
    return only.allocated, only.spent


def test_without_a_limit_there_is_nothing_to_hold(shop: Shop) -> None:
    budgets = shop.worker()
    assert budgets.reserve(ANNA, MODEL, chat()) is None
    assert budgets.count_request(ANNA) is None
    assert budgets.remaining_quotas(ANNA) == []


async def test_a_limit_of_others_is_nothing_to_a_caller(shop: Shop) -> None:
    budgets = await limited(shop, "project:lab", usd_day=1, requests_minute=1)
    assert budgets.reserve(ANNA, MODEL, chat()) is None
    assert budgets.count_request(ANNA) is None


async def test_the_worst_case_is_held_and_what_was_not_spent_comes_back(shop: Shop) -> None:
    what = chat("Hello", 100)
    budgets = await limited(shop, usd_day=2 * worst(what))
    one, other = await held(budgets, what), await held(budgets, what)
    with pytest.raises(BudgetExceeded, match=r"'shop' has a budget .* reserved"):
        await held(budgets, what)
    one.settle(1_000, 2)
    other.settle(2_000, 2)
    await held(budgets, what)
    assert standing(await budgets.list_statuses("local")) == (3_000 + worst(what), 3_000)


async def test_an_attempt_that_finds_room_in_what_was_taken_is_held_at_once(shop: Shop) -> None:
    what = chat("Hello", 100)
    budgets = await limited(shop, usd_day=2 * worst(what), tokens_minute=10_000, requests_minute=2)
    first = budgets.reserve(ANNA, MODEL, what)
    assert first is not None and not first.try_acquire()  # the store has not been asked
    await first.acquire()
    first.settle(0, 1)
    again, beyond = budgets.reserve(ANNA, MODEL, what), budgets.reserve(ANNA, MODEL, chat("x" * 50_000, 5))
    assert again is not None and again.try_acquire()
    assert beyond is not None and not beyond.try_acquire()
    with pytest.raises(Busy, match="this prompt alone"):
        await beyond.acquire()
    again.settle(7, 3)
    await budgets.flush(all=True)
    assert shop.window(DAY, TODAY) == (7, 7)


async def test_a_clock_that_is_set_back_leaves_nobody_outside(shop: Shop) -> None:
    what = chat()
    budgets = await limited(shop, usd_day=10 * worst(what), tokens_minute=10_000, requests_minute=100)
    for turn in (86_400, -86_400, 60, -60, 0):
        await enters(budgets)
        (await held(budgets, what)).settle(5, 1)
        shop.clock.now += turn
        await budgets.flush(all=True)
    assert sum(shop.window(DAY, TODAY + day * 86_400)[1] for day in (0, 1)) == 25


async def test_an_answer_of_no_said_length_is_cut_to_what_can_be_paid(shop: Shop) -> None:
    what = chat("Hello", None)
    budgets = await limited(shop, usd_day=worst(what, 500))
    lease = await held(budgets, what)
    assert lease.max_tokens == 500
    lease.settle(worst(what, 490), 0)
    with pytest.raises(BudgetExceeded, match="renews at 2027-01-16T00:00:00Z"):
        await held(budgets, what)  # 16 tokens could not be paid any more


async def test_a_large_budget_bounds_an_answer_only_by_the_setting(shop: Shop) -> None:
    budgets = await limited(shop, usd_day=PICO_PER_DOLLAR)
    assert (await held(budgets, chat("Hello", None))).max_tokens == 4_096
    budgets.prepare({}, BudgetsSettings(default_max_tokens=100))()
    assert (await held(budgets, chat("Hello", None))).max_tokens == 100
    assert (await held(budgets, chat("Hello", 50))).max_tokens is None


async def test_an_unknown_price_is_refused_under_a_budget_unless_it_is_allowed(shop: Shop) -> None:
    unknown = echo_card("echo/unknown", price=UNKNOWN_PRICE)
    budgets = await limited(shop, usd_day=PICO_PER_DOLLAR)
    with pytest.raises(BudgetExceeded, match="is unknown, and") as refused:
        await held(budgets, chat(), card=unknown)
    assert "unpriced" in refused.value.hint
    budgets.prepare({}, BudgetsSettings(unpriced="allow"))()
    (await held(budgets, chat(), card=unknown)).settle(None, 10)
    assert standing(await budgets.list_statuses("local")) == (0, 0)


async def test_a_free_model_is_asked_by_whoever_has_no_money_left(shop: Shop) -> None:
    budgets = await limited(shop, usd_day=0)
    lease = await held(budgets, chat("Hello", None), card=echo_card("echo/free", price=FREE))
    assert lease.max_tokens is None
    with pytest.raises(BudgetExceeded):
        await held(budgets, chat())


async def test_a_cost_that_nobody_knows_counts_as_the_worst(shop: Shop) -> None:
    budgets, what = await limited(shop, usd_day=PICO_PER_DOLLAR), chat()
    (await held(budgets, what)).settle(None, 10)
    assert standing(await budgets.list_statuses("local")) == (worst(what), worst(what))


async def test_more_than_the_worst_case_is_a_debt_that_the_next_one_meets(shop: Shop) -> None:
    """A file in the prompt came to more tokens than anybody could foresee."""

    what = chat()
    budgets, other = await limited(shop, usd_day=3 * worst(what)), shop.worker()
    (await held(budgets, what)).settle(5 * worst(what), 10)
    with pytest.raises(BudgetExceeded):
        await held(budgets, what)
    await budgets.flush()
    with pytest.raises(BudgetExceeded):
        await held(other, what)
    assert standing(await other.list_statuses("local")) == (5 * worst(what), 5 * worst(what))


async def test_the_stricter_of_file_and_database_holds(shop: Shop) -> None:
    budgets = await limited(shop, requests_minute=5, usd_day=PICO_PER_DOLLAR)
    budgets.prepare(
        {"project:shop": LimitsSettings(requests_per_minute=2, tokens_per_minute=9, usd_per_day="3")},
        BudgetsSettings(),
    )()
    listed = await budgets.list_statuses("local")
    assert [(each.key[2], each.limit, each.source) for each in listed] == [
        ("requests/minute", 2, "both"),
        ("usd/day", PICO_PER_DOLLAR, "both"),
        ("tokens/minute", 9, "file"),
    ]


async def enters(budgets: Limiter, principal: Principal = ANNA) -> None:
    waits = budgets.count_request(principal)
    if waits is not None:
        await waits


async def test_requests_a_minute_are_counted_over_all_workers_and_renew(shop: Shop) -> None:
    budgets, other = await limited(shop, "user:anna", requests_minute=3), shop.worker()
    for each in (budgets, other, budgets):
        await enters(each)
    shop.clock.now += 30
    with pytest.raises(Busy) as refused:
        await enters(other)
    assert refused.value.retry_after == 30
    await enters(other, Principal("local", "shop", "sw-anna"))  # nobody's user
    shop.clock.now += 30
    await enters(other)


async def test_what_is_left_of_a_minute_is_told(shop: Shop) -> None:
    budgets = await limited(shop, requests_minute=100, tokens_minute=5_000)
    await budgets.set_limit(ScopedLimit("local", "organization", Limit(requests_minute=10)), ANNA)
    await enters(budgets)
    rooms = {room.unit: (room.limit, room.remaining, room.resets_in_s) for room in budgets.remaining_quotas(ANNA)}
    assert rooms == {"requests/minute": (10, 9, 60), "tokens/minute": (5_000, 5_000, 60)}


async def test_tokens_a_minute_are_reserved_and_settled(shop: Shop) -> None:
    budgets = await limited(shop, tokens_minute=2_000)
    lease = await held(budgets, chat("Hello", None))  # a thousand and the prompt
    with pytest.raises(Busy, match="2000 tokens per minute") as refused:
        await held(budgets, chat("Hello", None))
    assert refused.value.retry_after == 60 and lease.max_tokens is None
    lease.settle(0, 20)
    await held(budgets, chat("Hello", None))
    with pytest.raises(Busy, match="this prompt alone") as refused:
        await held(budgets, chat("x" * 10_000, 5))
    assert refused.value.retry_after is None


async def test_a_request_larger_than_the_minute_waits_for_a_whole_one(shop: Shop) -> None:
    budgets = await limited(shop, tokens_minute=500)
    await held(budgets, chat("Hello", 4_000))
    with pytest.raises(Busy):
        await held(budgets, chat("Hello", 1))


async def test_a_model_is_limited_in_an_organization_and_for_all_together(shop: Shop) -> None:
    budgets, stranger = (
        await limited(shop, "model:echo/small", requests_minute=2),
        Principal("other", "shop", "sw-o"),
    )
    budgets.prepare({"model:echo/small": LimitsSettings(requests_per_minute=3)}, BudgetsSettings())()
    await held(budgets, chat())
    await held(budgets, chat())
    with pytest.raises(Busy, match=r"the model 'echo/small' is limited to 2"):
        await held(budgets, chat())
    await held(budgets, chat(), stranger)
    with pytest.raises(Busy, match="of all organizations together is limited to 3"):
        await held(budgets, chat(), stranger)
    assert budgets.reserve(ANNA, echo_card("echo/large"), chat()) is None


async def test_texts_for_vectors_are_paid_by_their_length(shop: Shop) -> None:
    budgets = await limited(shop, usd_day=10 * READ)
    lease = budgets.reserve(ANNA, MODEL, EmbeddingRequest("auto", ["Hello", "there"], {}))
    assert lease is not None
    await lease.acquire()
    assert lease.max_tokens is None
    again = budgets.reserve(ANNA, MODEL, EmbeddingRequest("auto", ["x"], {}))
    assert again is not None
    with pytest.raises(BudgetExceeded):
        await again.acquire()


@pytest.mark.parametrize(
    ("price", "most"),
    [
        (Price(1, 2), 1_000 + 200),
        (Price(1, 2, cached=0, cache_write=3, cache_write_1h=5, reasoning=7), 5_000 + 700),
        (Price(1, 2, tiers=((999, Price(4, 4)), (1_000, Price(9, 9)))), 4_000 + 400),
        (Price(1, None), None),
        (Price(1, 2, tiers=((10, Price(None, 1)),)), None),
    ],
)
def test_no_class_of_tokens_costs_more_than_the_bound(price: Price, most: int | None) -> None:
    assert price.upper_bound(1_000, 100) == most


async def test_each_threshold_is_told_once_over_all_workers(shop: Shop) -> None:
    what = chat()
    limit = 10 * worst(what)
    budgets, other = await limited(shop, usd_day=limit), shop.worker()
    for number in range(10):
        each = (budgets, other)[number % 2]
        (await held(each, what)).settle(worst(what), 10)
        await asyncio.gather(budgets.flush(), other.flush())
    assert [(event, data["percent"], tenant) for event, data, tenant in shop.alerts] == [
        ("budget.alert", percent, "local") for percent in (50, 80, 100)
    ]
    assert shop.alerts[0][1] == {
        "scope": "project:shop",
        "window": "day",
        "percent": 50,
        "spent_usd": format_dollars(5 * worst(chat())),
        "limit_usd": format_dollars(10 * worst(chat())),
        "renews": "2027-01-16T00:00:00Z",
    }


async def test_a_budget_in_which_nothing_finds_room_any_more_is_used_up(shop: Shop) -> None:
    what = chat()
    budgets = await limited(shop, usd_day=10 * worst(what))
    (await held(budgets, chat("Hello", 100))).settle(9 * worst(what) + 1, 10)
    await budgets.flush()
    for _ in range(3):
        for _ in range(2):
            with pytest.raises(BudgetExceeded):
                await held(budgets, what)
        await budgets.flush()
    assert [data["percent"] for _, data, _ in shop.alerts] == [50, 80, 100]


async def test_a_month_and_a_day_renew_at_their_own_time(shop: Shop) -> None:
    what = chat()
    budgets = await limited(shop, usd_day=worst(what), usd_month=2 * worst(what))
    (await held(budgets, what)).settle(None, 1)
    shop.clock.now += 86_400
    (await held(budgets, what)).settle(None, 1)
    shop.clock.now += 86_400
    with pytest.raises(BudgetExceeded, match=r"per month.*renews at 2027-02-01"):
        await held(budgets, what)
    shop.clock.now += 20 * 86_400
    await held(budgets, what)


async def test_what_ends_on_the_next_day_was_paid_from_the_day_on_which_it_began(shop: Shop) -> None:
    what = chat()
    budgets = await limited(shop, usd_day=worst(what))
    lease = await held(budgets, what)
    shop.clock.now += 86_400
    other = await held(budgets, what)
    lease.settle(7, 1)
    other.settle(9, 1)
    await budgets.flush(all=True)
    assert shop.window(DAY, TODAY) == (7, 7)
    assert shop.window(DAY, TODAY + 86_400) == (9, 9)


async def test_an_idle_worker_has_given_its_slice_back(shop: Shop) -> None:
    what = chat()
    budgets = await limited(shop, usd_day=1_000 * worst(what))
    (await held(budgets, what)).settle(5, 1)
    await budgets.flush()
    taken, spent = shop.window(DAY, TODAY)
    assert spent == 5 and 5 < taken <= 5 + 1_000 * worst(what) // 64
    await budgets.flush()
    assert shop.window(DAY, TODAY) == (5, 5)


async def test_a_dead_worker_takes_no_more_along_than_a_slice(shop: Shop) -> None:
    what = chat()
    limit = 1_000 * worst(what)
    budgets = await limited(shop, usd_day=limit)
    for _ in range(50):
        (await held(budgets, what)).settle(0, 1)
    await budgets.flush()
    flying = await held(budgets, what)
    assert flying.max_tokens is None
    taken, spent = shop.window(DAY, TODAY)
    assert taken - spent <= limit // 64 + worst(what)


async def test_a_changed_limit_holds_for_all_workers_after_a_second(shop: Shop) -> None:
    what = chat()
    budgets, other = await limited(shop, usd_day=PICO_PER_DOLLAR), shop.worker(shared=True)
    (await held(other, what)).settle(5, 1)
    await budgets.set_limit(ScopedLimit("local", "project:shop", Limit(usd_day=6)), ANNA)
    with pytest.raises(BudgetExceeded):
        await held(budgets, what)
    await other.flush()
    with pytest.raises(BudgetExceeded):
        await held(other, what)
    assert standing(await other.list_statuses("local")) == (5, 5)
    await budgets.set_limit(ScopedLimit("local", "project:shop", Limit()), ANNA)
    await other.flush()
    assert other.reserve(ANNA, MODEL, what) is None and not other.has_limits


async def test_a_client_that_leaves_while_the_store_is_asked_leaves_nothing_behind(shop: Shop) -> None:
    what = chat()
    budgets = await limited(shop, usd_day=worst(what))
    for turns in range(6):
        lease = budgets.reserve(ANNA, MODEL, what)
        assert lease is not None
        task = asyncio.create_task(lease.acquire())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        lease.settle(0, 0)
        for _ in range(5):
            await asyncio.sleep(0)
        await budgets.flush(all=True)
        assert shop.window(DAY, TODAY) == (0, 0)


async def test_limits_that_change_while_the_store_is_asked_lose_nothing(shop: Shop) -> None:
    what = chat()
    budgets = await limited(shop, usd_day=PICO_PER_DOLLAR)
    for turns in range(6):
        lease = budgets.reserve(ANNA, MODEL, what)
        assert lease is not None
        task = asyncio.create_task(lease.acquire())
        for _ in range(turns):
            await asyncio.sleep(0)
        budgets.prepare({"key:sw-other": LimitsSettings(usd_per_day="1")}, BudgetsSettings())()
        await task
        lease.settle(0, 0)
        await budgets.flush(all=True)
        assert shop.window(DAY, TODAY) == (0, 0)


async def test_limits_that_change_while_a_client_leaves_lose_nothing(shop: Shop) -> None:
    """The store's answer comes when nobody waits for it any more, to a limit that is no longer there."""

    what = chat()
    budgets = await limited(shop, usd_day=PICO_PER_DOLLAR)
    for turns in range(6):
        lease = budgets.reserve(ANNA, MODEL, what)
        assert lease is not None
        task = asyncio.create_task(lease.acquire())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        budgets.prepare({"key:sw-other": LimitsSettings(usd_per_day="1")}, BudgetsSettings())()
        tidying = asyncio.create_task(budgets.flush(all=True))
        await asyncio.gather(task, return_exceptions=True)
        lease.settle(0, 0)
        await tidying
        for _ in range(5):
            await asyncio.sleep(0)
        await budgets.flush(all=True)
        assert shop.window(DAY, TODAY) == (0, 0), turns


async def test_what_goes_back_is_not_spent_meanwhile(shop: Shop) -> None:
    what = chat()
    budgets, other = await limited(shop, usd_day=worst(what)), shop.worker()
    (await held(budgets, what)).settle(0, 1)  # free now
    tidying = asyncio.create_task(budgets.flush(all=True))
    got = 0
    for each in (budgets, other, budgets, other):
        await asyncio.sleep(0)
        try:
            await held(each, what)
            got += 1
        except BudgetExceeded:
            shop.clock.now += 1
    await tidying
    assert got == 1


async def test_an_ill_store_lets_nobody_pass_beyond_what_was_taken(shop: Shop) -> None:
    what = chat()
    budgets = await limited(shop, usd_day=PICO_PER_DOLLAR)
    (await held(budgets, what)).settle(5, 1)
    shop.fails = StorageError("the disk is full")
    (await held(budgets, what)).settle(5, 1)  # there was enough of the slice
    with pytest.raises(StorageError):
        for _ in range(1_000_000):
            await held(budgets, what)
    shop.fails = None
    await held(budgets, what)


async def test_many_at_once_ask_the_store_a_few_times(shop: Shop) -> None:
    what = chat()
    budgets = await limited(shop, usd_day=100_000 * worst(what))
    before = shop.writes
    await asyncio.gather(*(held(budgets, what) for _ in range(500)))
    assert shop.writes - before == 1


async def test_a_refusal_does_not_ask_the_store_again_at_once(shop: Shop) -> None:
    budgets = await limited(shop, usd_day=1)
    before = shop.writes
    for _ in range(100):
        with pytest.raises(BudgetExceeded):
            await held(budgets, chat())
    assert shop.writes - before == 1


async def test_every_change_of_a_limit_stands_in_the_audit_trail(shop: Shop) -> None:
    from sizewise.audit_log import tables as audit

    budgets = await limited(shop, usd_day=7)
    await budgets.set_limit(ScopedLimit("local", "project:shop", Limit(requests_minute=1)), ANNA)
    with pytest.raises(BadRequest):
        await budgets.set_limit(ScopedLimit("local", "project:shop", Limit(usd_day=10**19)), ANNA)
    deeds = [line.deed for line in shop.read(lambda c: audit.entries_after(c, "local"))]
    assert [(deed.who, deed.thing, deed.before, deed.after) for deed in deeds] == [
        ("anna", "budget:project:shop", None, {"usd_day": 7}),
        ("anna", "budget:project:shop", {"usd_day": 7}, {"requests_minute": 1}),
    ]


def test_the_echo_says_what_it_costs() -> None:
    assert MODEL.price.cost(1, 1) == READ + SAID
