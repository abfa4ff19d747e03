"""Thirty small machines behind a network that loses: each record comes home once, and a release reaches all of them.

They are real servers; a record counts as asked once it is on the machine's disk, and then the machine is killed.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.edge.test_machine_releases import GATEWAY, live, publish, release_key
from tests.edge.test_machine_reports import losing_network
from tests.graphql.graphql_client import fresh_key, graphql
from tests.releases.test_environments import project
from tests.running_server import Served, serving, until

MACHINES = 30
LOSS = 0.1
"""Share of connections that are cut, before the request or before its answer."""
PATIENCE_S = 300.0
MACHINE = """{gateway}
[edge]
machine = "{name}"
origin = "{origin}"
key = "env:EDGE_KEY"
release_key = "{trusted}"
"""
RECORDS = "{ records(last: 1000) { rows { trace tags } } }"
EDGES = "{ edges { name release records lost waiting } }"


def asked(machine: Served, count: int) -> set[str]:
    """The traces of as many answers, once they are on the machine's disk."""
    mine = {machine.chat("echo/small").headers["x-sizewise-trace"] for _ in range(count)}
    until(lambda: traces(machine) >= mine, PATIENCE_S, every=0.5)
    return mine


def kill(machine: Served) -> None:
    machine.process.kill()
    machine.process.wait(60)


def records(server: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = graphql(server, RECORDS).data["records"]["rows"]
    return found


def traces(server: Served) -> set[str]:
    return {str(each["trace"]) for each in records(server)}


def edges(gateway: Served) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in graphql(gateway, EDGES).data["edges"]}


@pytest.mark.long
def test_thirty_machines_lose_no_record_bring_none_twice_and_take_each_release(tmp_path: Path) -> None:
    home = project(tmp_path / "gateway", GATEWAY)
    with serving(home, GATEWAY) as gateway, losing_network(gateway.url, LOSS) as url:
        names = [f"till-{number}" for number in range(1, MACHINES + 1)]
        keys = {name: fresh_key(gateway, "serve_edge") for name in names}
        trusted = release_key(gateway, keys[names[0]])
        expected = {name: set[str]() for name in names}

        def start(running: contextlib.ExitStack, name: str) -> Served:
            config = MACHINE.format(gateway=GATEWAY, name=name, origin=url, trusted=trusted)
            return running.enter_context(serving(project(tmp_path / name, GATEWAY), config, EDGE_KEY=keys[name]))

        def ask_all(machines: dict[str, Served], count: int) -> None:
            with ThreadPoolExecutor(8) as threads:
                answers = threads.map(lambda name: asked(machines[name], count), names)
                for name, more in zip(names, answers, strict=True):
                    expected[name] |= more

        with contextlib.ExitStack() as running:
            machines = {name: start(running, name) for name in names}
            until(lambda: edges(gateway).keys() == machines.keys(), PATIENCE_S, every=0.5)
            ask_all(machines, 5)
            for machine in machines.values():  # some of its records may be on their way
                kill(machine)
        with contextlib.ExitStack() as running:
            machines = {name: start(running, name) for name in names}
            ask_all(machines, 3)
            until(lambda: traces(gateway) >= set().union(*expected.values()), PATIENCE_S, every=0.5)
            first = {live(machine) for machine in machines.values()}
            made = publish(home, "PROMPT of the second release")
            for name in names[::5]:  # it may be taking the release
                kill(machines[name])
                machines[name] = start(running, name)
            until(lambda: all(live(machine) == made for machine in machines.values()), PATIENCE_S, every=0.5)
            until(lambda: {each["release"] for each in edges(gateway).values()} == {made}, PATIENCE_S, every=0.5)
        assert made not in first
        rows = [each for each in records(gateway) if each["tags"]]
        for name, told in edges(gateway).items():
            mine = [each["trace"] for each in rows if f"edge:{name}" in each["tags"]]
            assert len(mine) == len(set(mine)), "twice"
            assert set(mine) >= expected[name], "lost"
            assert (told["records"], told["lost"]) == (len(mine), 0)
