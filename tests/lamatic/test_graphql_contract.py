"""The Lamatic contract: its operations, headers and shapes as their pages tell them, and their own client unchanged."""

from __future__ import annotations

import base64
import hmac
import json
import os
import subprocess
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.graphql.graphql_client import GraphQLAnswer, fresh_key, graphql
from tests.graphql.test_flows import APPROVED, SUPPORT, published
from tests.running_server import ECHO, Served, serving, until
from tests.sdks.apart import run_cases
from tests.sdks.test_node import node

SECRET = "a secret of theirs, long enough"
STILL = 'name: still\nnodes: {a: {kind: template, text: "nothing was asked"}}\noutputs: {said: "{{ a.text }}"}'
FLOW = """query ExecuteWorkflow($workflowId: String! $payload: JSON!)
  { executeWorkflow(workflowId: $workflowId payload: $payload) { status result requestId } }"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("lamatic")
    with serving(home, ECHO, SIGNER=SECRET) as server:
        for text in (SUPPORT, APPROVED, STILL):
            assert published(server, text).errors == []
        key = graphql(server, 'mutation { createKey(name: "signer") { key { id } } }').data["createKey"]["key"]["id"]
        signers = f'[graphql.signers.app]\nsecret = "env:SIGNER"\nkey = "{key}"\n'
        (home / "sizewise.toml").write_text(ECHO + signers)
        assert graphql(server, "mutation { reload { models } }").errors == []
        yield server


def run(server: Served, workflow: str = "support-desk", **payload: object) -> GraphQLAnswer:
    return graphql(server, FLOW, workflowId=workflow, payload=payload)


@pytest.mark.long
def test_a_workflow_is_run_as_a_query_and_as_a_mutation(desk: Served) -> None:
    shown = run(desk, question="one two").data["executeWorkflow"]
    assert shown["status"] == "success" and shown["requestId"]
    assert shown["result"] == {
        "answer": "one two",
        "made-of": {"words": "one two", "count": 2, "name": "Ann"},
        "labels": [],
    }
    again = graphql(desk, FLOW.replace("query", "mutation", 1), workflowId="support-desk", payload={"question": "a"})
    assert again.data["executeWorkflow"]["result"]["answer"] == "a"


def test_the_payload_may_be_written_out_with_variables_in_it(desk: Served) -> None:
    """As the snippets of their studio do it."""
    query = """query($topic: String, $list: [String!]) {
      executeWorkflow(workflowId: "support-desk", payload: {question: $topic, labels: $list}) { result } }"""
    shown = graphql(desk, query, topic="of the day", list=["a"]).data["executeWorkflow"]["result"]
    assert (shown["answer"], shown["labels"]) == ("of the day", ["a"])


def test_what_is_wrong_is_an_error_of_graphql(desk: Served) -> None:
    answer = run(desk, question=5)
    assert answer.code == "bad_request" and "question" in answer.message
    assert run(desk, "nothing", question="a").code == "not_found"
    assert run(desk, question="[[fail]]").code == "upstream_unreachable"
    assert graphql(desk, FLOW, workflowId="support-desk", payload=[1]).code == "bad_request"


def test_an_empty_payload_may_be_their_dummy(desk: Served) -> None:
    assert run(desk, "still", dummy="empty").data["executeWorkflow"]["result"] == {"said": "nothing was asked"}


@pytest.mark.parametrize("query", ["checkStatus(requestId: $r)", "checkStatus(requestId: $r) { status result }"])
def test_a_status_is_told_with_or_without_a_selection_set(desk: Served, query: str) -> None:
    id = run(desk, question="one").data["executeWorkflow"]["requestId"]
    shown = graphql(desk, f"query($r: String!) {{ {query} }}", r=id).data["checkStatus"]
    assert (shown["status"], shown["statusCode"], shown["input"]) == ("success", 200, {"question": "one"})
    assert shown["result"] == shown["output"] and shown["message"] is None
    assert shown["output"]["answer"] == "one" and shown["timeTakenInSeconds"] >= 0
    nodes = {each["nodeId"]: each for each in shown["nodes"]}
    assert nodes["answer"]["nodeType"] == "ask" and nodes["answer"]["output"]["text"] == "one"
    assert graphql(desk, f"{{ checkStatus(requestId: {'a' + id}) {{ status }} }}").code == "not_found"


def test_a_run_that_waits_is_told_by_its_id_and_looked_after(desk: Served) -> None:
    shown = run(desk, "refund", sum=5).data["executeWorkflow"]
    assert shown == {"status": "success", "result": {"requestId": shown["requestId"]}, "requestId": shown["requestId"]}
    status = "query($r: String!) { checkStatus(requestId: $r) }"
    assert graphql(desk, status, r=shown["requestId"]).data["checkStatus"] == {"status": "in-progress"}
    graphql(desk, "mutation($i: String!) { cancelFlowRun(id: $i) { state } }", i=shown["requestId"])
    ended = graphql(desk, status, r=shown["requestId"]).data["checkStatus"]
    assert (ended["status"], ended["statusCode"], ended["result"]) == ("failed", 409, None)
    assert ended["message"] == "the run was cancelled"


def test_feedback_on_a_run_becomes_a_verdict_on_its_models(desk: Served) -> None:
    id = run(desk, question="one").data["executeWorkflow"]["requestId"]
    query = """mutation($r: String!, $n: Int, $c: String) {
      submitFeedback(requestId: $r, rating: $n, comment: $c, metadata: {a: 1}) { success message data error } }"""
    shown = graphql(desk, query, r=id, n=4, c="well said").data["submitFeedback"]
    assert shown["success"] and shown["data"][0]["score"] == 0.8 and "comment" in shown["message"]
    assert graphql(desk, query, r=id, n=9).code == "bad_request"
    silent = run(desk, "still").data["executeWorkflow"]["requestId"]
    assert not graphql(desk, query, r=silent, n=1).data["submitFeedback"]["success"]


def test_a_project_is_named_by_whoever_sees_them_all(desk: Served) -> None:
    text = 'name: there\nnodes: {a: {kind: template, text: one}}\noutputs: {said: "{{ a.text }}"}'
    graphql(desk, 'mutation { createKey(name: "t", project: "shop") { secret } }')
    assert published(desk, text, project="shop").errors == []
    query = {"query": "{ there { said } }"}
    named = desk.ask("/graphql", query, key=_admin(desk), x_project_id="shop")
    assert named.json == {"data": {"there": {"said": "one"}}}
    narrow = graphql(desk, 'mutation { createKey(name: "n", project: "default") { secret } }').data["createKey"][
        "secret"
    ]
    assert desk.ask("/graphql", query, key=narrow, x_project_id="shop").status == 403
    me = desk.ask("/graphql", {"query": "{ me { project } }"}, key=narrow, x_project_id="2b8c-of-nobody")
    assert me.json == {"data": {"me": {"project": "default"}}}


def _admin(server: Served) -> str:
    return (server.home / "admin.token").read_text().strip()


# ---- signed tokens


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def token(secret: str = SECRET, alg: str = "HS256", **claims: object) -> str:
    signed = f"{part({'alg': alg, 'typ': 'JWT'})}.{part(claims)}"
    mac = hmac.new(secret.encode(), signed.encode(), sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def test_a_signed_token_is_as_good_as_the_key_behind_it(desk: Served) -> None:
    query = {"query": "{ me { name permissions } }"}
    good = desk.ask("/graphql", query, key=None, x_lamatic_signature=token(project_id="p", exp=time.time() + 60))
    assert good.json == {"data": {"me": {"name": "signer", "permissions": ["ask"]}}}
    none = f"{part({'alg': 'none'})}.{part({})}."
    for bad in (token(exp=1), token("another secret, as long"), token(alg="none"), none, "a.b.c", "", "x" * 9_000):
        refused = desk.ask("/graphql", query, key=None, x_lamatic_signature=bad)
        assert refused.status == 403, bad
        assert SECRET.encode() not in refused.body
        assert b"{project_id" not in refused.body


# ---- their own client


@pytest.mark.apart
def test_the_package_lamatic_for_python_works_unchanged(desk: Served) -> None:
    shown = run_cases(
        "lamatic_cases.py",
        SIZEWISE_URL=desk.url,
        SIZEWISE_KEY=fresh_key(desk, "ask"),
        DECIDER=fresh_key(desk, "approve"),
        TOKEN=token(project_id="p", exp=time.time() + 600),
    )
    for way in ("flow", "async", "signed"):
        assert (shown[way]["status"], shown[way]["status_code"]) == ("success", 200), way
        assert shown[way]["result"]["answer"] == "one two", way
    for way, status in (("wrong", 400), ("unknown", 404), ("stranger", 401)):
        assert (shown[way]["status"], shown[way]["status_code"]) == ("error", status), way
        assert shown[way]["message"], way
    for way in ("ended", "again"):
        assert (shown["polled"][way]["status"], shown["polled"][way]["result"]) == ("success", {"paid": True}), way


@pytest.mark.node
def test_the_package_lamatic_works_unchanged(desk: Served) -> None:
    env = {
        "PATH": os.environ["PATH"],
        "SIZEWISE_URL": desk.url,
        "SIZEWISE_KEY": fresh_key(desk, "ask"),
        "DECIDER": fresh_key(desk, "approve"),
        "SIGNER": SECRET,
    }
    here = Path(__file__).parents[1] / "sdks" / "node"
    done = subprocess.run([node(), "lamatic.mjs"], cwd=here, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    shown: dict[str, Any] = json.loads(done.stdout)
    assert shown.pop("strangers") == []
    for way in ("flow", "agent", "signed", "renewed"):
        assert (shown[way]["status"], shown[way]["statusCode"]) == ("success", 200), way
        assert shown[way]["result"]["answer"] == "one two", way
    assert shown["empty"]["result"] == {"said": "nothing was asked"}
    assert (shown["wrong"]["status"], shown["unknown"]["status"]) == ("error", "error")
    assert shown["stranger"]["statusCode"] == 401
    assert shown["expired"]["statusCode"] == shown["forged"]["statusCode"] == 403
    polled = shown["polled"]
    assert polled["begun"]["result"]["requestId"]
    assert (polled["ended"]["status"], polled["ended"]["output"]) == ("success", {"paid": True})
    until(lambda: not graphql(desk, "{ waiting { key } }").data["waiting"])
