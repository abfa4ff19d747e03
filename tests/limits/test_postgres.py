"""Servers that share a Postgres share its budgets: together, at the same moment, and when one of them is killed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sizewise.errors import BudgetExceeded
from sizewise.limits.rules import Limit, LimitKey, ScopedLimit, window_bounds
from sizewise.principal import Principal
from tests.graphql.graphql_client import admin, graphql
from tests.limits.limiter_harness import MODEL, NOON, Shop, chat, worst
from tests.limits.test_limits_end_to_end import CONFIG, LIST, MESSAGES, SET, booked, standing
from tests.running_server import Served, serving, until

STORE = 'url = "env:SHARED_STORE"'


@pytest.mark.long
@pytest.mark.parametrize("workers", [4])
def test_workers_that_take_at_the_same_moment_never_take_too_much(
    module_postgres_url: str, workers: int, tmp_path: Path
) -> None:
    """Threads of their own loops and connections, as processes have them."""
    what, anna = chat(), Principal("local", "threads", "sw-anna")
    limit = 60 * worst(what)
    shop = Shop(tmp_path, module_postgres_url)
    key: LimitKey = ("local", "project:threads", "usd/day")
    asyncio.run(shop.worker().set_limit(ScopedLimit("local", "project:threads", Limit(usd_day=limit)), anna))
    got: list[int] = []
    together = threading.Barrier(workers)

    async def spend() -> None:
        budgets = shop.worker(shared=True)
        for number in range(40):
            lease = budgets.reserve(anna, MODEL, what)
            assert lease is not None
            try:
                await lease.acquire()
            except BudgetExceeded:
                break
            cost = worst(what) - number % 3
            lease.settle(cost, 1)
            got.append(cost)
            if number % 10 == 9:
                await budgets.flush()
        await budgets.close()

    def run() -> None:
        together.wait()
        asyncio.run(spend())

    threads = [threading.Thread(target=run) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken, spent = shop.window(key, window_bounds("usd/day", NOON)[0])
    shop.database.close()
    assert taken == spent == sum(got) <= limit
    assert sum(got) > limit - (workers + 1) * worst(what)


@contextlib.contextmanager
def pair(folder: Path, url: str, limits: str) -> Iterator[tuple[Served, Served]]:
    """Two servers, each with a home of its own, on one store."""
    config = f"{CONFIG}\n[database]\n{STORE}\n{limits}"
    with serving(folder / "one", config, SHARED_STORE=url) as one:
        with serving(folder / "two", config, SHARED_STORE=url) as two:
            yield one, two


@pytest.mark.long
def test_two_servers_do_not_pass_their_budget_together(module_postgres_url: str, tmp_path: Path) -> None:
    body = {"model": "echo/small", "messages": MESSAGES, "max_tokens": 20}
    with pair(tmp_path, module_postgres_url, "") as (one, two):
        assert graphql(one, SET, scope="organization", day="0.0015").errors == []
        until(lambda: graphql(two, LIST).data["budgets"] != [])
        with ThreadPoolExecutor(50) as pool:
            work = [
                pool.submit(each.ask, "/v1/chat/completions", body, timeout=60)
                for _ in range(25)
                for each in (one, two)
            ]
            codes = [each.result().status for each in work]
        assert set(codes) == {200, 402}
        for each in (one, two):
            until(lambda each=each: standing(each, "organization")["reserved"] == 0)
        stood = standing(two, "organization")
        assert stood["spent"] <= stood["limit"]
        assert stood["spent"] == pytest.approx(booked(one) + booked(two))
        assert graphql(two, SET, scope="organization", day=None).errors == []
        until(lambda: one.chat("echo/small").status == 200)


@pytest.mark.long
def test_what_a_killed_server_held_counts_as_spent_and_no_more(module_postgres_url: str, tmp_path: Path) -> None:
    body = {"model": "echo/small", "max_tokens": 20, "messages": [{"role": "user", "content": "a b [[hang]]"}]}
    with pair(tmp_path, module_postgres_url, '[limits."project:default"]\nusd_per_day = "0.01"\n') as (one, two):
        with ThreadPoolExecutor(5) as pool:
            for _ in range(5):
                pool.submit(_gone, one, body)
            until(lambda: standing(one, "project:default")["reserved"] >= 5 * 0.00006)
            held = standing(one, "project:default")
            one.process.send_signal(signal.SIGKILL)
            one.process.wait(60)
        stood = standing(two, "project:default")
        assert stood["remaining"] >= held["remaining"] - 0.01 / 64 - 0.0001
        with ThreadPoolExecutor(20) as pool:
            codes = set(pool.map(lambda _: two.chat("echo/small", "word " * 40, max_tokens=500).status, range(60)))
        assert codes == {200, 402}
        ended = standing(two, "project:default")
        assert ended["spent"] + held["reserved"] <= ended["limit"]
        assert admin(two)


def _gone(server: Served, body: dict[str, object]) -> None:
    with contextlib.suppress(OSError):
        server.ask("/v1/chat/completions", body)
