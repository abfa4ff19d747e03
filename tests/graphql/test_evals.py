"""Evals at /graphql: suites, runs on the server, comparisons and data sets, as the command line has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sizewise.graphql.eval_fields import read_settled
from tests.auth.user_client import new_user
from tests.cli.terminal import sizewise
from tests.gateway.vector_store_client import key_of
from tests.graphql.graphql_client import fresh_key, graphql
from tests.graphql.subscription_client import opened, streamed
from tests.running_server import ECHO, Served, serving, until

CANARY = "canary-eval-4711"
CONFIG = (
    ECHO
    + """
[projects.other]
[providers.vectors]
wire = "echo"
place = "process"
models = ["embed", "silent"]
[models."vectors/embed"]
task = "embed"
[models."echo/small"]
price = {input = "1", output = "1"}
[models."echo/large"]
price = {input = "1", output = "1"}
"""
)
SUITE = """
target: echo/small
data: right.jsonl
scorers:
  right: {kind: contains}
  cost: {kind: cost}
gate:
  - {score: right, not_worse_by: 0.03}
budget: {usd: 2.00, concurrency: 2}
"""
RUN = """query($id: String!) { evalRun(id: $id) { id state total done failed error costUsd verdict sentence
  scores { name value low high n missing } items(last: 3) { before rows { item tags scores { name value } } } } }"""
COMPARE = """query($b: String!, $h: String!) { compareRuns(base: $b, head: $h) { verdict sentence pairs clusters score
  itemsToDecide onlyInBase onlyInHead counts { bothRight newlyWrong newlyRight bothWrong flaky }
  differences { name value low high allowed } items(change: newlyWrong) { rows { item base head } } } }"""
START = """mutation($s: String!, $t: String, $n: Boolean!) {
  startEval(suite: $s, target: $t, new: $n) { id state } }"""
IMPORT = """mutation($t: String!, $f: DatasetFormat!, $d: Boolean!) {
  importDataset(name: "sent", text: $t, format: $f, dryRun: $d) { name added known count sha } }"""
JOB = """subscription($i: String!) { jobChanged(id: $i) {
  __typename id state done total ... on EvalJob { suite } } }"""
ITEMS = 60
WORSE = [f"item-{each}" for each in range(14)]


def item(number: int) -> dict[str, Any]:
    """The model says what the input makes it say."""
    return {"id": f"item-{number}", "input": f"[[say Paris]] {CANARY} {number}", "expected": "Paris", "tags": ["must"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("evals")
    evals = home / "evals"
    evals.mkdir()
    (evals / "right.yaml").write_text(SUITE)
    (evals / "right.jsonl").write_text("".join(json.dumps(item(each)) + "\n" for each in range(ITEMS)))
    (evals / "broken.yaml").write_text("target: echo/small\nscorer: {}\n")
    with serving(home, CONFIG) as served:
        yield served
        assert CANARY not in "".join(served.said) and "Traceback" not in "".join(served.said)


def asked(server: Served, query: str, key: str = "", **variables: object) -> Any:
    found = graphql(server, query, key=key, **variables)
    assert found.errors == [], found.errors
    return found.data


def finished(server: Served, target: str = "echo/small") -> str:
    """The id of a run of its own."""
    made = asked(server, START, s="right", t=target, n=True)["startEval"]
    until(lambda: asked(server, RUN, id=made["id"])["evalRun"]["state"] != "running")
    return str(made["id"])


def test_a_budget_for_a_model_without_a_price_is_refused_before_a_run_begins(server: Served) -> None:
    refused = graphql(server, START, s="right", t="vectors/silent", n=True)
    assert refused.message.startswith("no price is known for vectors/silent,")
    assert "in evals/right.yaml: budget: {usd: none}" in refused.hint


def test_a_run_on_the_server_is_a_run_of_the_command_line(server: Served) -> None:
    suites = asked(server, "{ evalSuites { name target items findings scorers gate budgetUsd } }")["evalSuites"]
    assert [each["name"] for each in suites] == ["broken", "right"]
    assert "scorer" in suites[0]["findings"][0] and str(server.home) not in suites[0]["findings"][0]
    assert (suites[1]["items"], suites[1]["gate"], suites[1]["budgetUsd"]) == (ITEMS, ["right"], "2")
    id = finished(server)
    run = asked(server, RUN, id=id)["evalRun"]
    assert (run["state"], run["done"], run["total"], run["error"]) == ("done", ITEMS, ITEMS, None), run
    right = next(each for each in run["scores"] if each["name"] == "right")
    assert (right["value"], right["n"], right["missing"]) == (1.0, ITEMS, 0) and right["low"] < 1.0
    assert run["verdict"] is None and "names" not in run["sentence"] and "base" in run["sentence"]
    assert len(run["items"]["rows"]) == 3 and run["items"]["before"] == "3"
    assert float(run["costUsd"]) > 0
    shown = sizewise("eval", "list", "right", "--json", home=server.home).json["runs"]
    assert id in [f"right/{each['run']}" for each in shown]
    plan = asked(server, '{ evalPlan(suite: "right") { items answers costUsd capUsd basedOn detects { name } } }')
    assert (plan["evalPlan"]["answers"], plan["evalPlan"]["basedOn"]) == (ITEMS, id)
    assert plan["evalPlan"]["costUsd"] == run["costUsd"]


def test_a_run_goes_on_with_the_prompt_that_it_began_with_and_never_with_another(server: Served) -> None:
    prompt = server.home / "prompts" / "greet.md"
    prompt.parent.mkdir(exist_ok=True)
    prompt.write_text("---\nrole: user\n---\n[[say Paris]] one\n")
    suite = SUITE.replace("target: echo/small", "target: {model: echo/small, prompt: greet}")
    (server.home / "evals" / "greet.yaml").write_text(suite)

    def whole(is_new: bool) -> tuple[str, str, list[str]]:
        id = asked(server, START, s="greet", t=None, n=is_new)["startEval"]["id"]
        until(lambda: asked(server, RUN, id=id)["evalRun"]["state"] == "done")
        head, *lines = (server.home / "evals" / ".runs" / f"{id}.jsonl").read_text().splitlines()
        return id, json.loads(head)["prompt"], [head, *lines]

    def forget_last_answer(id: str, lines: list[str]) -> None:
        (server.home / "evals" / ".runs" / f"{id}.jsonl").write_text("".join(f"{each}\n" for each in lines[:-1]))

    first, version, lines = whole(True)
    assert version.startswith("greet@") and len(version) == len("greet@") + 64
    forget_last_answer(first, lines)
    again, same, lines = whole(False)
    assert (again, same, len(lines)) == (first, version, ITEMS + 1)
    forget_last_answer(first, lines)
    prompt.write_text("---\nrole: user\n---\n[[say Paris]] two\n")
    second, other, _ = whole(False)
    assert second != first and other != version
    (server.home / "evals" / "greet.yaml").unlink()


@pytest.mark.long
def test_story_28_the_comparison_lists_exactly_the_newly_wrong_and_its_sentence_is_the_gates(server: Served) -> None:
    base = finished(server)
    runs = server.home / "evals" / ".runs" / "right"
    head, *lines = (runs / f"{base.partition('/')[2]}.jsonl").read_text().splitlines()
    results = [json.loads(each) for each in lines]
    for each in results:
        if each["item"] in WORSE:
            each["scores"]["right"]["value"] = 0.0
    worse = runs / "20990101-000000-000-worse0.jsonl"
    worse.write_text("".join(f"{line}\n" for line in (head, *map(json.dumps, results))))
    found = asked(server, COMPARE, b=base, h=f"right/{worse.stem}")["compareRuns"]
    assert found["verdict"] == "fail" and found["counts"]["newlyWrong"] == 14
    assert (found["pairs"], found["score"], found["onlyInBase"], found["onlyInHead"]) == (ITEMS, "right", 0, 0)
    assert sorted(each["item"] for each in found["items"]["rows"]) == sorted(WORSE)
    gate = sizewise(
        "eval", "gate", "right", "--base", base.partition("/")[2], "--head", worse.stem, "--json", home=server.home
    ).json
    assert found["sentence"] == gate["sentence"]
    change = next(each for each in found["differences"] if each["name"] == "right")
    assert change["high"] < 0 and change["allowed"] == 0.03
    fewer = runs / "20990102-000000-000-fewer0.jsonl"
    fewer.write_text("".join(f"{line}\n" for line in (head, *lines[:40])))
    found = asked(server, COMPARE, b=f"right/{fewer.stem}", h=base)["compareRuns"]
    assert (found["pairs"], found["onlyInHead"], found["counts"]["bothRight"]) == (40, ITEMS - 40, 40)
    for each in (worse, fewer):
        each.unlink()


def test_words_need_their_right_and_a_viewer_gets_none(server: Served) -> None:
    id = finished(server)
    viewer, starter = fresh_key(server, "read_evals"), fresh_key(server, "run_evals")
    assert CANARY not in json.dumps(asked(server, RUN, key=viewer, id=id))
    words = "query($id: String!) { evalRun(id: $id) { items(last: 1) { rows { input output } } } }"
    refused = graphql(server, words, key=viewer, id=id)
    assert refused.code == "forbidden" and CANARY not in json.dumps(refused.data)
    (row,) = asked(server, words, id=id)["evalRun"]["items"]["rows"]
    assert CANARY in row["input"] and "Paris" in row["output"]
    (event,) = asked(server, "{ audit(last: 1) { action resource } }")["audit"]
    assert event["action"] == "read_contents" and event["resource"] == f"eval:{id}"
    assert graphql(server, START, key=starter, s="right", n=True).code == "forbidden"  # it may not ask
    assert graphql(server, START, key=viewer, s="right", n=True).code == "forbidden"
    data = "{ datasets { name count sha clusters error items(last: 2) { before rows { id tags } } } }"
    (found,) = asked(server, data, key=viewer)["datasets"]
    assert (found["name"], found["count"], found["items"]["before"]) == ("right", ITEMS, "2")
    texts = '{ dataset(name: "right") { items(last: 1) { rows { input } } } }'
    assert graphql(server, texts, key=viewer).code == "forbidden"
    assert CANARY in asked(server, texts)["dataset"]["items"]["rows"][0]["input"]


def test_a_data_set_is_imported_once_and_asked_for_by_its_version(server: Served) -> None:
    text = "id,input,expected\n1,[[say Rome]] capital?,Rome\n2,[[say Oslo]] capital?,Oslo\n"
    assert graphql(server, IMPORT, key=fresh_key(server, "run_evals"), t=text, f="csv", d=False).code == "forbidden"
    dry = asked(server, IMPORT, t=text, f="csv", d=True)["importDataset"]
    assert (dry["added"], dry["count"], dry["sha"]) == (2, 2, None) and not (server.home / "evals/sent.jsonl").exists()
    done = asked(server, IMPORT, t=text, f="csv", d=False)["importDataset"]
    again = asked(server, IMPORT, t=text, f="csv", d=False)["importDataset"]
    assert (done["added"], done["known"], again["added"], again["known"]) == (2, 0, 0, 2)
    (event,) = asked(server, "{ audit(last: 1) { action resource } }")["audit"]
    assert (event["action"], event["resource"]) == ("dataset.import", "dataset:sent")
    version = 'query($v: String!) { dataset(name: "sent", version: $v) { count sha } }'
    assert asked(server, version, v=done["sha"][:12])["dataset"] == {"count": 2, "sha": again["sha"]}
    other = graphql(server, version, v="0000")
    assert other.code == "bad_request" and done["sha"][:12] in other.message
    wrong = [("id,inputs\n1,x\n", "'text.csv', line 2"), ("id,input\n1,other\n", "another item '1'"), ("", "no items")]
    for said, why in wrong:
        refused = graphql(server, IMPORT, t=said, f="csv", d=False)
        assert why in refused.message and str(server.home) not in json.dumps(refused.errors), refused.errors
    (server.home / "evals" / "sent.jsonl").unlink()


@pytest.mark.long
def test_a_run_of_the_server_has_similarity_and_tells_its_progress_until_it_ends(server: Served) -> None:
    suite = "target: echo/small\ndata: right.jsonl\nscorers: {near: {kind: similarity}}\n"
    (server.home / "evals" / "near.yaml").write_text(suite)
    id = asked(server, START, s="near", t="echo/small", n=True)["startEval"]["id"]
    told = [each["jobChanged"] for each in streamed(server, JOB, i=id)]
    assert {"state": "done", "done": ITEMS, "total": ITEMS, "suite": "near"}.items() <= told[-1].items()
    assert all(each["state"] == "running" for each in told[:-1])
    assert [each["done"] for each in told] == sorted(each["done"] for each in told)
    (near,) = asked(server, RUN, id=id)["evalRun"]["scores"]
    assert (near["n"], near["missing"]) == (ITEMS, 0) and 0 <= near["value"] <= 1
    for key, wrong in (("", "near/none"), ("", "evalrun_none"), ("", "knowledge/none"), ("ask", id)):
        with opened(server, JOB, key=key and fresh_key(server, key), i=wrong) as response:
            (refused,) = json.loads(response.read())["errors"]
        assert refused["extensions"]["code"] == "not_found", refused
    (server.home / "evals" / "near.yaml").unlink()


def test_what_is_not_there_or_not_the_callers_is_not_found(server: Served) -> None:
    elsewhere = key_of(server, ["read_evals", "run_evals", "ask"], project="other")
    assert asked(server, "{ evalSuites { name } datasets { name } }", key=elsewhere) == {
        "evalSuites": [],
        "datasets": [],
    }
    for key, id in ((elsewhere, "right/x"), ("", "right/../../secret"), ("", "right/none"), ("", "../x"), ("", "")):
        assert graphql(server, RUN, key=key, id=id).code == "not_found", id
    assert graphql(server, START, key=elsewhere, s="right", n=False).code == "not_found"
    assert graphql(server, START, s="../right", n=False).code == "not_found"
    assert "scorer" in graphql(server, START, s="broken", n=False).message
    assert graphql(server, 'mutation { cancelEval(id: "right/x") { state } }').code == "not_found"
    (scorer, _) = asked(server, '{ scorers(suite: "right") { name kind judge { mayGate } } }')["scorers"]
    assert scorer == {"name": "right", "kind": "contains", "judge": None}


@pytest.mark.long
def test_a_run_goes_on_when_who_started_it_signs_out(server: Served) -> None:
    slow = [{**item(each), "input": f"[[slow 0.3]] [[say Paris]] {each}"} for each in range(20)]
    (server.home / "evals" / "left.yaml").write_text(SUITE.replace("right.jsonl", "left.jsonl"))
    (server.home / "evals" / "left.jsonl").write_text("".join(json.dumps(each) + "\n" for each in slow))
    browser = new_user(server, "left@example.com", "developer")
    id = browser.graphql(START, s="left", n=False).data["startEval"]["id"]
    until(lambda: asked(server, RUN, id=id)["evalRun"]["done"] > 0)
    assert browser.send("/auth/sign-out", {}).status == 200
    new_user(server, "next@example.com", "developer")
    until(lambda: asked(server, RUN, id=id)["evalRun"]["state"] != "running")
    run = asked(server, RUN, id=id)["evalRun"]
    assert (run["state"], run["done"], run["failed"]) == ("done", 20, 0)


@pytest.mark.long
def test_a_run_is_cancelled_and_goes_on_with_what_is_missing(server: Served, tmp_path: Path) -> None:
    slow = [{**item(each), "input": f"[[slow 0.3]] [[say Paris]] {each}"} for each in range(ITEMS)]
    (server.home / "evals" / "slow.yaml").write_text(SUITE.replace("right.jsonl", "slow.jsonl"))
    (server.home / "evals" / "slow.jsonl").write_text("".join(json.dumps(each) + "\n" for each in slow))
    id = asked(server, START, s="slow", t=None, n=False)["startEval"]["id"]
    assert asked(server, START, s="slow", t=None, n=False)["startEval"]["id"] == id  # the same run
    until(lambda: asked(server, RUN, id=id)["evalRun"]["done"] > 0)
    stopped = asked(server, "mutation($i: String!) { cancelEval(id: $i) { state done } }", i=id)["cancelEval"]
    assert stopped["state"] == "cancelled" and stopped["done"] < ITEMS
    run = asked(server, RUN, id=id)["evalRun"]
    assert run["state"] == "cancelled" and run["done"] >= stopped["done"]
    assert asked(server, START, s="slow", t=None, n=False)["startEval"]["id"] == id
    until(lambda: asked(server, RUN, id=id)["evalRun"]["state"] == "done")
    file = server.home / "evals" / ".runs" / "slow" / f"{id.partition('/')[2]}.jsonl"
    answered = [json.loads(each)["item"] for each in file.read_text().splitlines()[1:]]
    assert len(answered) == len(set(answered)) == ITEMS


async def test_a_run_that_ends_while_its_file_is_read_is_read_again() -> None:
    """Its page said `done`, with the answers that it had a moment before, for ever."""
    states, reads = [True, False, False], iter(("55 of 60", "60 of 60"))

    async def read() -> str:
        return next(reads)

    assert await read_settled(lambda: states.pop(0), read) == "60 of 60"
    states, reads = [True, True], iter(("55 of 60",))
    assert await read_settled(lambda: states.pop(0), read) == "55 of 60"
