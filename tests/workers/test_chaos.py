"""Each process of a server is killed twenty times under load: nobody hangs, no budget is wrong, losses are as stated.

`pytest -s` prints the figures of docs/explanation/processes.md.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPException
from itertools import count
from pathlib import Path

import pytest

from sizewise.workers.supervisor import STABLE_S
from tests.cache.slow_upstream import SlowUpstream, slow_upstream
from tests.gateway.server_harness import rows
from tests.graphql.graphql_client import admin, graphql
from tests.limits.test_limits_end_to_end import limited_key, standing
from tests.running_server import Answer, Served, serving, until
from tests.workers.processes import at_once, kill, named, settings

pytestmark = pytest.mark.long

KILLS = 20
"""Of each process."""
PRICE = 'price = {input = "1", output = "2"}'
COST = 7 * 1e-6 + 5 * 2e-6
"""Dollars of an answer of the upstream."""
DAY = 400 * COST
WORST = (200 + 16 * 2) * 1e-6
"""Dollars that are reserved at most for one: a token for each byte of the request."""
BROKEN, HUNG = 0, -1


@pytest.fixture
def upstream() -> Iterator[SlowUpstream]:
    with slow_upstream() as up:
        up.go()
        yield up


@pytest.fixture
def server(tmp_path: Path, upstream: SlowUpstream) -> Iterator[Served]:
    priced = "".join(f'[models."up/{model}"]\n{PRICE}\n' for model in ("well", "alone"))
    with serving(tmp_path, settings(upstream.url) + priced, UPSTREAM_KEY="sk-upstream") as served:
        yield served


@dataclass
class Clients:
    """Of one kind: they ask one question after the other. `met`: how often each status, BROKEN or HUNG."""

    ask: Callable[[], Answer]
    killed: list[str]  # so far
    met: Counter[int] = field(default_factory=Counter)
    answered: list[tuple[str, slice]] = field(default_factory=list)  # trace, and kills while it ran and the next one

    def run(self, over: threading.Event) -> None:
        while not over.is_set():
            before = len(self.killed)
            try:
                answer = self.ask()
            except TimeoutError:
                self.met[HUNG] += 1
            except (OSError, HTTPException):
                self.met[BROKEN] += 1
            else:
                self.met[BROKEN if answer.cut else answer.status] += 1
                if answer.status == 200 and not answer.cut:
                    self.answered.append(
                        (answer.headers.get("x-sizewise-trace", ""), slice(before, len(self.killed) + 1))
                    )


def chat(server: Served, model: str, words: str, key: str = "", **headers: str) -> Answer:
    body = {"model": model, "messages": [{"role": "user", "content": words}], "max_tokens": 16}
    return server.ask("/v1/chat/completions", body, key=key, timeout=60, **headers)


def keyed_twice(server: Served, numbers: Iterator[int]) -> Answer:
    """The second answer to an idempotency key, after a first one that may have been lost."""
    number = next(numbers)
    try:
        chat(server, "up/well", f"Number {number}", idempotency_key=f"key-{number}")
    except TimeoutError:
        raise
    except (OSError, HTTPException):
        pass
    return chat(server, "up/well", f"Number {number}", idempotency_key=f"key-{number}")


def lost(server: Served, clients: Clients) -> list[str]:
    """For each answer without a record, the worker that was killed while it ran or next; else `none`."""
    written = {row["trace"] for row in rows(server.home, "SELECT trace FROM records")}
    found = [clients.killed[kills] for trace, kills in clients.answered if trace not in written]
    return [next((each for each in names if each != "store"), "none") for names in found]


def test_each_process_is_killed_twenty_times_under_load(server: Served, upstream: SlowUpstream) -> None:
    killed: list[str] = []
    (poor, scope), numbers, over = limited_key(server, day=f"{DAY:.6f}"), count(), threading.Event()
    plain = Clients(lambda: chat(server, "echo/small", "Hello there"), killed)
    limited = Clients(lambda: chat(server, "up/alone", "Hello there", poor), killed)
    keyed = Clients(lambda: keyed_twice(server, numbers), killed)
    reading = Clients(lambda: server.ask("/graphql", {"query": "{ me { key } }"}, key=admin(server)), killed)
    stable: dict[str, float] = {}  # when a process has run for long enough, by its name
    kinds, began = (plain, plain, plain, limited, limited, keyed, reading), time.monotonic()
    with ThreadPoolExecutor(len(kinds)) as pool:
        running = [pool.submit(each.run, over) for each in kinds]
        try:
            for number in range(3 * KILLS):
                goals = plain.met[200] + 20, reading.met[200] + 1  # the store process is back
                until(lambda goals=goals: plain.met[200] >= goals[0] and reading.met[200] >= goals[1])
                name = ("gw-1", "store", "gw-2")[number % 3]
                until(lambda name=name: named(server, name) and time.monotonic() >= stable.get(name, 0.0))
                kill(server, name, killed)
                stable[name] = time.monotonic() + 2 * STABLE_S  # before, its next start would wait longer
        finally:
            over.set()
        for work in running:
            work.result()
    print(f"\n{len(killed)} kills in {time.monotonic() - began:.0f} s")  # noqa: T201 - figures
    for name, each in (("plain", plain), ("limited", limited), ("keyed", keyed), ("graphql", reading)):
        print(f"{name}: {dict(sorted(each.met.items()))}")  # noqa: T201 - figures

    until(lambda: set(Counter(each.status for each in at_once(lambda n: server.chat("echo/small"), 16))) == {200})
    # nobody hangs
    assert not any(each.met[HUNG] for each in (plain, limited, keyed, reading))
    assert set(plain.met) <= {200, BROKEN} and set(limited.met) <= {200, 402, BROKEN}
    assert set(keyed.met) <= {200, 409, 503, BROKEN} and set(reading.met) <= {200, 503, BROKEN}
    # a worker costs its own requests: of each client at most the one that ran
    workers_killed = sum(each != "store" for each in killed)
    assert plain.met[BROKEN] <= 3 * workers_killed and limited.met[BROKEN] <= 2 * workers_killed
    # no budget is overspent, and a killed worker takes at most a block of it along
    spent, stands = upstream.asked("alone") * COST, standing(server, scope)
    assert limited.met[402] and spent <= DAY
    assert limited.met[200] * COST <= DAY - stands["remaining"] + 1e-9 and stands["spent"] <= DAY
    assert DAY - stands["remaining"] <= spent + workers_killed * (DAY / 64 + 2 * WORST) + 2 * WORST
    # no key is paid twice
    contents = [str(body["messages"]) for body in upstream.received.bodies if body["model"] == "well"]
    assert max(Counter(contents).values()) == 1
    # no record is lost but of a worker that was killed
    graphql(server, "{ records(last: 1) { rows { trace } } }")
    until(lambda: "none" not in lost(server, plain) + lost(server, limited))  # a started worker writes on its own
    missing = lost(server, plain) + lost(server, limited)
    print(f"records lost: {Counter(missing)} of {len(plain.answered) + len(limited.answered)}")  # noqa: T201 - figures
    print(f"budget: {stands}")  # noqa: T201 - figures
    assert "none" not in missing
