"""Thirty small machines behind a network that loses: each record comes home once, and each answers a release.

They are real servers; a record counts as asked once it is on the machine's disk, and then the machine is killed.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.edge.test_edge_groups import FLOW, MACHINE, counts, edge_key, groups, seed
from tests.edge.test_machine_releases import GATEWAY, release_key
from tests.edge.test_machine_releases import live as release
from tests.edge.test_machine_reports import losing_network
from tests.graphql.graphql_client import graphql
from tests.releases.test_environments import live, planned_changes, project, run
from tests.running_server import Served, serving, until

MACHINES = 30
LOSS = 0.1
"""Share of connections that are cut, before the request or before its answer."""
PATIENCE_S = 300.0
POOR = GATEWAY.replace('models = ["small", "large"]', 'models = ["small"]')
LACKING = ("till-11", "till-22", "till-30")
"""Machines without the model that the release of the group needs: two of them are not restarted in between."""
SEEDED = 970
"""Rows of edges beside them, which have no process."""
RECORDS = "{ records(last: 1000) { rows { trace tags } } }"
EDGES = "{ edges(last: 1000) { rows { name release records lost waiting } } }"


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
    return {each["name"]: each for each in graphql(gateway, EDGES).data["edges"]["rows"]}


@pytest.mark.long
def test_thirty_machines_lose_no_record_bring_none_twice_and_each_says_what_it_made_of_a_release(
    tmp_path: Path,
) -> None:
    with groups(tmp_path / "gateway") as gateway, losing_network(gateway.url, LOSS) as url:
        home, names = gateway.home, [f"till-{number}" for number in range(1, MACHINES + 1)]
        keys = {name: edge_key(gateway, "tills") for name in names}
        trusted = release_key(gateway, keys[names[0]])
        expected = {name: set[str]() for name in names}

        def start(running: contextlib.ExitStack, name: str) -> Served:
            settings = POOR if name in LACKING else GATEWAY
            config = MACHINE.format(gateway=settings, name=name, origin=url, trusted=trusted)
            return running.enter_context(serving(project(tmp_path / name, settings), config, EDGE_KEY=keys[name]))

        def start_all(running: contextlib.ExitStack) -> dict[str, Served]:
            with ThreadPoolExecutor(4) as threads:
                return dict(zip(names, threads.map(lambda name: start(running, name), names), strict=True))

        def ask_all(machines: dict[str, Served], count: int) -> None:
            with ThreadPoolExecutor(8) as threads:
                answers = threads.map(lambda name: asked(machines[name], count), names)
                for name, more in zip(names, answers, strict=True):
                    expected[name] |= more

        with contextlib.ExitStack() as running:
            machines = start_all(running)
            until(lambda: edges(gateway).keys() == machines.keys(), PATIENCE_S, every=0.5)
            ask_all(machines, 5)
            for machine in machines.values():  # some of its records may be on their way
                kill(machine)
        with contextlib.ExitStack() as running:
            machines = start_all(running)
            ask_all(machines, 3)
            until(lambda: traces(gateway) >= set().union(*expected.values()), PATIENCE_S, every=0.5)
            first = live(home)["tills"]
            until(lambda: counts(gateway, "tills")["current"] == MACHINES, PATIENCE_S, every=0.5)
            with ThreadPoolExecutor(4) as threads:
                rows = [f"row-{number:03}" for number in range(SEEDED)]
                list(threads.map(lambda name: seed(gateway, keys[names[0]], name, first), rows))
            (home / "flows" / "answer.yaml").write_text(FLOW)
            until(lambda: planned_changes(home), PATIENCE_S)
            run(home, "release", "promote", "prod", "--edges", "tills", "--reason", "the larger model")
            made = live(home)["tills"]
            for name in names[::5]:  # it may be taking the release
                kill(machines[name])
                machines[name] = start(running, name)
            took = MACHINES - len(LACKING)
            until(lambda: counts(gateway, "tills")["failing"] == len(LACKING), PATIENCE_S, every=0.5)
            until(lambda: counts(gateway, "tills")["current"] == took, PATIENCE_S, every=0.5)
            assert counts(gateway, "tills")["lagging"] == SEEDED
            answering = {name: release(machine) for name, machine in machines.items()}
            assert answering == {name: first if name in LACKING else made for name in names} and made != first
            shown = sizewise("edge", "list", "--last", "4", home=home).out.splitlines()
            assert [line.split()[0] for line in shown[1:5]] == [*LACKING, "row-000"]
            assert all("lacks what the release needs: models/echo/large" in line for line in shown[1:4])
            for machine in machines.values():
                kill(machine)
        told, tagged = edges(gateway), [each for each in records(gateway) if each["tags"]]
        for name in names:
            mine = [each["trace"] for each in tagged if f"edge:{name}" in each["tags"]]
            assert len(mine) == len(set(mine)), "twice"
            assert set(mine) >= expected[name], "lost"
            its = told[name]
            assert (its["records"], its["lost"]) == (len(mine), 0)
