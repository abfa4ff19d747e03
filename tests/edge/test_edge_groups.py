"""Groups of edges: promoted by their environment, and each says what it made of it; who needs somebody is first."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.edge.test_machine_releases import GATEWAY, release_key
from tests.graphql.graphql_client import graphql
from tests.releases.test_environments import PROMPT, greet, key_of, live, planned_changes, project, run, text
from tests.running_server import ECHO, KEY, THRESHOLD, Served, serving, until

GROUPS = (
    ECHO
    + THRESHOLD
    + """
[environments.staging]
[environments.prod]
[environments.tills]
from = "prod"
[environments.kiosks]
from = "prod"
approve = 1
"""
)
MACHINE = """{gateway}
[edge]
machine = "{name}"
origin = "{origin}"
key = "env:EDGE_KEY"
release_key = "{trusted}"
release_environment = "tills"
"""
LISTED = """query($f: EdgeFilter, $n: Int!, $b: String) { edges(filter: $f, last: $n, before: $b) { before rows {
  name key environment standing release wanted note } } }"""
FLOW = """name: answer
inputs: {question: text}
nodes:
  say: {kind: ask, model: echo/large, prompt: "{{ inputs.question }}"}
outputs: {answer: "{{ say.text }}"}
"""


CREATED = """mutation($e: String!) {
  createKey(name: "edge", permissions: [serve_edge], environment: $e) { secret } }"""


def edge_key(gateway: Served, environment: str) -> str:
    return str(graphql(gateway, CREATED, e=environment).data["createKey"]["secret"])


def seed(server: Served, key: str, name: str, release: str, **more: object) -> None:
    """An edge that reports, as a machine does."""
    body = {"edge": name, "kind": "machine", "release": release, "version": "1.0", "records": [], **more}
    answer = server.ask("/edge/records", body, key=key)
    assert answer.status == 200, answer.body


def listed(server: Served, filter: dict[str, str], last: int = 100, before: str | None = None) -> dict[str, Any]:
    found = graphql(server, LISTED, f=filter, n=last, b=before)
    assert found.errors == [], found.errors
    return dict(found.data["edges"])


def names(server: Served, **filter: str) -> list[str]:
    return [each["name"] for each in listed(server, filter)["rows"]]


def counts(server: Served, environment: str) -> dict[str, int]:
    asked = "{ environments { name edges { total failing lagging silent current revoked } } }"
    found = graphql(server, asked).data["environments"]
    return dict(next(each["edges"] for each in found if each["name"] == environment))


def standings(server: Served) -> set[str]:
    return {each["standing"] for each in listed(server, {})["rows"]}


@contextlib.contextmanager
def groups(home: Path) -> Iterator[Served]:
    with serving(project(home, GROUPS), GROUPS) as served:
        until(lambda: all(live(home)[each] for each in ("prod", "tills", "kiosks")))
        yield served


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with groups(tmp_path_factory.mktemp("gateway")) as served:
        yield served


@pytest.mark.long
def test_edges_that_need_somebody_are_first_and_pages_go_on_behind_each_other(gateway: Served) -> None:
    home, now = gateway.home, live(gateway.home)["tills"]
    tills, prod = edge_key(gateway, "tills"), edge_key(gateway, "prod")
    since = graphql(gateway, "{ environments { name live { changed } } }").data["environments"]
    changed = next(each["live"]["changed"] for each in since if each["name"] == "tills")
    other = "0" * 64
    seed(gateway, tills, "a-current", now)
    seed(gateway, tills, "b-lagging", other)
    seed(gateway, tills, "c-refused", other, note="city: FAIL", offered=now, offered_since=changed)
    seed(gateway, tills, "d-refused-another", other, note="city: FAIL", offered=other, offered_since=1)
    seed(gateway, tills, "e-of-an-older-version", other, note="city: FAIL")
    seed(gateway, edge_key(gateway, "tills"), "f-stolen", other)
    stolen = listed(gateway, {"words": "f-stolen"})["rows"][0]["key"]
    run(home, "keys", "revoke", stolen)
    seed(gateway, prod, "g-of-prod", now)
    order = ["c-refused", "e-of-an-older-version", "b-lagging", "d-refused-another", "a-current", "f-stolen"]
    assert names(gateway, environment="tills") == order
    found = counts(gateway, "tills")
    assert [found[name] for name in ("total", "failing", "lagging", "revoked")] == [6, 2, 2, 1]
    paged, before = list[str](), None
    while True:
        page = listed(gateway, {"environment": "tills"}, 2, before)
        paged += [each["name"] for each in page["rows"]]
        if (before := page["before"]) is None:
            break
    assert paged == order
    assert names(gateway, standing="failing", words="OLDER") == ["e-of-an-older-version"]
    assert names(gateway, environment="prod") == ["g-of-prod"] and names(gateway, words="%") == []
    wrong = graphql(gateway, LISTED, f={}, n=5, b="x")
    assert wrong.code == "bad_request" and "no page had" in wrong.message
    shown = sizewise("edge", "list", "--environment", "tills", "--last", "2", home=home)
    assert shown.code == 0 and "c-refused" in shown.out and "city: FAIL" in shown.out and "-n 20" in shown.out


@pytest.mark.long
def test_only_environments_that_receive_from_it_follow_and_then_nothing_has_changed(gateway: Served) -> None:
    home, before = gateway.home, live(gateway.home)
    (home / "prompts" / "greet.md").write_text(PROMPT.replace("one", "refused"))
    for group, said in (
        ("staging", "it has from = 'published'"),
        ("kiosks", "needs approvals"),
        ("tils", "tills"),
    ):
        wrong = sizewise("release", "promote", "prod", "--edges", group, home=home)
        assert wrong.code == 2 and said in wrong.err, wrong.err
    assert live(home) == before
    viewer = key_of(home, "prod", "read_releases")
    forged = graphql(gateway, 'mutation { promoteRelease(environment: "prod", edges: ["tills"]) { name } }', key=viewer)
    assert forged.code == "forbidden" and live(home) == before


@pytest.mark.long
def test_a_group_follows_a_promotion_and_each_machine_says_what_it_made_of_it(tmp_path: Path) -> None:
    with groups(tmp_path / "gateway") as gateway, contextlib.ExitStack() as running:
        home = gateway.home
        trusted = release_key(gateway, edge_key(gateway, "tills"))
        poor = GATEWAY.replace('models = ["small", "large"]', 'models = ["small"]')

        def start(name: str, settings: str) -> Served:
            config = MACHINE.format(gateway=settings, name=name, origin=gateway.url, trusted=trusted)
            machine = serving(project(tmp_path / name, settings), config, EDGE_KEY=edge_key(gateway, "tills"))
            return running.enter_context(machine)

        rich, lacking = start("till-1", GATEWAY), start("till-2", poor)
        seed(gateway, edge_key(gateway, "tills"), "till-3", live(home)["tills"])
        until(lambda: len(names(gateway)) == 3 and not {"failing", "lagging"} & standings(gateway))
        (home / "flows" / "answer.yaml").write_text(FLOW)
        (home / "prompts" / "greet.md").write_text(PROMPT.replace("one", "two"))
        until(lambda: len(planned_changes(home)) == 2)
        planned = sizewise("release", "plan", "staging", "prod", home=home)
        assert re.search("edges of tills: .*; they follow by --edges tills", planned.out), planned.out
        words = ("release", "promote", "prod", "--edges", "tills", "--reason", "the larger model")
        made = sizewise(*words, home=home)
        assert made.code == 0, made.err
        new = live(home)["prod"]
        assert live(home)["tills"] == new
        until(lambda: counts(gateway, "tills")["lagging"] == 1)
        shown = sizewise("release", "promote", "tills", home=home).out
        assert f"1 of 3 answer with {new[:12]}, 1 refused it, 1 not yet" in shown, shown
        assert "till-2: refused: 'prod' lacks what the release needs: models/echo/large" in shown, shown
        assert "till-3: not seen since" in shown, shown
        seed(gateway, edge_key(gateway, "tills"), "till-3", new)
        settled = sizewise("release", "promote", "prod", "--edges", "tills", "--wait", "600", home=home).out
        assert f"2 of 3 answer with {new[:12]}, 1 refused it, 0 not yet" in settled, settled
        told = sizewise("release", "promote", "tills", "--wait", "600", "--json", home=home).json
        assert (told["edges"]["lagging"], told["edges"]["failing"]) == (0, 1)
        assert "PROMPT two" in text(greet(rich, KEY)) and "PROMPT one" in text(greet(lacking, KEY))
        assert names(gateway)[0] == "till-2"
        audit = graphql(gateway, "{ audit(last: 50) { action resource actor after } }").data["audit"]
        (move,) = [
            each for each in audit if each["resource"].endswith("/tills") and each["action"] == "release.promote"
        ]
        assert move["after"] == {"release": new, "reason": "the larger model"} and move["actor"]
