"""Keys changed while the server serves: nothing is lost, nobody waits, and the old key opens nothing any more."""

from __future__ import annotations

import base64
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import fresh_key, graphql
from tests.running_server import ECHO, Served, serving, until

STATUS = "{ encryption { wrappedBy reencrypting keys { id wrappedBy retired rows } } }"


def key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def remembered(server: Served, words: str = "Remember this") -> str:
    answer: Any = server.ask("/v1/responses", {"model": "echo/small", "input": words}).json
    return str(answer["id"])


def status(server: Served) -> dict[str, Any]:
    found: dict[str, Any] = graphql(server, STATUS).data["encryption"]
    return found


def settled(server: Served) -> dict[str, Any]:
    until(lambda: not status(server)["reencrypting"])
    return status(server)


@pytest.mark.long
def test_a_new_key_is_put_in_front_and_the_old_one_taken_out(tmp_path: Path) -> None:
    ring = tmp_path / "ring"
    old, new = key(), key()
    ring.write_text(old)
    config = ECHO + f'[encryption]\nkey = "file:{ring}"\n'
    with serving(tmp_path, config) as server:
        id = remembered(server)
        first = status(server)
        ring.write_text(f"{new}\n{old}\n")
        done = sizewise("encryption", "rotate", home=tmp_path)
        assert (done.code, done.out) == (0, "1 data key is wrapped by the newest key\n")
        after = settled(server)
        assert after["wrappedBy"] != first["wrappedBy"] and after["keys"][0]["wrappedBy"] == after["wrappedBy"]
        assert (after["keys"][0]["id"], after["keys"][0]["rows"]) == (first["keys"][0]["id"], 1)
        assert server.ask(f"/v1/responses/{id}").status == 200
    ring.write_text(new)
    with serving(tmp_path, config) as server:
        assert server.ask(f"/v1/responses/{id}").status == 200
        assert server.ask("/readyz").json == {"status": "ready", "impaired": []}
        shown = sizewise("encryption", "status", home=tmp_path)
        assert (
            after["keys"][0]["id"] in shown.out and after["wrappedBy"] in shown.out and new not in shown.out + shown.err
        )


@pytest.mark.long
def test_new_data_keys_while_clients_ask(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        ids = [remembered(server, f"words {number}") for number in range(120)]
        first = status(server)["keys"][0]["id"]
        failures: list[int] = []
        ends = threading.Event()

        def asks() -> None:
            while not ends.is_set():
                for id in ids[:20]:
                    if server.ask(f"/v1/responses/{id}").status != 200:
                        failures.append(1)
                ids.append(remembered(server))

        thread = threading.Thread(target=asks)
        thread.start()
        try:
            done = sizewise("encryption", "rotate", "--data", "--json", home=tmp_path)
            assert done.json == {"rewrapped": 1}
            after = settled(server)
        finally:
            ends.set()
            thread.join()
        assert failures == []
        old, new = after["keys"]
        assert (old["id"], old["rows"], bool(old["retired"])) == (first, 0, True)
        assert new["rows"] >= 120 and new["retired"] is None
        assert all(server.ask(f"/v1/responses/{id}").status == 200 for id in ids)


@pytest.mark.parametrize(
    "field",
    ["query { encryption { wrappedBy } }", "mutation { rotateEncryptionKeys { rewrapped } }"],
)
def test_only_who_may_manage_the_vault_sees_or_changes_it(echo: Served, field: str) -> None:
    assert graphql(echo, field, key=fresh_key(echo, "ask", "read")).code == "forbidden"


@pytest.mark.long
def test_a_key_service_that_fails_is_said_and_nothing_is_kept_in_the_clear(tmp_path: Path) -> None:
    program = tmp_path / "kms"
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o700)
    with serving(tmp_path, ECHO + f'[encryption]\nkms = "command:{program}"\n') as server:
        until(lambda: b"exited with 7" in server.ask("/readyz").body)
        assert server.ask("/readyz").status == 200  # what needs no vault goes on
        assert server.chat("echo/small").status == 200
        asked: dict[str, Any] = {"model": "echo/small", "input": "the canary sings"}
        forgotten: Any = server.ask("/v1/responses", asked).json
        assert forgotten["status"] == "completed" and forgotten["store"] is False  # as its client is told
        refused = server.ask("/v1/responses", asked, idempotency_key="once")
        assert (refused.status, refused.error["code"]) == (503, "vault_locked")
        program.write_text("#!/bin/sh\nread line; echo QUJD$line\n")  # it wraps, in its way
        until(lambda: b"exited with 7" not in server.ask("/readyz").body)
        assert server.ask("/v1/responses", asked, idempotency_key="once").json["store"] is True  # type: ignore[index]  # JSON


def test_the_vault_needs_no_argument_to_tell_what_it_can(tmp_path: Path) -> None:
    assert "rotate" in sizewise("encryption", "--help", home=tmp_path).out
    assert sizewise("encryption", "status", home=tmp_path).code == 3
