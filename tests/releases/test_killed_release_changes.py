"""Kill -9 in the middle of publishing, promoting and rolling back: done or not done, and the same command ends it."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.fakes.fake_pull_requests import pull_request_double
from tests.graphql.graphql_client import graphql
from tests.releases.git_server import TOKEN, git_server
from tests.releases.test_environments import ENVIRONMENTS, FLOW, PROMPT, greet, key_of, live, project, run
from tests.releases.test_git_publishing import PUBLISH, publish, settings, shown
from tests.releases.test_git_sync import FILES
from tests.releases.test_git_sync import FLOW as GIT_FLOW
from tests.running_server import Served, serving, until

pytestmark = pytest.mark.long

PROMOTE = 'mutation { promoteRelease(environment: "prod", breaking: true) { name } }'
ROLLBACK = 'mutation { rollbackRelease(environment: "prod") { name } }'


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """The only lock for writers is taken: a change is prepared, and waits to be written."""
    database = sqlite3.connect(home / "sizewise.db", timeout=60, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        database.execute("ROLLBACK")
        database.close()


def asking(server: Served, query: str, **variables: object) -> threading.Thread:
    """In the background, from a server that dies before it answers."""
    key = (server.home / "admin.token").read_text().strip()

    def unanswered() -> None:
        with pytest.raises((OSError, HTTPException)):
            server.ask("/graphql", {"query": query, "variables": variables}, key=key)

    thread = threading.Thread(target=unanswered)
    thread.start()
    return thread


def killed(server: Served) -> None:
    server.process.kill()
    server.process.wait(60)


def test_kill_9_in_a_promotion_or_a_rollback_leaves_it_undone_and_it_can_be_done_again(tmp_path: Path) -> None:
    home = project(tmp_path)
    with serving(home, ENVIRONMENTS) as server:
        until(lambda: live(home)["prod"])
        first = live(home)["prod"]
        (home / "prompts" / "greet.md").write_text(PROMPT.replace("one", "two"))
        with locked(home):
            waits = asking(server, PROMOTE)
            time.sleep(1.0)  # whatever it has done by then, nothing of it is written
            killed(server)
        waits.join(60)
    with serving(home, ENVIRONMENTS) as server:
        assert live(home)["prod"] == first
        second = run(home, "release", "promote", "prod")["live"]["release"]
        assert second != first
        with locked(home):
            waits = asking(server, ROLLBACK)
            time.sleep(1.0)
            killed(server)
        waits.join(60)
    with serving(home, ENVIRONMENTS) as server:
        assert live(home)["prod"] == second
        made = run(home, "release", "rollback", "prod")
        assert made["live"]["release"] == first
        assert [each["action"] for each in made["moves"]] == ["rollback", "promote", "first"]
        assert greet(server, key_of(home, "prod")).headers["x-sizewise-release"] == first


def test_kill_9_at_any_moment_of_publishing_leaves_file_and_what_is_live_the_same(tmp_path: Path) -> None:
    home = project(tmp_path)
    file = home / "flows" / "answer.yaml"
    for number, delay_s in enumerate((0.0, 0.02, 0.05, 0.1, 0.3)):
        with serving(home, ENVIRONMENTS) as server:
            until(lambda: graphql(server, "{ flows { name } }").data["flows"])
            before, text = file.read_text(), FLOW.replace("FLOW one", f"FLOW {number}")
            key = (home / "admin.token").read_text().strip()

            def send(server: Served = server, text: str = text, key: str = key) -> None:
                try:
                    server.ask("/graphql", {"query": PUBLISH, "variables": {"t": text}}, key=key)
                except (OSError, HTTPException):
                    pass

            thread = threading.Thread(target=send)
            thread.start()
            time.sleep(delay_s)
            killed(server)
            thread.join(60)
        assert file.read_text() in (before, text), "never half a file"
        with serving(home, ENVIRONMENTS) as server:
            until(lambda: graphql(server, "{ flows { text } }").data["flows"] == [{"text": file.read_text()}])


def test_kill_9_in_a_push_to_git_and_publishing_again_is_one_commit_and_one_pull_request(tmp_path: Path) -> None:
    text = GIT_FLOW.replace("small", "large")
    with git_server(tmp_path / "git") as repository, pull_request_double("github") as host:
        repository.commit(FILES)
        home, config = tmp_path / "home", settings(repository, host)
        with serving(home, config, GIT_TOKEN=TOKEN) as server:
            repository.held.clear()
            waits = asking(server, PUBLISH, t=text)
            assert repository.pushing.wait(60)
            killed(server)
            repository.held.set()
            waits.join(60)
        until(lambda: shown(repository, "for-each-ref", "refs/heads/sizewise"))  # the server had all of the push
        with serving(home, config, GIT_TOKEN=TOKEN) as server:
            made = publish(server, text)
            assert made["pullRequest"] == "https://git.example/repo/1" and len(host.opened) == 1
            assert shown(repository, "rev-list", "--count", f"main..{made['branch']}") == "1"
