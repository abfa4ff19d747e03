"""Changes of what is live, on bad days: runs in flight, a missing secret, two changes at once, kill -9, two servers."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.releases.test_environments import (
    ENVIRONMENTS,
    PROMPT,
    greet,
    key_of,
    live,
    project,
    run,
)
from tests.running_server import Served, serving, until

WAITING_FLOW = """name: later
nodes:
  asked: {kind: approve, question: "Go on?"}
  say: {kind: ask, model: echo/small, prompt_id: greet, prompt: "{{ asked.approved | text }}"}
outputs: {answer: "{{ say.text }}"}
"""
START = 'mutation { startFlowRun(flow: "later", inputs: {}) { id } }'
RUN = "query ($i: String!) { flowRun(id: $i) { state environment release outputs steps { key state } } }"
DECIDE = 'mutation ($i: String!) { decide(id: $i, key: "asked", approved: true) { state } }'
APPLY = 'mutation ($h: String!) { applyRelease(environment: "free", release: $h) { live { release } } }'
CRM = """
[hosts.crm]
url = "http://127.0.0.1:9/"
key = "env:CRM_KEY"
"""
CRM_FLOW = """name: find
nodes:
  found: {kind: http, host: crm, path: /find}
outputs: {answer: "{{ found.status }}"}
"""
LOOKING_FLOW = """name: look
inputs: {question: text}
nodes:
  found: {kind: search, knowledge: handbook, query: "{{ inputs.question }}"}
  say: {kind: ask, model: echo/larger, prompt: "{{ inputs.question }}"}
outputs: {answer: "{{ say.text }}"}
"""


def ready(home: Path) -> None:
    until(lambda: all(live(home)[each] for each in ("prod", "free")))


def graphql(server: Served, query: str, key: str = "", **variables: object) -> Any:
    answer: Any = server.ask("/graphql", {"query": query, "variables": variables}, key=key).json
    return answer


@pytest.mark.long
def test_story_25_a_durable_run_ends_under_the_release_that_it_began_with(tmp_path: Path) -> None:
    home = project(tmp_path)
    (home / "flows" / "later.yaml").write_text(WAITING_FLOW)
    admin = home / "admin.token"
    with serving(home, ENVIRONMENTS) as server:
        ready(home)
        first = live(home)["prod"]
        prod = key_of(home, "prod", "ask,read_records")
        shown = graphql(server, START, prod)
        assert "errors" not in shown, shown
        begun = shown["data"]["startFlowRun"]["id"]
        until(lambda: graphql(server, RUN, prod, i=begun)["data"]["flowRun"]["state"] == "waiting")
        (home / "prompts" / "greet.md").write_text(PROMPT.replace("one", "two"))
        assert run(home, "release", "promote", "prod")["live"]["release"] != first
    # A restart in between: the run is continued from what is stored.
    with serving(home, ENVIRONMENTS) as server:
        later = graphql(server, START, prod)["data"]["startFlowRun"]["id"]
        until(lambda: graphql(server, RUN, prod, i=later)["data"]["flowRun"]["state"] == "waiting")
        token = admin.read_text().strip()
        for each in (begun, later):
            until(lambda each=each: "errors" not in graphql(server, DECIDE, token, i=each))
        done = {}
        for each in (begun, later):
            until(lambda each=each: graphql(server, RUN, prod, i=each)["data"]["flowRun"]["state"] == "done")
            done[each] = graphql(server, RUN, prod, i=each)["data"]["flowRun"]["outputs"]["answer"]
        of = graphql(server, RUN, prod, i=begun)["data"]["flowRun"]
        assert (of["environment"], of["release"]) == ("prod", first)
        assert "PROMPT one" in done[begun] and "PROMPT two" in done[later]
        assert run(home, "release", "rollback", "prod")["live"]["release"] == first


@pytest.mark.long
def test_story_20_a_missing_secret_stops_apply_by_name_and_so_does_a_provider(tmp_path: Path) -> None:
    """And story 19: the release was built elsewhere, and has the same hash here."""
    made = project(tmp_path / "elsewhere", ENVIRONMENTS + CRM)
    (made / "flows" / "find.yaml").write_text(CRM_FLOW)
    hash = run(made, "release", "build", "--dry-run")["hash"]
    for config, code, said in (
        (ENVIRONMENTS, 2, "hosts/crm"),
        (ENVIRONMENTS + CRM, 2, "secrets/env:CRM_KEY"),
        (ENVIRONMENTS + CRM, 0, ""),
    ):
        home = project(tmp_path / "here", config)
        secret = {"CRM_KEY": "sk-0123456789abcdef"} if code == 0 else {}
        with serving(home, config, **secret) as server:
            ready(home)
            before = live(home)["free"]
            admin = (home / "admin.token").read_text().strip()
            words = ("release", "apply", "--to", "free")
            apply = sizewise(*words, home=made, SIZEWISE_URL=server.url, SIZEWISE_KEY=admin)
            assert apply.code == code and said in apply.err, apply.out + apply.err
            assert live(home)["free"] == (hash if code == 0 else before)


@pytest.mark.long
def test_story_20_a_missing_model_and_a_missing_base_stop_apply_by_name(tmp_path: Path) -> None:
    made = project(tmp_path / "elsewhere")
    (made / "flows" / "look.yaml").write_text(LOOKING_FLOW)
    run(made, "release", "build", "--dry-run")
    home = project(tmp_path / "here")
    with serving(home, ENVIRONMENTS) as server:
        ready(home)
        before = live(home)["free"]
        admin = (home / "admin.token").read_text().strip()
        apply = sizewise("release", "apply", "--to", "free", home=made, SIZEWISE_URL=server.url, SIZEWISE_KEY=admin)
        assert apply.code == 2 and "models/echo/larger" in apply.err and "knowledge/handbook" in apply.err, apply.err
        assert live(home)["free"] == before


def unanswered(server: Served, key: str, hash: str) -> None:
    with pytest.raises((OSError, HTTPException)):
        graphql(server, APPLY, key, h=hash)


@pytest.mark.long
def test_of_two_changes_at_once_one_is_refused_and_kill_9_before_the_change_leaves_it_undone(tmp_path: Path) -> None:
    home = project(tmp_path)
    with serving(home, ENVIRONMENTS) as server:
        ready(home)
        admin = (home / "admin.token").read_text().strip()
        first, others = live(home)["free"], []
        for word in ("two", "three"):
            (home / "prompts" / "greet.md").write_text(PROMPT.replace("one", word))
            others.append(run(home, "release", "build")["hash"])
        with ThreadPoolExecutor(2) as pool:
            shown = list(pool.map(lambda hash: graphql(server, APPLY, admin, h=hash), others))
        won = [each["data"]["applyRelease"]["live"]["release"] for each in shown if "errors" not in each]
        assert won and live(home)["free"] == won[-1]
        for each in shown:
            if "errors" in each:
                assert each["errors"][0]["extensions"]["code"] == "conflict", each
        moves = {each["name"]: each["moves"] for each in run(home, "release", "status")["environments"]}["free"]
        assert len(moves) == 1 + len(won)

        # The test holds the only lock for writers, so the release is built, and its change waits.
        now = live(home)["free"]
        database = sqlite3.connect(home / "sizewise.db", timeout=60, isolation_level=None)
        database.execute("BEGIN IMMEDIATE")
        waits = threading.Thread(target=lambda: unanswered(server, admin, first))
        waits.start()
        server.process.kill()
        server.process.wait(60)
        database.execute("ROLLBACK")
        database.close()
        waits.join(60)
    with serving(home, ENVIRONMENTS) as server:
        assert live(home)["free"] == now
        assert greet(server, key_of(home, "free")).headers["x-sizewise-release"] == now
