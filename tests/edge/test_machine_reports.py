"""A small machine reports what it answered: each record once, over a network that loses, and after it was killed."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.edge.running_worker import free_port
from tests.graphql.graphql_client import fresh_key, graphql
from tests.running_server import ECHO, Served, serving, until

EDGE = """
[edge]
machine = "{name}"
origin = "{origin}"
key = "env:EDGE_KEY"
"""
RECORDS = "{ records(last: 1000) { rows { trace tags } } }"
EDGES = "{ edges(last: 1000) { rows { name kind records lost waiting } } }"


@contextlib.contextmanager
def losing_network(target: str, share: float, seed: int = 7) -> Iterator[str]:
    """A URL in front of `target` that cuts this share of connections, before the request or before its answer."""
    chance = random.Random(seed)
    listener = socket.create_server(("127.0.0.1", 0))
    parts = urlsplit(target)

    def carry(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            fate = chance.random()
            if fate < share / 2:
                return
            with socket.create_connection((parts.hostname or "", parts.port or 80), 10) as server:
                back = threading.Thread(target=_pump, args=(server, client, fate < share), daemon=True)
                back.start()
                _pump(client, server, False)
                back.join(30)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=carry, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def _pump(source: socket.socket, target: socket.socket, loses: bool) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            if loses:
                break
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)


@pytest.mark.long
def test_each_record_comes_home_once_over_a_bad_network_and_after_a_kill(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as home, losing_network(home.url, 0.2) as url:
        key = fresh_key(home, "serve_edge")
        asked: set[str] = set()
        for name in ("till-1", "till-2"):
            config = ECHO + EDGE.format(name=name, origin=url)
            with serving(tmp_path / name, config, EDGE_KEY=key) as machine:
                until(lambda name=name: name in _edges(home))
                mine = {machine.chat("echo/small").headers["x-sizewise-trace"] for _ in range(40)}
                until(lambda machine=machine, mine=mine: _traces(machine) >= mine)  # on its disk
                until(lambda mine=mine: _traces(home) & mine)
                machine.process.kill()
                machine.process.wait(60)
            with serving(tmp_path / name, config, EDGE_KEY=key) as machine:
                mine |= {machine.chat("echo/small").headers["x-sizewise-trace"] for _ in range(5)}
                until(lambda mine=mine: _traces(home) >= mine)
            asked |= mine
        rows = [each for each in _rows(home) if each["tags"]]
        assert len(rows) == len(asked) == 90
        assert {tag for each in rows for tag in each["tags"]} == {"edge:till-1", "edge:till-2"}
        told = _edges(home)
        assert {name: (each["kind"], each["records"], each["lost"]) for name, each in told.items()} == {
            "till-1": ("machine", 45, 0),
            "till-2": ("machine", 45, 0),
        }


@pytest.mark.long
def test_a_machine_without_a_gateway_answers_and_says_that_records_wait(tmp_path: Path) -> None:
    origin = f"http://127.0.0.1:{free_port()}"
    with serving(tmp_path, ECHO + EDGE.format(name="till", origin=origin), EDGE_KEY="sk-x") as machine:
        assert machine.chat("echo/small").status == 200
        until(lambda: b"the gateway of this machine" in machine.ask("/readyz").body)
        assert machine.ask("/readyz").status == 200


def _rows(server: Served) -> list[dict[str, list[str]]]:
    found: list[dict[str, list[str]]] = graphql(server, RECORDS).data["records"]["rows"]
    return found


def _traces(server: Served) -> set[str]:
    return {str(each["trace"]) for each in _rows(server)}


def _edges(server: Served) -> dict[str, dict[str, object]]:
    return {each["name"]: each for each in graphql(server, EDGES).data["edges"]["rows"]}
