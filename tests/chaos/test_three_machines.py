"""Three servers on machines of their own and one Postgres: what is lost and what it costs when one of them fails."""

from __future__ import annotations

import base64
import contextlib
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from tests.chaos.network import Machine, machines, missing
from tests.chaos.network import __file__ as ON_MACHINE
from tests.chaos.postgres_node import PostgresNode, postgres
from tests.gateway.test_batches import client_of, line, results, uploaded
from tests.graphql.graphql_client import graphql
from tests.many_clients import KINDS, Clients, Kind, asking, paid_twice, recorded, rows
from tests.running_server import Answer, Served, serving, until

pytest.importorskip("psycopg", reason="needs a driver for Postgres: pip install psycopg[binary]")

LACKING = missing()
pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(LACKING), reason=LACKING)]
CONFIG = """
[server]
embedded = false
discover = false
[database]
url = "env:SHARED_STORE"
[encryption]
key = "env:SHARED_KEY"
[projects.limited]
[limits."project:limited"]
usd_per_day = "0.002"
[batches]
concurrency = 4
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "vectors"]
[models."echo/small"]
price = {input = "1", output = "5"}
[models."echo/vectors"]
task = "embed"
"""
SAID = "one two three four five six seven eight"
FLOW = """name: slow
inputs:
  mail: text
nodes:
  first:
    kind: ask
    model: echo/small
    prompt: "[[pace 1]] [[say SAID]]"
  second:
    kind: ask
    model: echo/small
    prompt: "[[slow 0.1]] [[say {{ first.text }}]]"
outputs:
  answer: "{{ second.text }}"
""".replace("SAID", SAID)
LIMIT = 2_000_000_000  # pico-dollars a day
LIBFAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


@dataclass
class Cluster:
    """`limited`: the key of the project with a budget that all together use up."""

    servers: list[Served]
    machines: list[Machine]
    database: PostgresNode
    standby: PostgresNode
    limited: str = ""

    @property
    def store(self) -> str:
        """As this process reaches it, whichever of the two leads."""
        hosts = "&".join(f"host={each.machine.address}:5432" for each in (self.database, self.standby))
        return f"postgresql+psycopg://postgres@/postgres?{hosts}&target_session_attrs=read-write&connect_timeout=5"


@contextlib.contextmanager
def cluster(
    folder: Path, *, follows: bool = False, clocks: Mapping[int, dict[str, str]] | None = None
) -> Iterator[Cluster]:
    """`clocks`: the environment of servers whose clock is another."""
    with contextlib.ExitStack() as stack:
        places = stack.enter_context(machines("a", "b", "c", "primary", "standby"))
        database, standby = (stack.enter_context(postgres(each)) for each in places[3:])
        database.make()
        database.start()
        if follows:
            standby.follow(database)
        found = Cluster([], places[:3], database, standby)
        environ = {"SHARED_STORE": found.store, "SHARED_KEY": base64.b64encode(bytes(range(32))).decode()}

        for place in places[:3]:
            flows = folder / place.name / "flows"
            flows.mkdir(parents=True)
            (flows / "slow.yaml").write_text(FLOW)

        def start(number: int) -> contextlib.AbstractContextManager[Served]:
            its = {**environ, **places[number].environ, **(clocks or {}).get(number, {})}
            host = ("--host", places[number].address)
            return serving(folder / places[number].name, CONFIG, *host, program=str(ON_MACHINE), **its)

        with ThreadPoolExecutor(3) as pool:
            starting = [start(number) for number in range(3)]
            first = stack.enter_context(starting[0])  # which makes the tables
            others = list(pool.map(lambda each: each.__enter__(), starting[1:]))
        for each in starting[1:]:
            stack.push(each.__exit__)
        found.servers = [first, *others]
        made = graphql(first, 'mutation { createKey(name: "limited", project: "limited") { secret } }').data
        found.limited = made["createKey"]["secret"]
        until(lambda: all(each.ask("/v1/models", key=found.limited).status == 200 for each in found.servers))
        yield found


def kinds(found: Cluster) -> dict[str, Kind]:
    """Requests of every kind, and those of a project whose budget ends."""

    def limited(server: Served, number: int) -> Answer:
        body = {"model": "echo/small", "messages": [{"role": "user", "content": f"[[say {number}]]"}]}
        return server.ask("/v1/chat/completions", body, key=found.limited)

    return {**KINDS, "limited": limited}


@contextlib.contextmanager
def in_use(found: Cluster) -> Iterator[Clients]:
    with asking(*found.servers, kinds=kinds(found)) as seen:
        goes_on(seen)
        yield seen


def goes_on(seen: Clients, requests: int = 60) -> None:
    so_far = len(seen.traces)
    until(lambda: len(seen.traces) >= so_far + requests)


def check_zeros(found: Cluster, seen: Clients, *, lost_by: Served | None = None, before: float = 0.0) -> int:
    """Of what was answered all is recorded, but for the last moment before `before` of a server that was killed; no
    limit was passed, nothing paid twice. Returns how many records are lost.
    """
    answered = dict(seen.traces)
    if lost_by is None:
        until(lambda: set(answered) <= recorded(found.store))
        lost = set()
    else:
        until(lambda: {t for t, each in answered.items() if each.server is not lost_by} <= recorded(found.store))
        lost = set(answered) - recorded(found.store)
        assert all(before - answered[each].at < 5 for each in lost), "older than the window of 50 ms, however slow"
    assert paid_twice(found.store) == []
    ((spent,),) = rows(found.store, "SELECT coalesce(sum(cost), 0) FROM records WHERE project = 'limited'")
    assert spent <= LIMIT
    asked = seen.asked()
    refused = {key: count for key, count in seen.refused.items() if key[0] != "limited"}
    failed = sum(refused.values()) + seen.broken
    tell(
        f"{asked} requests, {failed} failed ({failed / asked:.1%}): {seen.broken} broken, {refused};"
        f" {len(lost)} records lost; {spent / LIMIT:.0%} of the budget spent"
    )
    return len(lost)


def tell(figures: str) -> None:
    """With `pytest -s`: the figures of docs/how-to/many-machines.md."""
    sys.stdout.write(f"\n{figures}\n")


def begin_batch(server: Served, requests: int = 200) -> str:
    with client_of(server) as client:
        file = uploaded(client, [line(f"q{n}", f"[[slow 0.3]] [[say answer {n}]]") for n in range(requests)])
        made = client.batches.create(input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h")
        until(lambda: answered(client, made.id) >= 4)
        return made.id


def answered(client: OpenAI, batch: str) -> int:
    counts = client.batches.retrieve(batch).request_counts
    return counts.completed if counts else 0


def ends_once(server: Served, batch: str, requests: int = 200) -> None:
    with client_of(server) as client:
        until(lambda: client.batches.retrieve(batch).status == "completed", 120)
        assert set(results(client, client.batches.retrieve(batch).output_file_id)) == {f"q{n}" for n in range(requests)}


def begin_flow(server: Served) -> str:
    start = 'mutation { startFlowRun(flow: "slow", inputs: { mail: "" }) { id } }'
    return str(graphql(server, start).data["startFlowRun"]["id"])


def flow_run(server: Served, id: str) -> dict[str, Any]:
    found: dict[str, Any] = graphql(server, "query($id: String!) { flowRun(id: $id) { state outputs } }", id=id).data
    return dict(found["flowRun"])


def test_a_server_that_is_killed_costs_its_own_requests_and_its_batch_goes_on_elsewhere(tmp_path: Path) -> None:
    with cluster(tmp_path) as found:
        killed, *others = found.servers
        with in_use(found) as seen:
            batch = begin_batch(killed)
            killed.process.send_signal(signal.SIGKILL)
            killed.process.wait(60)
            at = time.monotonic()
            goes_on(seen)
            tell(f"its batch went on after {goes_on_elsewhere(others[0], batch, at):.1f} s")
            ends_once(others[1], batch)
            seen.servers = others
        check_zeros(found, seen, lost_by=killed, before=at)


def test_a_server_that_is_paused_is_passed_over_and_writes_nothing_over_what_others_did(tmp_path: Path) -> None:
    with cluster(tmp_path) as found:
        paused, *others = found.servers
        with in_use(found) as seen:
            batch = begin_batch(paused)
            paused.process.send_signal(signal.SIGSTOP)
            at = time.monotonic()
            seen.servers = others  # as who asks whether a server is alive does
            tell(f"its batch went on after {goes_on_elsewhere(others[0], batch, at):.1f} s")
            paused.process.send_signal(signal.SIGCONT)
            seen.servers = found.servers
            ends_once(others[1], batch)
            goes_on(seen)
        check_zeros(found, seen)


def test_a_server_without_its_database_answers_on_and_its_records_come_later(tmp_path: Path) -> None:
    with cluster(tmp_path) as found:
        alone, *others = found.servers
        with in_use(found) as seen:
            batch, run = begin_batch(alone), begin_flow(alone)
            found.machines[0].lose(found.database.machine)
            at = time.monotonic()
            tell(f"its batch went on after {goes_on_elsewhere(others[0], batch, at):.1f} s")
            until(lambda: flow_run(others[0], run)["state"] == "done")
            tell(f"its flow run had ended after {time.monotonic() - at:.1f} s")
            assert alone.chat("echo/small", "[[say alone]]").status == 200
            found.machines[0].find(found.database.machine)
            ends_once(others[1], batch)
            until(lambda: alone.ask("/readyz", key=None).json == others[0].ask("/readyz", key=None).json)
            goes_on(seen)
            ended = flow_run(others[0], run)
            assert (ended["state"], ended["outputs"]) == ("done", {"answer": SAID})
        check_zeros(found, seen)


def test_a_database_that_starts_anew_costs_what_needs_it_at_that_moment(tmp_path: Path) -> None:
    with cluster(tmp_path) as found, in_use(found) as seen:
        batch = begin_batch(found.servers[0])
        found.database.kill()
        goes_on(seen)
        found.database.start()
        ends_once(found.servers[1], batch)
        goes_on(seen)
        until(lambda: all(each.ask("/readyz", key=None).status == 200 for each in found.servers))
        check_zeros(found, seen)


def test_servers_go_on_with_the_standby_when_the_machine_of_the_database_is_gone(tmp_path: Path) -> None:
    with cluster(tmp_path, follows=True) as found:
        with in_use(found) as seen:
            batch = begin_batch(found.servers[0])
            for each in (*found.machines, found.standby.machine):
                each.lose(found.database.machine)  # nobody says that it is gone
            at = time.monotonic()
            found.database.kill()
            found.standby.promote()
            until(lambda: all(keyed(each) == 200 for each in found.servers), 60)
            tell(f"all write to the standby after {time.monotonic() - at:.1f} s")
            ends_once(found.servers[1], batch)
            goes_on(seen)
        check_zeros(found, seen)


def test_clocks_that_differ_by_five_minutes_change_no_limit_and_take_over_nothing_that_runs(tmp_path: Path) -> None:
    with cluster(tmp_path, clocks={0: skewed("+5m"), 1: skewed("-5m")}) as found:
        batches = [begin_batch(each, 40) for each in found.servers]
        seen = Clients(found.servers, kinds(found))  # one after the other: such a clock makes a server slow
        for number in range(24):
            for kind in seen.kinds:
                seen.ask(kind, number)
        for batch, server in zip(batches, reversed(found.servers), strict=True):
            ends_once(server, batch, 40)
        check_zeros(found, seen)
        count = "SELECT count(*) FROM records WHERE strpos(tags, 'batch') > 0"
        until(lambda: rows(found.store, count)[0][0] >= 3 * 40)  # the last is written a moment after its batch ended
        assert rows(found.store, count) == [(3 * 40,)], "a run was taken over from a server that lives"


def goes_on_elsewhere(server: Served, batch: str, since: float) -> float:
    """Seconds until another server has taken a batch over."""
    with client_of(server) as client:
        time.sleep(2)  # what was under way at the other is written, or never will be
        so_far = answered(client, batch)
        until(lambda: answered(client, batch) > so_far)
    return time.monotonic() - since


def keyed(server: Served) -> int:
    """The status of a request that must be on disk before the call."""
    with contextlib.suppress(OSError):
        body = {"model": "echo/small", "messages": [{"role": "user", "content": "[[say x]]"}]}
        key = f"probe-{time.monotonic_ns()}"
        return server.ask("/v1/chat/completions", body, idempotency_key=key, timeout=60).status
    return 0


def skewed(by: str) -> dict[str, str]:
    """The environment of a process whose clock differs."""
    library = next((each for each in LIBFAKETIME if each.exists()), None)
    if library is None:
        pytest.skip("libfaketime is not here: apt install libfaketime")
    return {"LD_PRELOAD": str(library), "FAKETIME": by, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
