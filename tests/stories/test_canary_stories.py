"""Stories of a canary through the front door: what a client sees, and what `sizewise release status` says of it."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.releases.canary_upstream import upstream
from tests.releases.test_environments import live, run
from tests.running_server import ECHO, Answer, Served, serving, until

pytestmark = pytest.mark.long

SETTINGS = """
{echo}
[providers.near]
base_url = "{url}"
key = "env:UPSTREAM_KEY"
place = "machine"
models = ["good", "worse", "judge"]
[providers.broken]
base_url = "http://127.0.0.1:9/v1"
key = "env:UPSTREAM_KEY"
place = "machine"
models = ["gone"]
[policies.default]
threshold = 0.5
[policies.answer]
kind = "fixed"
models = ["{model}"]
[environments.prod]
from = "any"
[environments.prod.canary]
{canary}
"""


@contextmanager
def canary_of(home: Path, canary: str, *, stable: str = "near/good", next: str) -> Iterator[Served]:
    """A server whose release asks `stable`, with a canary that asks `next`."""
    with upstream() as url:
        settings = SETTINGS.format(echo=ECHO, url=url, model=stable, canary=canary)
        with serving(home, settings, UPSTREAM_KEY="x") as server:
            until(lambda: live(home)["prod"])
            (home / "sizewise.toml").write_text(SETTINGS.format(echo=ECHO, url=url, model=next, canary=canary))
            made = run(home, "release", "apply", ".", "--to", "prod")
            assert made["live"]["canary"] and made["live"]["release"] != made["live"]["canary"]
            yield server


def ask(server: Served, session: str, words: str = "Hello") -> Answer:
    body = {"model": "auto:answer", "messages": [{"role": "user", "content": words}]}
    return server.ask("/v1/chat/completions", body, x_sizewise_session=session)


def arm(answer: Answer) -> str:
    return answer.headers.get("x-sizewise-arm", "")


def state(home: Path) -> dict[str, Any]:
    (found,) = run(home, "release", "status", "prod")["canaries"]
    shown: dict[str, Any] = found
    return shown


def test_story_21_a_conversation_never_changes_arms_while_the_share_rises(tmp_path: Path) -> None:
    steps = 'steps = [0.3, 0.8]\nshadow_pairs = 0\nunits = [1]\nminutes = [0]\npromote = "manual"'
    with upstream() as url:
        settings = SETTINGS.format(echo=ECHO, url=url, model="near/good", canary=steps)
        with serving(tmp_path, settings, UPSTREAM_KEY="x") as server:
            until(lambda: live(tmp_path)["prod"])
            assert [arm(ask(server, f"old{n}")) for n in range(5)] == [""] * 5
            (tmp_path / "sizewise.toml").write_text(settings.replace("near/good", "near/worse"))
            run(tmp_path, "release", "apply", ".", "--to", "prod")
            arms: dict[str, str] = {}
            number = 0

            def second_step() -> bool:
                nonlocal number
                for session in (f"s{number}", *list(arms)[:3]):
                    assert arms.setdefault(session, arm(ask(server, session))) in ("stable", "canary")
                number += 1
                return bool(state(tmp_path)["step"] == 2) and "canary" in arms.values()

            until(second_step)
            for session, before in arms.items():
                assert arm(ask(server, session)) == before
            assert {arm(ask(server, f"old{n}")) for n in range(5)} == {"stable"}
            after = Counter(arm(ask(server, f"new{n}")) for n in range(60))
            assert after["canary"] > 30


def test_story_22_a_release_that_fails_never_leaves_its_shadow_run(tmp_path: Path) -> None:
    shadow = "steps = [0.5]\nshadow_pairs = 100\nshadow_rate = 1.0"
    with canary_of(tmp_path, shadow, next="broken/gone") as server:
        number = 0

        def ended() -> bool:
            nonlocal number
            number += 1
            answer = ask(server, f"s{number}")
            assert answer.status == 200 and arm(answer) != "canary"
            return bool(state(tmp_path)["state"] == "rolled_back")

        until(ended)
        shown = state(tmp_path)
        assert "errors, by shadow pairs: 100.0 %" in shown["reason"]
        assert shown["units"]["canary"] == 0
        until(lambda: arm(ask(server, "later")) == "")  # servers learn of it within a second


def test_story_22_without_a_shadow_run_it_is_back_after_a_few_sessions_which_stable_answers(tmp_path: Path) -> None:
    split = "steps = [0.5]\nshadow_pairs = 0"
    with canary_of(tmp_path, split, next="broken/gone") as server:
        number = 0

        def ended() -> bool:
            nonlocal number
            for _ in range(5):
                number += 1
                answer = ask(server, f"s{number}")
                assert answer.status == 200, answer.body
                assert b"The answer to Hello" in answer.body and arm(answer) in ("stable", "")
            return bool(state(tmp_path)["state"] == "rolled_back")

        until(ended)
        shown = state(tmp_path)
        assert shown["reason"].startswith("errors, by first requests: 100.0 %") and shown["failures"]
        assert shown["units"]["canary"] <= 14
        failed = run(tmp_path, "records", "--trace", shown["failures"][0]["trace"])["records"]
        assert sorted(each["arm"] for each in failed) == ["canary", "stable"]
        moves = run(tmp_path, "release", "status", "prod")["environments"][0]["moves"]
        assert [each["action"] for each in moves] == ["rollback", "canary", "first"]


def test_story_23_a_release_that_a_judge_finds_three_points_worse_is_rolled_back(tmp_path: Path) -> None:
    judged = 'steps = [0.5]\nshadow_pairs = 2000\nshadow_rate = 1.0\njudge = "near/judge"\n'
    judged += "margins = {quality = 0.0, slow = 1, cost = 1}"
    with canary_of(tmp_path, judged, next="near/worse") as server:
        number = 0

        def ended() -> bool:
            nonlocal number
            for _ in range(33):
                number += 1
                ask(server, f"s{number}", "a hard question" if number % 33 == 0 else f"question {number}")
            return bool(state(tmp_path)["state"] == "rolled_back")

        until(ended, 120)
        shown = state(tmp_path)
        assert shown["reason"].startswith("quality, by shadow pairs") and shown["units"]["canary"] == 0


def test_story_23_an_equal_one_becomes_live_by_its_evidence(tmp_path: Path) -> None:
    wide = 'steps = [0.5]\nshadow_pairs = 80\nshadow_rate = 1.0\nunits = [3]\nminutes = [0]\njudge = "near/judge"\n'
    wide += "margins = {error = 0.2, quality = 0.2, slow = 1, cost = 1}"
    with canary_of(tmp_path, wide, next="near/worse") as server:
        number = 0

        def ended() -> bool:
            nonlocal number
            for _ in range(5):
                number += 1
                ask(server, f"s{number}")
            return bool(state(tmp_path)["state"] == "promoted")

        until(ended, 120)
        shown = state(tmp_path)
        assert shown["reason"].startswith("certified to be within its margins") and shown["pairs"]["seen"] >= 80
        assert live(tmp_path)["prod"] == shown["release"]


def test_story_24_a_server_that_is_killed_goes_on_where_its_evidence_stood(tmp_path: Path) -> None:
    steps = 'steps = [0.5]\nshadow_pairs = 0\npromote = "manual"'
    arms: dict[str, str] = {}
    with canary_of(tmp_path, steps, next="near/worse") as server:

        def compared() -> bool:
            """Sessions of the first seconds after a change of the share are not."""
            for number in range(len(arms), len(arms) + 10):
                arms[f"s{number}"] = arm(ask(server, f"s{number}"))
            units: dict[str, int] = state(tmp_path)["units"]
            return units["canary"] + units["stable"] >= 10

        until(compared)
        before = state(tmp_path)["units"]
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(60)
        settings = (tmp_path / "sizewise.toml").read_text()
        with serving(tmp_path, settings, UPSTREAM_KEY="x") as again:
            after = state(tmp_path)["units"]
            assert after["canary"] >= before["canary"] and after["stable"] >= before["stable"]
            for session in ("s0", "s1", "s2"):
                answer = ask(again, session)
                assert answer.status == 200 and arm(answer) == arms[session]


def test_a_paused_canary_says_so_and_goes_on(tmp_path: Path) -> None:
    with canary_of(tmp_path, "steps = [0.5]\nshadow_pairs = 0", next="near/worse"):
        paused = run(tmp_path, "release", "pause", "prod")["canary"]
        assert paused["paused"]
        until(lambda: "it is paused" in state(tmp_path)["sentence"])
        assert not run(tmp_path, "release", "resume", "prod")["canary"]["paused"]


def test_a_canary_that_a_person_ends_is_seen_as_ended_at_once(tmp_path: Path) -> None:
    with canary_of(tmp_path, "steps = [0.5]\nshadow_pairs = 0", next="near/worse"):
        canary = state(tmp_path)["release"]
        run(tmp_path, "release", "rollback", "prod")
        ended = state(tmp_path)
        assert (ended["state"], ended["share"], ended["reason"]) == ("stopped", 0.0, "ended by hand")
        gone = sizewise("release", "pause", "prod", home=tmp_path)
        assert gone.code == 2 and "no canary runs in 'prod'" in gone.err
        again = sizewise("release", "apply", canary, "--to", "prod", home=tmp_path)
        assert f"{canary[:12]} is the canary of prod now: it answers 50 % of new sessions" in again.out, (
            again.out + again.err
        )
