"""Documents that wait because the store failed are embedded by the server itself, once the store is back."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.graphql.graphql_client import GraphQLAnswer, graphql
from tests.knowledge.knowledge_server import CONFIG, EMBED, add, embed, listed, search
from tests.running_server import Served, serving, until

TEXT = "Everybody has thirty days of holidays."
CREATE = 'mutation ($may: [Permission!]) { createKey(name: "adder", permissions: $may) { secret key { id } } }'
REVOKE = "mutation ($id: String!) { revokeKey(id: $id) { id } }"
REMOVE = "mutation ($base: String!, $id: String!) { removeDocument(base: $base, id: $id) }"


def break_store(server: Served) -> None:
    (server.home / "passages").write_text("no folder")


def heal_store(server: Served) -> None:
    (server.home / "passages").unlink()


def failed(server: Served, key: str = "") -> GraphQLAnswer:
    answer = graphql(server, EMBED, key=key, base="handbook")
    assert answer.code == "store_failed", answer.errors
    return answer


def states(server: Served) -> list[str]:
    return [each["state"] for each in listed(server)]


def warned(server: Served, words: str) -> int:
    return sum(words in line for line in server.said)


@pytest.mark.long
def test_a_store_that_cannot_be_started_names_the_next_step(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG) as server:
        break_store(server)
        add(server, "leave.md", TEXT)
        (error,) = failed(server).errors
        assert "File exists" in error["message"] and "`passages`" in error["extensions"]["hint"]
        assert str(tmp_path) not in str(error)


@pytest.mark.long
def test_documents_are_embedded_once_the_store_is_back(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG) as server:
        break_store(server)
        add(server, "leave.md", TEXT)
        failed(server)
        until(lambda: warned(server, "documents of 'handbook' wait, and are retried"))
        assert states(server) == ["waiting"]
        heal_store(server)
        until(lambda: states(server) == ["ready"])
        assert search(server, "holidays", mode="words")[0]["text"] == TEXT
        until(lambda: warned(server, "documents of 'handbook' no longer wait"))
        assert warned(server, "are retried") == 1, "one line a failure, however many retries"
        assert not warned(server, "thirty")
        assert embed(server) == 0


@pytest.mark.long
def test_documents_that_waited_at_a_crash_are_embedded_by_the_next_server(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG) as server:
        break_store(server)
        add(server, "leave.md", TEXT)
        failed(server)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(60)
        heal_store(server)
    with serving(tmp_path, CONFIG) as server:
        until(lambda: states(server) == ["ready"])


@pytest.mark.long
def test_retries_end_when_the_key_of_their_caller_is_revoked(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG) as server:
        break_store(server)
        made: Any = graphql(server, CREATE, may=["ask", "manage_knowledge"]).data["createKey"]
        add(server, "leave.md", TEXT, key=made["secret"])
        failed(server, made["secret"])
        assert graphql(server, REVOKE, id=made["key"]["id"]).errors == []
        heal_store(server)
        until(lambda: warned(server, "documents of 'handbook' wait until they are added again"))
        assert states(server) == ["waiting"]
        assert embed(server) == 1
