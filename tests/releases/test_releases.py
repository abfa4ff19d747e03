"""Releases through the front door: one hash for one meaning, saved once, shown, compared, and never with a secret."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.running_server import ECHO, Served, serving

FLOW = """name: answer
inputs: {question: text}
nodes:
  find: {kind: http, host: crm, path: /find}
  say: {kind: ask, model: echo/small, prompt_id: greet, prompt: "{{ inputs.question }}"}
outputs: {answer: "{{ say.text }}"}
"""
PROMPT = "---\ndescription: d\nvariables:\n  name: {type: text, default: Ann}\n---\nGreet {{ name }}.\n"
SETTINGS = f"""{ECHO}
[policies.default]
kind = "cascade"
threshold = 0.5
[agents.clerk]
model = "echo/large"
system = "You are a clerk."
[guardrails]
pii = "mask"
[hosts.crm]
url = "http://127.0.0.1:9/"
key = "env:CRM_KEY"
[providers.unused]
base_url = "http://127.0.0.1:9/v1"
key = "env:UNUSED_KEY"
models = ["it"]
"""
EVAL = "target: {model: echo/small}\ndata: small.jsonl\nscorers: {right: contains}\n"


SAVE = "mutation($m: JSON!, $p: JSON!) { saveRelease(manifest: $m, parts: $p) { new } }"


def project(home: Path) -> Path:
    files = {
        "sizewise.toml": SETTINGS,
        "flows/answer.yaml": FLOW,
        "prompts/greet.md": PROMPT,
        "evals/small.yaml": EVAL,
        "evals/small.jsonl": '{"id": "a", "input": "Hello", "expected": "Hello"}\n',
    }
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    return home


def built(home: Path) -> Any:
    made = sizewise("release", "build", "--dry-run", "--json", home=home)
    assert made.code == 0, made.out + made.err
    return made.json


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = project(tmp_path_factory.mktemp("releases"))
    with serving(home, SETTINGS) as served:
        yield served


@pytest.mark.long
def test_a_release_is_built_saved_once_and_compared_with_the_folder(server: Served) -> None:
    first = sizewise("release", "build", "--json", home=server.home)
    assert first.code == 0 and first.json["saved"] and first.json["new"], first.out + first.err
    again = sizewise("release", "build", "--json", home=server.home)
    assert again.json["hash"] == first.json["hash"] and not again.json["new"]
    hash = first.json["hash"]
    assert first.json["requires"] == {
        "models": ["echo/large", "echo/small"],
        "providers": ["echo"],
        "hosts": ["crm"],
        "secrets": ["env:CRM_KEY"],
    }
    assert hash[:12] in sizewise("release", home=server.home).out
    assert sizewise("release", "show", hash[:8], "--json", home=server.home).json["parts"] == first.json["parts"]
    assert sizewise("release", "diff", hash[:8], "--exit-code", home=server.home).code == 0
    (server.home / "prompts" / "greet.md").write_text(PROMPT.replace("Greet", "Welcome"))
    (server.home / "flows" / "answer.yaml").write_text(FLOW.replace("echo/small", "echo/large"))
    changed = sizewise("release", "diff", hash[:8], ".", "--exit-code", home=server.home)
    assert changed.code == 1
    assert '~ flows/answer\n    ~ nodes.say.model: "echo/small" -> "echo/large"' in changed.out
    assert '~ text: "Greet {{ name }}." -> "Welcome {{ name }}."' in changed.out
    assert sizewise("release", "show", "0000000", home=server.home).code == 2
    assert "release list" in sizewise("release", "show", "00000000", home=server.home).err


@pytest.mark.long
def test_story_19_the_hash_depends_on_no_line_end_key_order_comment_or_clock(tmp_path: Path) -> None:
    hash = built(project(tmp_path / "a"))["hash"]
    other = project(tmp_path / "b")
    for path in other.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
            os.utime(path, (1, 1))
    assert built(other)["hash"] == hash
    (other / "flows" / "answer.yaml").write_text(
        "# a comment\noutputs: {answer: '{{ say.text }}'}\nnodes:\n"
        "  say: {prompt_id: greet, kind: ask, prompt: '{{ inputs.question }}', model: echo/small}\n"
        "  find: {path: /find, host: crm, kind: http}\n"
        "inputs: {question: text}\nname: answer\n"
    )
    (other / "prompts" / "greet.md").write_text(
        "---\nvariables: {name: {default: Ann, type: text}}\ndescription: d # why\n---\n\nGreet {{name}}.\n\n"
    )
    sections = SETTINGS.split("[policies.default]")
    (other / "sizewise.toml").write_text(
        '[policies.default]\nthreshold = 0.5\nkind = "cascade"\n'
        + sections[0]
        + "[agents"
        + sections[1].split("[agents", 1)[1]
    )
    (other / "server.json").write_text("{}")
    assert built(other)["hash"] == hash
    (other / "prompts" / "greet.md").write_text(PROMPT.replace("Ann", "Bob"))
    assert built(other)["hash"] != hash
    moved = shutil.copytree(tmp_path / "a", tmp_path / "with space" / "ä")
    assert built(moved)["hash"] == hash


@pytest.mark.long
@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("flows/answer.yaml", FLOW.replace("ask", "aks"), "flow has an error"),
        ("prompts/greet.md", "---\nmodle: x\n---\nHi", "no field 'modle'"),
        ("evals/small.jsonl", "", "no items"),
        ("flows/answer.yaml", FLOW.replace("/find", "/find?api_key=sk-proj-aB3dE5fG7hJ9kL1mN3pQ5rS7"), "line 4"),
        ("prompts/greet.md", "Use ghp_aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5 now", "looks like a secret"),
        ("sizewise.toml", SETTINGS.replace("a clerk", "a clerk. Password: x8#kQ2!vLp9z"), "agents/clerk"),
    ],
    ids=["flow", "prompt", "data", "key in a flow", "token in a prompt", "password in the settings"],
)
def test_a_wrong_file_or_a_secret_is_refused_by_name(tmp_path: Path, file: str, text: str, said: str) -> None:
    (project(tmp_path) / file).write_text(text)
    made = sizewise("release", "build", "--dry-run", home=tmp_path)
    assert made.code == 2 and said in made.err and "hint" in made.err
    for secret in ("sk-proj", "ghp_", "x8#k"):
        assert secret not in made.out + made.err


@pytest.mark.long
def test_no_value_of_the_servers_own_settings_is_in_a_release_or_its_rows(tmp_path: Path) -> None:
    canaries = [f"kanarie-{number:02d}-5150" for number in range(20)]
    names = iter(canaries)
    more = "".join(
        f'[hosts.h{n}]\nurl = "http://{next(names)}.example/"\n[webhooks.w{n}]\nurl = "http://{next(names)}.example/"\n'
        f'secret = "env:{next(names)}"\n[mcp.m{n}]\nurl = "http://{next(names)}.example/"\n'
        for n in range(5)
    )
    home = project(tmp_path)
    with serving(home, SETTINGS.replace("[policies.default]", f"{more}[policies.default]")) as served:
        made = sizewise("release", "build", "--json", home=home)
        assert made.code == 0 and made.json["new"], made.out + made.err
        assert not any(each in made.out for each in canaries)
        connection = sqlite3.connect(served.home / "sizewise.db")
        rows = connection.execute("SELECT manifest FROM releases").fetchall()
        sealed = connection.execute("SELECT sealed FROM release_parts").fetchall()
        connection.close()
        assert len(rows) == 1 and len(sealed) == sum(map(len, made.json["parts"].values()))
        assert not any(each in rows[0][0] for each in canaries)
        assert not any(word in blob for (blob,) in sealed for word in (b"Greet", b"clerk", b"question"))


@pytest.mark.long
def test_a_part_that_is_not_what_its_hash_says_is_refused(server: Served) -> None:
    part = {"kind": "prompts", "name": "greet", "version": "0" * 64, "content": "R3JlZXQ="}
    variables: dict[str, Any] = {"m": {"format": 1, "parts": {"prompts": {"greet": "0" * 64}}}, "p": [part]}
    admin = (server.home / "admin.token").read_text().strip()
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "not what its hash says"),
        ({"p": []}, "is missing"),
        ({"p": [{**part, "kind": "secrets"}]}, "not valid"),
        ({"p": [{**part, "content": "%"}]}, "not base64"),
        ({"m": {"format": 7, "parts": {}}}, "format"),
        ({"m": {"parts": 7}}, "not valid"),
    ]
    for change, said in cases:
        shown = server.ask("/graphql", {"query": SAVE, "variables": {**variables, **change}}, key=admin).body.decode()
        assert said in shown, shown
