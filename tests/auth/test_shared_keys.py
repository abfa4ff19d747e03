"""Servers that share a Postgres share their keys and count guesses together: what one revokes, the other refuses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sizewise.app.services import open_services
from sizewise.auth.api_keys import POLL_S
from tests.auth.user_client import Browser, joined_user, new_user
from tests.graphql.graphql_client import graphql
from tests.postgres import PostgresServer, libpq_uri
from tests.running_server import ECHO, Served, read_all, serving, until

psycopg: Any = pytest.importorskip("psycopg", reason="needs a driver for Postgres: pip install psycopg[binary]")

CONFIG = f"""{ECHO}
[database]
url = "env:SHARED_STORE"
"""


@pytest.fixture(scope="module")
def pair(module_postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Served]]:
    folder = tmp_path_factory.mktemp("shared")
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(serving(folder / "one", CONFIG, SHARED_STORE=module_postgres_url))
        yield one, stack.enter_context(serving(folder / "other", CONFIG, SHARED_STORE=module_postgres_url))


@pytest.mark.long
def test_servers_that_start_at_once_on_a_new_database_have_one_first_key(
    shared_postgres: PostgresServer, tmp_path: Path
) -> None:
    start = threading.Barrier(3)

    def first_key(url: str, brought: str) -> str:
        start.wait(60)
        with open_services(tmp_path / uuid.uuid4().hex, url=url) as services:
            start.wait(60)
            return services.api_keys.ensure_first_key(brought)

    with ThreadPoolExecutor(3) as together:
        for brought in ("", "correct-horse-battery-staple-1"):
            with shared_postgres.new_database() as url:
                said = list(together.map(lambda _, at=url, key=brought: first_key(at, key), range(3)))
            assert sorted(map(bool, said)) == [False, False, not brought]


def made(server: Served, name: str) -> dict[str, Any]:
    found: dict[str, Any] = graphql(server, f'mutation {{ createKey(name: "{name}") {{ secret key {{ id }} }} }}').data
    return dict(found["createKey"])


def test_a_change_is_looked_for_twice_a_second() -> None:
    assert POLL_S == 0.5


@pytest.mark.long
def test_a_key_is_soon_known_to_the_other_and_soon_refused_there(pair: tuple[Served, Served]) -> None:
    one, other = pair
    key = made(one, "walker")
    until(lambda: other.ask("/v1/models", key=key["secret"]).status == 200)
    graphql(one, "mutation ($id: String!) { revokeKey(id: $id) { id } }", id=key["key"]["id"])
    assert one.ask("/v1/models", key=key["secret"]).status == 401, "where it was revoked, at once"
    until(lambda: other.ask("/v1/models", key=key["secret"]).status == 401)


@pytest.mark.long
def test_an_answer_under_way_elsewhere_is_stopped(pair: tuple[Served, Served]) -> None:
    one, other = pair
    key = made(one, "streamer")
    until(lambda: other.ask("/v1/models", key=key["secret"]).status == 200)
    connection = other.connection()
    body = {
        "model": "echo/small",
        "stream": True,
        "messages": [{"role": "user", "content": "[[hang after=2]] one two three"}],
    }
    headers = {"authorization": f"Bearer {key['secret']}", "content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    answer = connection.getresponse()
    assert answer.readline().startswith(b"data: ")
    graphql(one, "mutation ($id: String!) { revokeKey(id: $id) { id } }", id=key["key"]["id"])
    assert b"invalid_api_key" in read_all(answer)[0]
    connection.close()


@pytest.mark.long
def test_a_user_whom_another_server_disables_at_that_moment_stays_disabled(postgres_url: str, tmp_path: Path) -> None:
    uri = libpq_uri(postgres_url)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with (
        open_services(tmp_path / "home", url=postgres_url) as services,
        ThreadPoolExecutor(1) as together,
        psycopg.connect(uri, autocommit=True) as watching,
    ):
        user = asyncio.run(joined_user(services, "ada@example.com"))
        linked = services.users.link_identity("local", user.email, "Ada", "https://id.example.com", "ada")
        with psycopg.connect(uri) as other:  # one transaction
            other.execute("UPDATE users SET disabled = 1 WHERE id = %s", (user.id,))
            linking = together.submit(asyncio.run, linked)
            until(lambda: watching.execute(waiting).fetchone()[0])
        assert linking.result(30) is None
        assert watching.execute("SELECT disabled, issuer FROM users").fetchall() == [(1, None)]


@pytest.mark.long
def test_guesses_at_all_servers_count_together(pair: tuple[Served, Served]) -> None:
    one, other = pair
    victim = new_user(one, "guessed@example.com", "viewer").said["email"]
    until(lambda: Browser(other).sign_in(victim).status == 200)

    def guess(server: Served) -> int:
        return Browser(server).sign_in(victim, "not the right sentence").status

    with ThreadPoolExecutor(8) as together:
        said = list(together.map(guess, [one, other] * 15))
    assert sorted(said) == [401] * 10 + [429] * 20
    assert Browser(one).sign_in(victim).status == Browser(other).sign_in(victim).status == 429


@pytest.mark.long
def test_changes_on_both_sides_at_once_stand_in_one_whole_trail(pair: tuple[Served, Served]) -> None:
    with ThreadPoolExecutor(8) as together:
        list(together.map(lambda number: made(pair[number % 2], "many"), range(16)))
    query = "{ audit(last: 1000, after: 0) { seq at actor action resource before after error previous hash } }"
    lines = graphql(pair[0], query).data["audit"]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert sum(line["action"] == "key.create" for line in lines) >= 16
    assert all(after["previous"] == before["hash"] for before, after in pairwise(lines))
