"""Environments through the front door: keys of each are answered by its own release, which moves only when told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.running_server import ECHO, Answer, Served, serving, until

ENVIRONMENTS = f"""{ECHO}
[policies.default]
threshold = 0.5
[environments.staging]
[environments.prod]
[environments.free]
from = "any"
"""
FLOW = """name: answer
inputs: {question: text}
nodes:
  say: {kind: ask, model: echo/small, prompt: "FLOW one: {{ inputs.question }}"}
outputs: {answer: "{{ say.text }}"}
"""
PROMPT = "---\nrole: user\n---\nPROMPT one\n"


def project(home: Path, settings: str = ENVIRONMENTS) -> Path:
    files = {"sizewise.toml": settings, "flows/answer.yaml": FLOW, "prompts/greet.md": PROMPT}
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    return home


def run(home: Path, *words: str) -> Any:
    made = sizewise(*words, "--json", home=home)
    assert made.code == 0, made.out + made.err
    return made.json


def planned_changes(home: Path) -> list[Any]:
    """From staging to prod; none where a publication came between the look at what is live and the plan of it."""
    made = sizewise("release", "plan", "staging", "prod", "--json", home=home)
    return list(made.json["changes"]) if made.code == 0 else []


def key_of(home: Path, environment: str, permissions: str = "ask") -> str:
    made = run(home, "keys", "create", environment, "--environment", environment, "--permissions", permissions)
    return str(made["secret"])


def greet(server: Served, key: str, release: str = "") -> Answer:
    body = {
        "model": "echo/small",
        "messages": [{"role": "user", "content": "Hi"}],
        "sizewise": {"prompt": {"id": "greet"}},
    }
    if release:
        return server.ask("/v1/chat/completions", body, key=key, x_sizewise_release=release)
    return server.ask("/v1/chat/completions", body, key=key)


def text(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    found: Any = answer.json
    return str(found["choices"][0]["message"]["content"])


def live(home: Path) -> dict[str, str]:
    found = run(home, "release", "status")["environments"]
    return {each["name"]: each["live"]["release"] if each["live"] else "" for each in found}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with serving(project(tmp_path), ENVIRONMENTS) as served:
        until(lambda: all(live(tmp_path)[each] for each in ("prod", "free")))
        yield served


@pytest.mark.long
def test_keys_are_answered_by_the_release_of_their_environment(server: Served) -> None:
    home = server.home
    staging, prod, free = (key_of(home, each) for each in ("staging", "prod", "free"))
    first = live(home)
    assert first["prod"] == first["free"] and first["staging"] == ""
    was = greet(server, prod)
    assert "PROMPT one" in text(was) and was.headers["x-sizewise-release"] == first["prod"]
    (home / "prompts" / "greet.md").write_text(PROMPT.replace("one", "two"))
    assert "PROMPT two" in text(greet(server, staging))
    assert "x-sizewise-release" not in greet(server, staging).headers
    assert "PROMPT one" in text(greet(server, prod))
    # The default is prod: the keys that were there before are answered by it.
    assert "PROMPT one" in text(greet(server, server.key))

    made = run(home, "release", "promote", "prod", "--reason", "better words")
    second = made["live"]["release"]
    assert made["live"]["previous"] == first["prod"] != second
    now = greet(server, prod)
    assert "PROMPT two" in text(now) and now.headers["x-sizewise-release"] == second
    assert "PROMPT one" in text(greet(server, free))
    assert run(home, "release", "show", second[:8])["parts"]["prompts"].keys() == {"greet"}

    found = run(home, "usage", "--by", "release")["rows"]
    assert {first["prod"], second} <= {each["key"][0] for each in found}
    (one,) = run(home, "usage", "--by", "release", "--release", second)["rows"]
    assert (one["key"], one["requests"]) == ([second], 1)

    back = run(home, "release", "rollback", "prod")
    assert back["live"]["release"] == first["prod"] and back["live"]["previous"] is None
    assert "PROMPT one" in text(greet(server, prod))
    assert [each["action"] for each in back["moves"]] == ["rollback", "promote", "first"]
    again = sizewise("release", "rollback", "prod", home=home)
    assert again.code == 2 and "no release before" in again.err
    for words, said in (
        (("apply", second[:12], "--to", "staging"), "what is published is live"),
        (("apply", first["prod"][:12], "--to", "prod"), "is live in 'staging'"),
        (("apply", second[:12], "--to", "prd"), "prod"),
        (("rollback", "prod", "--to", "0" * 64), "no release"),
    ):
        wrong = sizewise("release", *words, home=home)
        assert wrong.code == 2 and said in wrong.err, wrong.err

    # A record says what answered; one that chooses a release needs the right to.
    shown = run(home, "records", "--last", "20")["records"]
    assert {(each["environment"], (each["release"] or "")[:12]) for each in shown} >= {
        ("prod", second[:12]),
        ("prod", first["prod"][:12]),
        ("staging", ""),
    }
    assert greet(server, prod, second[:12]).status == 403
    chooser = key_of(home, "prod", "ask,manage_releases")
    answer = greet(server, chooser, second[:12])
    assert "PROMPT two" in text(answer) and answer.headers["x-sizewise-arm"] == "forced"
    assert greet(server, chooser, "0" * 64).status == 404
    assert "PROMPT one" in text(greet(server, chooser))
