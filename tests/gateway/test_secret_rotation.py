"""A key from a secret manager: rotated while the server runs, kept while the manager is away, never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from sizewise.testing.upstream import FakeOpenAI
from tests.cli.terminal import sizewise
from tests.gateway.server_harness import beside
from tests.running_server import Served, serving, until

CANARY = "canary-sk-0417"
CONFIG = """
[server]
embedded = false
discover = false
workers = {workers}
[secrets]
refresh_s = {refresh_s}
[providers.cloud]
base_url = "{url}"
key = "exec:./manager.sh --field key"
models = ["m"]
"""


def manager(home: Path, body: str) -> None:
    """Written whole, since it may be run at any time."""
    new = home / "manager.new"
    new.write_text(f"#!/bin/sh\n{body}\n")
    new.chmod(0o755)
    new.rename(home / "manager.sh")


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_a_key_is_rotated_without_a_restart_and_outlives_its_manager(tmp_path: Path, workers: int) -> None:
    manager(tmp_path, f"echo {CANARY}-one")
    with beside(FakeOpenAI) as upstream:

        def sent(server: Served) -> str:
            assert server.chat("cloud/m").status == 200
            return upstream.received.headers[-1]["authorization"]

        def all_send(server: Served, key: str) -> bool:
            return {sent(server) for _ in range(40)} == {f"Bearer {key}"}  # so of each worker

        with serving(tmp_path, CONFIG.format(url=upstream.url, workers=workers, refresh_s=1)) as server:
            assert all_send(server, f"{CANARY}-one")
            manager(tmp_path, f"echo {CANARY}-two")
            until(lambda: all_send(server, f"{CANARY}-two"))
            manager(tmp_path, f"echo {CANARY}-three; exit 4")
            until(lambda: "ended with code 4" in "".join(server.said))
            assert all_send(server, f"{CANARY}-two"), "the key before stays in use"
            until(lambda: "secrets by command" in server.ask("/readyz").body.decode())
            manager(tmp_path, f"echo {CANARY}-three; echo an update is available")
            until(lambda: "is not one printable line" in "".join(server.said))
            assert all_send(server, f"{CANARY}-two")
            manager(tmp_path, f"echo {CANARY}-four")
            until(lambda: all_send(server, f"{CANARY}-four"))
            shown = server.ask("/graphql", {"query": "{ settings { file tables { name keys { name value } } } }"})
            assert CANARY not in shown.body.decode()
        assert CANARY not in "".join(server.said)
    checked = sizewise("doctor", home=tmp_path)
    assert CANARY not in checked.out + checked.err
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.name != "manager.sh":
            assert CANARY.encode() not in file.read_bytes(), f"{file.name} holds the key"


@pytest.mark.long
def test_a_server_starts_without_its_manager_and_answers_once_it_is_there(tmp_path: Path) -> None:
    manager(tmp_path, "exit 2")
    with (
        beside(FakeOpenAI) as upstream,
        serving(tmp_path, CONFIG.format(url=upstream.url, workers=1, refresh_s=300)) as server,
    ):
        until(lambda: "'./manager.sh' ended with code 2" in "".join(server.said), seconds=10)
        refused = server.chat("cloud/m")
        assert refused.status == 503 and "'./manager.sh' ended with code 2" in refused.body.decode()
        manager(tmp_path, f"echo {CANARY}-late")
        until(lambda: server.chat("cloud/m").status == 200)
        assert upstream.received.headers[-1]["authorization"] == f"Bearer {CANARY}-late"
