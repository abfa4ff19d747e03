"""What the lessons share: a server on loopback with good and bad upstreams, and a trap that nobody may call."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sizewise.testing.upstream import FakeOpenAI
from tests.gateway.server_harness import SECRET, misbehaving, settings
from tests.graphql.graphql_client import fresh_key
from tests.running_server import Served, serving


class Trap:
    """Listens on loopback and counts who connects; answers each with a picture's head, so that nobody waits."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.calls = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.calls += 1
                with suppress(OSError):
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 0\r\n\r\n")
                    connection.close()

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def trap() -> Iterator[Trap]:
    caught = Trap()
    yield caught
    assert caught.calls == 0, "somebody called where a client wanted him to"
    caught.close()


@pytest.fixture(scope="session")
def upstream() -> Iterator[FakeOpenAI]:
    with misbehaving() as up:
        yield up


@pytest.fixture(scope="session")
def house(upstream: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("lessons"), settings(upstream.url), UPSTREAM_KEY=SECRET) as served:
        yield served


@pytest.fixture
def served(house: Served) -> Iterator[Served]:
    """The server, which must live on after every test, and have said nothing that it should not."""
    already = len(house.said)
    yield house
    assert house.ask("/healthz", key=None).status == 200
    said = "".join(house.said[already:])
    assert "Traceback" not in said and "unforeseen" not in said, said
    assert SECRET not in said and house.key not in said


@pytest.fixture(scope="session")
def asker(house: Served) -> str:
    """A key that may ask models and nothing else."""
    return fresh_key(house, "ask")


def memory(served: Served) -> int:
    """Bytes that the server and all it started hold (Linux)."""
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def cpu_seconds(pid: int) -> float:
    """That the process has computed so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
