"""Any process of a server may be killed: it costs what the docs say, and another takes its place."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.cache.slow_upstream import SlowUpstream, slow_upstream
from tests.gateway.server_harness import rows
from tests.graphql.graphql_client import admin, graphql
from tests.running_server import Served, children, serving, until
from tests.workers.processes import RPM, asked_with, at_once, key_of, kill, named, settings

pytestmark = pytest.mark.long


@pytest.fixture
def upstream() -> Iterator[SlowUpstream]:
    with slow_upstream() as up:
        yield up


@pytest.fixture
def server(tmp_path: Path, upstream: SlowUpstream) -> Iterator[Served]:
    with serving(tmp_path, settings(upstream.url), UPSTREAM_KEY="sk-upstream") as served:
        yield served


class Load:
    """Clients that ask one question after the other. `met`: how often each status; 0: the connection broke."""

    def __init__(self, server: Served, clients: int = 8) -> None:
        self.met: Counter[int] = Counter()
        self._server = server
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(clients)
        for _ in range(clients):
            self._pool.submit(self._ask)

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                self.met[self._server.chat("echo/small").status] += 1
            except (OSError, HTTPException):
                self.met[0] += 1

    def go_on(self, count: int = 50) -> None:
        """Until so many more answers have come."""
        goal = self.met[200] + count
        until(lambda: self.met[200] >= goal)

    def stop(self) -> Counter[int]:
        self._over.set()
        self._pool.shutdown()
        return self.met


def test_a_killed_worker_costs_its_own_requests_alone(server: Served) -> None:
    load = Load(server)
    load.go_on()
    for _ in range(3):
        kill(server, "gw-1")
        load.go_on()
    met = load.stop()
    assert set(met) <= {200, 0}
    assert met[0] <= 3 * 8, "more than were running"
    told = [line for line in server.said if "gateway worker 1 was killed by SIGKILL; it is restarted" in line]
    assert len(told) == 3
    assert {each.status for each in at_once(lambda n: server.chat("echo/small"), 16)} == {200}


def test_a_killed_store_process_costs_no_answer_that_does_not_need_it(server: Served) -> None:
    load = Load(server)
    load.go_on()
    for _ in range(3):
        kill(server, "store")
        load.go_on()
    assert set(load.stop()) == {200}
    until(lambda: server.ask("/graphql", {"query": "{ me { key } }"}, key=admin(server)).status == 200)
    assert any("the store process was killed by SIGKILL" in line for line in server.said)


def test_what_needs_the_store_process_says_so_while_it_is_away(server: Served) -> None:
    os.kill(named(server, "store"), signal.SIGSTOP)  # it is there and does not answer: a client waits
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.ask, "/v1/models")
        kill(server, "store")
        answer = waiting.result()
    assert answer.status in (200, 503)
    assert answer.status == 200 or (answer.error["code"], answer.headers["retry-after"]) == ("model_unavailable", "1")


def test_slots_are_never_exceeded_when_the_store_process_is_killed(server: Served, upstream: SlowUpstream) -> None:
    upstream.stay()
    with ThreadPoolExecutor(9) as pool:
        running = [pool.submit(server.chat, "up/waits", f"Number {n}") for n in range(9)]
        until(lambda: upstream.received.active_requests == 3)
        kill(server, "store")
        until(lambda: server.ask("/healthz").status == 200 and graphql(server, "{ me { key } }").errors == [])
        assert upstream.received.active_requests == 3
        upstream.go()
        assert {each.result().status for each in running} == {200}


def test_slots_of_a_killed_worker_are_free_again(server: Served, upstream: SlowUpstream) -> None:
    upstream.stay()
    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(server.chat, "up/waits", f"Number {n}") for n in range(6)]
        until(lambda: upstream.received.active_requests == 3)
        for name in ("gw-1", "gw-2"):
            kill(server, name)
        for each in running:
            with pytest.raises((OSError, HTTPException)):
                each.result()
        before = upstream.asked("waits")
        again = [pool.submit(server.chat, "up/waits", f"Number {n}") for n in range(3)]
        until(lambda: upstream.asked("waits") == before + 3)
        upstream.go()
        assert {each.result().status for each in again} == {200}


def test_a_rate_is_not_exceeded_by_a_killed_worker(server: Served) -> None:
    secret, id = key_of(server)
    assert graphql(server, RPM, scope=f"key:{id}", n=64).errors == []
    until(lambda: "x-ratelimit-limit-requests" in asked_with(server, secret).headers)
    before = at_once(lambda n: asked_with(server, secret), 16)
    kill(server, "gw-2")
    after = at_once(lambda n: asked_with(server, secret), 128)
    used = rows(server.home, "SELECT taken FROM budget_pots WHERE scope = ? ORDER BY since", f"key:{id}")
    assert all(each["taken"] <= 64 for each in used)
    assert sum(each.status == 200 for each in (*before, *after)) <= 64 * len(used)


def test_all_processes_end_with_the_supervisor(server: Served) -> None:
    others = children(server.process.pid)
    assert len(others) >= 3
    server.process.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in others))


def test_a_stop_lets_running_answers_end(server: Served, upstream: SlowUpstream) -> None:
    upstream.stay()
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(server.chat, "up/waits", f"Number {n}") for n in range(3)]
        until(lambda: upstream.received.active_requests == 3)
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(OSError):
            until(lambda: server.ask("/healthz").status != 200)
        upstream.go()
        assert {each.result().status for each in running} == {200}
    assert server.process.wait(60) == 0
    assert not (server.home / "server.json").exists()


def reload(server: Served, change: tuple[str, str]) -> None:
    file = server.home / "sizewise.toml"
    file.write_text(file.read_text().replace(*change))
    server.process.send_signal(signal.SIGHUP)


def test_a_reload_reaches_all_processes_and_those_that_start_later(server: Served) -> None:
    reload(server, ('models = ["small", "large"]', 'models = ["small", "large", "third"]'))
    until(lambda: all(each.status == 200 for each in at_once(lambda n: server.chat("echo/third"), 16)))
    kill(server, "gw-1")
    kill(server, "store")
    assert {each.status for each in at_once(lambda n: server.chat("echo/third"), 16)} == {200}


def test_a_refused_reload_changes_no_process_and_none_that_starts_later(server: Served) -> None:
    reload(server, ('wire = "echo"', 'wire = "ecko"\nnonsense = 1'))
    until(lambda: any("the old ones stay" in line for line in server.said))
    for name in ("gw-1", "gw-2", "store"):
        kill(server, name)
    assert {each.status for each in at_once(lambda n: server.chat("echo/small"), 16)} == {200}
    until(lambda: graphql(server, "{ me { key } }").errors == [])
