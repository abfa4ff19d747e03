"""What answers in an environment is what commands show: of a file edited, promoted, tried as a canary, rolled back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.releases.test_environments import key_of, run
from tests.running_server import ECHO, Served, serving, until

CONFIG = ECHO + "[environments.staging]\n[environments.prod]\n"
CANARY = "[environments.prod.canary]\nsteps = [0.5]\nshadow_pairs = 0\n"
FLOW = """name: hello
inputs: {word: text}
nodes: {say: {kind: template, text: "ONE {{ inputs.word }}"}}
outputs: {said: "{{ say.text }}"}
"""
TWO = FLOW.replace("ONE", "TWO")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows/hello.yaml").write_text(FLOW)
    with serving(tmp_path, CONFIG) as served:
        until(lambda: shown(tmp_path)["environments"]["prod"]["version"])
        yield served


def shown(home: Path, name: str = "hello") -> Any:
    return next((each for each in run(home, "flow", "list")["flows"] if each["name"] == name), {"environments": None})


def printed(home: Path, *words: str) -> str:
    done = sizewise(*words, home=home)
    assert done.code == 0, done.out + done.err
    return done.out + done.err


def answered(server: Served, key: str) -> tuple[str, str]:
    """The text that a flow gives to this key, and its version."""
    body = {"model": "flow:hello", "messages": [{"role": "user", "content": "x"}]}
    answer: Any = server.ask("/v1/chat/completions", body, key=key).json
    return answer["choices"][0]["message"]["content"], answer["sizewise"]["version"]


def edit(home: Path, text: str) -> str:
    """The version of the file, which staging answers with then."""
    before = shown(home)["environments"]["staging"]["version"]
    (home / "flows/hello.yaml").write_text(text)
    until(lambda: shown(home)["environments"]["staging"]["version"] != before)
    return str(shown(home)["environments"]["staging"]["version"])


@pytest.mark.long
def test_each_environment_shows_the_version_that_answers_there(server: Served) -> None:
    home = server.home
    keys = {each: key_of(home, each) for each in ("staging", "prod")}

    def versions() -> dict[str, str]:
        """As `flow list` shows them, held against what answers, by key."""
        listed = {name: each["version"] for name, each in shown(home)["environments"].items()}
        assert listed == {name: answered(server, key)[1] for name, key in keys.items()}
        return listed

    one = versions()["prod"]
    assert shown(home)["state"] == "live" and versions() == {"staging": one, "prod": one}
    two = edit(home, TWO)
    assert versions() == {"staging": two, "prod": one}
    assert (shown(home)["state"], shown(home)["version"]) == ("live in staging", two)
    line = next(line for line in printed(home, "flow", "list").splitlines() if line.startswith("hello"))
    assert line.split()[1:7] == ["live", "in", "staging", two[:12], two[:12], one[:12]]
    lives = {each["version"]: each["places"] for each in run(home, "flow", "versions", "hello")["versions"]}
    assert lives == {two: ["staging"], one: ["prod"]}
    assert run(home, "flow", "show", "hello", "--environment", "prod")["text"] == FLOW
    published = printed(home, "flow", "show", "hello")
    assert published.startswith(TWO) and f"prod answers with {one[:12]}" in published
    ran = printed(home, "flow", "run", "hello", "--input", "word=x")
    assert ran.startswith("ONE x\n") and f"the file here is another version, {two[:12]}" in ran

    assert re.fullmatch(r"\w{12} is live in prod \(before: \w{12}\)\n", printed(home, "release", "promote", "prod"))
    assert versions() == {"staging": two, "prod": two} and shown(home)["state"] == "live"
    assert "another version" not in printed(home, "flow", "run", "hello", "--input", "word=x")
    assert "is live in prod again (before: " in printed(home, "release", "rollback", "prod")
    assert versions() == {"staging": two, "prod": one} and shown(home)["state"] == "live in staging"
    again = printed(home, "flow", "publish", "hello")
    assert "answers in staging\n" in again and f"prod answers with {one[:12]}: sizewise release promote prod" in again

    (home / "prompts").mkdir()
    (home / "prompts/greet.md").write_text("---\nrole: user\n---\nHi\n")
    assert printed(home, "prompt", "publish", "greet").endswith(
        "is live at once in staging and in prod once it is promoted\n"
    )

    (home / "flows/hello.yaml").unlink()
    until(lambda: shown(home)["environments"]["staging"]["version"] is None)
    assert shown(home)["environments"]["prod"]["version"] == one == answered(server, keys["prod"])[1]


def test_a_key_without_the_right_to_read_releases_sees_its_own_environment_alone(server: Served) -> None:
    query = {"query": "{ flowsByEnvironment { environment isDefault flows { name version canaryVersion } } }"}
    answer: Any = server.ask("/graphql", query, key=key_of(server.home, "staging")).json
    (only,) = answer["data"]["flowsByEnvironment"]
    assert (only["environment"], only["isDefault"]) == ("staging", False)
    assert [each["name"] for each in only["flows"]] == ["hello"]
    everywhere: Any = server.ask("/graphql", query, key=key_of(server.home, "prod", "ask,read_releases")).json
    assert [each["environment"] for each in everywhere["data"]["flowsByEnvironment"]] == ["staging", "prod"]


def test_a_server_without_environments_shows_what_is_published(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows/hello.yaml").write_text(FLOW)
    with serving(tmp_path, ECHO):
        until(lambda: shown(tmp_path).get("state") == "live")
        assert shown(tmp_path)["environments"] is None
        assert "LIVE SINCE" in printed(tmp_path, "flow", "list")
        assert "is live in 'default'" in printed(tmp_path, "flow", "publish", "hello")
        missing = sizewise("flow", "show", "hello", "--environment", "prod", home=tmp_path)
        assert missing.code == 2 and "no environment 'prod'" in missing.err


@pytest.mark.long
def test_a_canary_is_shown_until_it_ends_and_what_became_of_it_stays_true(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows/hello.yaml").write_text(FLOW)
    with serving(tmp_path, CONFIG + CANARY):
        until(lambda: shown(tmp_path)["environments"]["prod"]["version"])
        one = shown(tmp_path)["environments"]["prod"]["version"]
        (first,) = run(tmp_path, "release", "list")["releases"]
        since = run(tmp_path, "release", "status", "prod")["environments"][0]["live"]["since"]
        two = edit(tmp_path, TWO)
        begun = printed(tmp_path, "release", "promote", "prod")
        second = begun[:12]
        assert begun.startswith(f"{second} is the canary of prod now: it answers 50 % of new sessions. ")
        assert shown(tmp_path)["environments"]["prod"] == {"version": one, "canary": two, "share": 0.5}
        assert f"{one[:12]}, canary {two[:12]} 50 %" in printed(tmp_path, "flow", "list")
        status = printed(tmp_path, "release", "status")
        assert f"{first['hash'][:12]}, canary {second} 50 %" in status
        assert run(tmp_path, "release", "status", "prod")["environments"][0]["live"]["since"] == since
        places = {each["hash"][:12]: each["places"] for each in run(tmp_path, "release", "list")["releases"]}
        assert places == {second: ["canary of prod"], first["hash"][:12]: ["prod"]}
        lives = {each["version"]: each["places"] for each in run(tmp_path, "flow", "versions", "hello")["versions"]}
        assert lives == {two: ["staging", "canary of prod"], one: ["prod"]}

        ended = printed(tmp_path, "release", "rollback", "prod")
        assert ended == f"The canary of prod has ended. {first['hash'][:12]} stays live.\n"
        assert "was stopped: ended by hand." in printed(tmp_path, "release", "status", "prod")
        printed(tmp_path, "release", "promote", "prod")
        assert printed(tmp_path, "release", "promote", "prod").startswith(f"{second} is live in prod (before: ")
        printed(
            tmp_path, "release", "rollback", "prod", "--reason", "wrong words"
        )  # before the evaluator looks, or after
        gone = printed(tmp_path, "release", "status", "prod")
        assert f"became live, promoted by hand, and is not live any more: {first['hash'][:12]} is" in gone
        assert "by the rollback (wrong words)." in gone and "has become live" not in gone
        printed(tmp_path, "release", "apply", second, "--to", "prod", "--now")
        assert f"The canary {second} in prod has become live" in printed(tmp_path, "release", "status", "prod")
