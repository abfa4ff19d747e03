"""Stories of a canary on two servers with one Postgres: one split and one decision for both, also when it is away."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.postgres import PostgresServer, dedicated_postgres
from tests.releases.canary_upstream import upstream
from tests.releases.test_environments import live, run
from tests.running_server import ECHO, Served, serving, until
from tests.stories.test_canary_stories import SETTINGS, arm, ask, state

pytestmark = pytest.mark.long
SHARED = '\n[database]\nurl = "env:SHARED_STORE"\n[encryption]\nkey = "env:SHARED_KEY"\n'
AWAY_S = 30.0
STALE_S = 6.0
"""Servers that cannot read what is live for 5 s answer by stable."""
SETTLED_S = 5.0
"""After the database is back: all requests from before are evaluated."""


@dataclass
class Pair:
    """Two servers with a canary, and their database."""

    servers: tuple[Served, Served]
    database: PostgresServer


@contextmanager
def pair(tmp_path: Path, canary: str, next: str) -> Iterator[Pair]:
    with ExitStack() as stack:
        database = stack.enter_context(dedicated_postgres())
        environ = {
            "SHARED_STORE": database.url(),
            "SHARED_KEY": base64.b64encode(bytes(range(32))).decode(),
            "UPSTREAM_KEY": "x",
        }
        url = stack.enter_context(upstream())
        stable = SETTINGS.format(echo=ECHO, url=url, model="near/good", canary=canary) + SHARED
        one, other = (stack.enter_context(serving(tmp_path / name, stable, **environ)) for name in ("one", "other"))
        until(lambda: live(one.home)["prod"])
        (one.home / "sizewise.toml").write_text(stable.replace("near/good", next))
        made = run(one.home, "release", "apply", ".", "--to", "prod")["live"]
        assert made["canary"] and live(other.home)["prod"] == made["release"]
        yield Pair((one, other), database)


def both(pair: Pair, session: str) -> set[str]:
    """The arms of a session's requests, at both servers."""
    answers = [ask(server, session) for server in pair.servers]
    assert [each.status for each in answers] == [200, 200], [each.body for each in answers]
    return {arm(each) for each in answers}


def test_story_21_a_conversation_has_one_arm_at_both_servers_and_story_24_goes_on_after_the_database_was_away(
    tmp_path: Path,
) -> None:
    steps = 'steps = [0.5]\nshadow_pairs = 0\npromote = "manual"\nmargins = {slow = 1, cost = 1}'
    with pair(tmp_path, steps, "near/worse") as made:
        one, other = made.servers
        until(lambda: all(arm(ask(server, "first")) for server in made.servers))
        arms: dict[str, set[str]] = {}

        def compared() -> bool:
            for number in range(len(arms), len(arms) + 8):
                arms[f"s{number}"] = both(made, f"s{number}")
            units = state(one.home)["units"]
            return bool(units["canary"] >= 3 and units["stable"] >= 3)

        until(compared, 60)
        assert all(len(each) == 1 for each in arms.values()), "no conversation changes arms between servers"
        seen = [state(each.home) for each in made.servers]
        assert seen[0]["release"] == seen[1]["release"], "one canary, of both"

        sent, began = 0, time.monotonic()
        made.database.stop("fast")
        while time.monotonic() < began + AWAY_S:
            late = time.monotonic() > began + STALE_S
            for server in made.servers:
                answer = ask(server, f"away{sent}")
                sent += 1
                assert answer.status == 200, answer.body
                assert not late or arm(answer) == "unsplit", "cut off from its database, a server answers by stable"
            time.sleep(0.2)
        made.database.start()

        def written() -> bool:
            found = run(one.home, "records", "--last", "1000")["records"]
            return sum(str(each["session"]).startswith("away") for each in found) == sent

        until(written, 60)
        before = state(other.home)["units"]

        new, back = 0, time.monotonic()

        def goes_on() -> bool:
            nonlocal new
            both(made, f"new{new}")
            new += 1
            units = state(other.home)["units"]
            both_grew = bool(units["canary"] > before["canary"] and units["stable"] > before["stable"])
            return both_grew and time.monotonic() > back + SETTLED_S

        until(goes_on, 60)
        assert state(one.home)["state"] == "running", "what stable answered meanwhile is no evidence"
        for session in ("s0", "s1", "s2", "s3"):
            assert both(made, session) == arms[session], "and conversations keep their arm"


def test_story_22_a_release_that_fails_is_back_on_both_servers_by_one_decision(tmp_path: Path) -> None:
    with pair(tmp_path, "steps = [0.5]\nshadow_pairs = 0", "broken/gone") as made:
        one, other = made.servers
        number = 0

        def ended() -> bool:
            nonlocal number
            for server in made.servers:
                number += 1
                answer = ask(server, f"s{number}")
                assert answer.status == 200 and b"The answer to Hello" in answer.body, answer.body
            return bool(state(other.home)["state"] == "rolled_back")

        until(ended, 60)
        for server in made.servers:
            until(lambda server=server: arm(ask(server, "later")) == "")
        seen = [{**state(each.home), "servers": []} for each in made.servers]  # which report each second
        assert seen[0] == seen[1]
        moves = run(one.home, "release", "status", "prod")["environments"][0]["moves"]
        assert [each["action"] for each in moves] == ["rollback", "canary", "first"], "one decision"
        assert state(one.home)["units"]["canary"] <= 14


def test_story_24_the_other_server_goes_on_evaluating_when_one_is_killed(tmp_path: Path) -> None:
    with pair(tmp_path, "steps = [0.5]\nshadow_pairs = 0", "broken/gone") as made:
        one, other = made.servers
        one.process.kill()
        one.process.wait(60)
        number = 0

        def ended() -> bool:
            nonlocal number
            number += 1
            answer = ask(other, f"s{number}")
            assert answer.status == 200 and b"The answer to Hello" in answer.body, answer.body
            return bool(state(other.home)["state"] == "rolled_back")

        until(ended, 120)
        until(lambda: arm(ask(other, "later")) == "")
