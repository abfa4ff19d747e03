"""Two servers of one Postgres: what is live changes on both, and both go on with it when the database is gone."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.postgres import dedicated_postgres, libpq_uri
from tests.releases.test_environments import PROMPT, greet, live, project, run, text
from tests.running_server import ECHO, Served, serving, until

CONFIG = f"""{ECHO}
[database]
url = "env:SHARED_STORE"
[encryption]
key = "env:SHARED_KEY"
[environments.staging]
[environments.prod]
"""


@contextlib.contextmanager
def two_servers(tmp_path: Path, url: str, config: str = CONFIG) -> Iterator[tuple[Served, Served]]:
    with contextlib.ExitStack() as stack:
        homes = [project(tmp_path / name, config) for name in ("one", "other")]
        one, other = (stack.enter_context(serving(home, config, **environment(url))) for home in homes)
        until(lambda: live(one.home)["prod"])
        yield one, other


def environment(url: str) -> dict[str, str]:
    return {"SHARED_STORE": url, "SHARED_KEY": base64.b64encode(bytes(range(32))).decode()}


@pytest.mark.long
def test_of_two_releases_at_once_at_two_servers_each_follows_what_was_live_or_is_refused(
    tmp_path: Path, postgres_url: str
) -> None:
    config = CONFIG.replace("[environments.prod]", '[environments.prod]\nfrom = "any"')
    with two_servers(tmp_path, postgres_url, config) as servers:
        hashes = []
        for word in ("two", "three"):
            (servers[0].home / "prompts" / "greet.md").write_text(PROMPT.replace("one", word))
            hashes.append(run(servers[0].home, "release", "build")["hash"])
        words = [("release", "apply", hash, "--to", "prod", "--json") for hash in hashes]
        with ThreadPoolExecutor(2) as pool:
            done = list(pool.map(lambda at: sizewise(*words[at], home=servers[at].home), range(2)))
        won = [hash for hash, each in zip(hashes, done, strict=True) if each.code == 0]
        assert won and all(each.code == 0 or "came first" in each.out for each in done), [each.out for each in done]
        now = live(servers[0].home)["prod"]
        assert now in won and live(servers[1].home)["prod"] == now
        shown = {each["name"]: each for each in run(servers[1].home, "release", "status")["environments"]}["prod"]
        assert [each["before"] for each in shown["moves"][:-1]] == [each["release"] for each in shown["moves"][1:]]
        assert len(shown["moves"]) == 1 + len(won)
        for server in servers:
            until(lambda server=server: greet(server, server.key).headers["x-sizewise-release"] == now)


@pytest.mark.long
def test_a_rollback_at_one_server_is_followed_by_the_other_and_without_the_store_both_go_on(tmp_path: Path) -> None:
    with dedicated_postgres() as database, two_servers(tmp_path, database.url()) as (one, other):
        first = live(one.home)["prod"]
        assert live(other.home)["prod"] == first
        (one.home / "prompts" / "greet.md").write_text(PROMPT.replace("one", "two"))
        second = run(one.home, "release", "promote", "prod")["live"]["release"]
        for server in (one, other):
            until(lambda server=server: greet(server, server.key).headers["x-sizewise-release"] == second)
            assert "PROMPT two" in text(greet(server, server.key))
        assert run(other.home, "release", "rollback", "prod")["live"]["release"] == first
        for server in (other, one):
            until(lambda server=server: greet(server, server.key).headers["x-sizewise-release"] == first)
        database.stop("fast")
        for server in (one, other, one, other):
            answer = greet(server, server.key)
            assert "PROMPT one" in text(answer) and answer.headers["x-sizewise-release"] == first


@contextlib.contextmanager
def asking(server: Served) -> Iterator[list[int]]:
    """The status of each request, one after the other, until the end."""
    statuses, done = list[int](), threading.Event()

    def ask() -> None:
        while not done.is_set():
            statuses.append(greet(server, server.key).status)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield statuses
    finally:
        done.set()
        thread.join(60)


@pytest.mark.long
def test_kill_9_of_a_server_in_a_rollback_loses_nothing_at_the_other_and_it_comes_back_rolled_back(
    tmp_path: Path, postgres_url: str
) -> None:
    with two_servers(tmp_path, postgres_url) as (dying, other):
        first = live(other.home)["prod"]
        (dying.home / "prompts" / "greet.md").write_text(PROMPT.replace("one", "two"))
        second = run(dying.home, "release", "promote", "prod")["live"]["release"]
        for server in (dying, other):
            until(lambda server=server: greet(server, server.key).headers["x-sizewise-release"] == second)
        with asking(other) as statuses:
            with lock_of_releases(postgres_url) as waits:
                refused = dying_rollback(dying)
                until(waits)
                dying.process.kill()
                refused.join(60)
            dying.process.wait(60)
            assert live(other.home)["prod"] == second, "it was not written"
            assert run(other.home, "release", "rollback", "prod")["live"]["release"] == first
            until(lambda: greet(other, other.key).headers["x-sizewise-release"] == first)
        assert statuses and set(statuses) == {200}
        with serving(dying.home, CONFIG, **environment(postgres_url)) as again:
            answer = greet(again, again.key)
            assert answer.headers["x-sizewise-release"] == first and "PROMPT one" in text(answer)


@contextlib.contextmanager
def lock_of_releases(url: str) -> Iterator[Callable[[], bool]]:
    """What is live can be read, and not written; whether somebody waits to write it."""
    import psycopg

    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'live_releases'::regclass"
    with psycopg.connect(libpq_uri(url)) as connection:
        connection.execute("LOCK TABLE live_releases IN EXCLUSIVE MODE")
        yield lambda: connection.execute(waiting).fetchone() != (0,)


def dying_rollback(server: Served) -> threading.Thread:
    """A rollback that waits to be written, asked of a server that dies before it answers."""
    begun = threading.Event()
    query = 'mutation { rollbackRelease(environment: "prod") { name } }'
    key = (server.home / "admin.token").read_text().strip()

    def unanswered() -> None:
        begun.set()
        with pytest.raises((OSError, HTTPException)):
            server.ask("/graphql", {"query": query}, key=key)

    thread = threading.Thread(target=unanswered)
    thread.start()
    begun.wait(60)
    return thread
