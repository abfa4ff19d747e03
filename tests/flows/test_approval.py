"""Who decides what waits for a person and reads it: approvers, and never who started the run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.auth.user_client import Browser, new_user
from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import GraphQLAnswer, fresh_key, graphql
from tests.mcp.fake_mcp_server import FakeMcpServer, doubling
from tests.running_server import ECHO, Served, serving, until

SETTINGS = """
[roles.treasurer]
permissions = ["ask", "approve"]
[agents.buyer]
model = "echo/small"
tools = ["far__add"]
max_steps = 2
[mcp.far]
url = "{url}"
place = "machine"
approvers = ["role:treasurer"]
"""
PAY = """
name: pay
inputs: {sum: text}
nodes:
  asked: {kind: approve, question: "Pay {{ inputs.sum }}?", show: {iban: DE02120300000000202051}}
outputs: {paid: "{{ asked.approved }}", by: "{{ asked.by }}"}
"""
NAMED = PAY.replace("name: pay", "name: NAME").replace("show: {iban", "approvers: [APPROVERS], show: {iban")
BUY = """
name: buy
inputs: {task: text}
nodes:
  bought: {kind: agent, agent: buyer, task: "{{ inputs.task }}"}
outputs: {why: "{{ bought.stop_reason }}"}
"""
LATE = """
name: late
nodes:
  asked: {kind: approve, question: "A secret of ours", wait_s: 0.1}
outputs: {said: "{{ asked.case }}"}
"""
PUBLISH = "mutation ($t: String!) { publishFlow(text: $t) { flow { name } } }"
START = "mutation ($f: String!, $i: JSON) { startFlowRun(flow: $f, inputs: $i) { id } }"
DECIDE = 'mutation ($i: String!, $k: String!) { decide(id: $i, key: $k, approved: true, note: "fine") { state } }'
WAITING = "{ waiting { key request approvers mayDecide run { id } } }"
RUN = "query ($i: String!) { flowRun(id: $i) { state outputs steps { key state output decidedBy } } }"


@pytest.fixture(scope="module")
def far() -> Iterator[FakeMcpServer]:
    with doubling() as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, far: FakeMcpServer) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("approval"), ECHO + SETTINGS.format(url=far.url)) as served:
        for text in (PAY, BUY, LATE):
            assert graphql(served, PUBLISH, t=text).errors == []
        yield served


@pytest.fixture(scope="module")
def ann(server: Served) -> Browser:
    return new_user(server, "ann@example.com", "editor")


@pytest.fixture(scope="module")
def bob(server: Served) -> Browser:
    return new_user(server, "bob@example.com", "treasurer")


def started(answer: GraphQLAnswer) -> str:
    assert answer.errors == [], answer.errors
    return str(answer.data["startFlowRun"]["id"])


def waits(server: Served, id: str) -> str:
    """The key of the step that waits."""
    found: list[str] = []

    def seen() -> bool:
        found[:] = [each["key"] for each in graphql(server, WAITING).data["waiting"] if each["run"]["id"] == id]
        return bool(found)

    until(seen)
    return found[0]


def shown(answer: GraphQLAnswer, id: str) -> dict[str, Any]:
    return next({**each, "run": None} for each in answer.data["waiting"] if each["run"]["id"] == id)


@pytest.mark.long
def test_a_key_that_may_only_ask_neither_sees_nor_decides_what_is_asked(server: Served) -> None:
    app, other = fresh_key(server, "ask"), fresh_key(server, "ask", "read_records", "read_contents")
    id = started(graphql(server, START, key=app, f="pay", i={"sum": "99"}))
    key = waits(server, id)
    for one in (app, other):
        assert shown(graphql(server, WAITING, key=one), id) == {
            "key": key, "request": None, "approvers": [], "mayDecide": False, "run": None,
        }  # fmt: skip
        refused = graphql(server, DECIDE, key=one, i=id, k=key)
        assert refused.code == "forbidden" and "`approve`" in refused.message
        assert "DE021203" not in json.dumps([refused.errors, graphql(server, RUN, key=app, i=id).data])
    decider = fresh_key(server, "approve")
    asked = shown(graphql(server, WAITING, key=decider), id)
    assert asked["mayDecide"] and asked["request"]["question"] == "Pay 99?"
    assert graphql(server, DECIDE, key=decider, i=id, k=key).errors == []
    until(lambda: graphql(server, RUN, i=id).data["flowRun"]["state"] == "done")


@pytest.mark.long
def test_who_started_a_run_does_not_decide_it_though_they_may_decide_others(
    server: Served, ann: Browser, bob: Browser
) -> None:
    mine, theirs = (
        started(ann.graphql(START, f="pay", i={"sum": "1"})),
        started(bob.graphql(START, f="pay", i={"sum": "2"})),
    )
    key = waits(server, mine)
    refused = ann.graphql(DECIDE, i=mine, k=key)
    assert refused.code == "forbidden" and "you started this run" in refused.message
    assert "another user or key with the permission `approve`" in refused.hint
    assert "allow_self_approval" in refused.hint
    assert shown(ann.graphql(WAITING), mine)["request"] is None
    assert shown(ann.graphql(WAITING), theirs)["request"]["question"] == "Pay 2?"
    assert bob.graphql(DECIDE, i=mine, k=key).errors == []
    assert ann.graphql(DECIDE, i=theirs, k=waits(server, theirs)).errors == []
    until(lambda: graphql(server, RUN, i=mine).data["flowRun"]["state"] == "done")
    assert graphql(server, RUN, i=mine).data["flowRun"]["outputs"] == {"paid": True, "by": bob.user}


@pytest.mark.parametrize("evasion", ["a personal key", "a key made for it", "a key made by that key", "a rotated key"])
def test_no_key_of_who_started_a_run_decides_it(server: Served, evasion: str) -> None:
    owner = new_user(server, f"{evasion.replace(' ', '-')}@example.com", "owner")
    own, wanted = evasion == "a personal key", '["ask", "approve", "manage_keys"]'.replace('"', "")
    if not own:
        made = owner.graphql(f'mutation {{ createKey(name: "x", permissions: {wanted}) {{ secret key {{ id }} }} }}')
    else:
        made = owner.graphql(
            f'mutation {{ createKey(name: "x", permissions: {wanted}, personal: true) {{ secret key {{ id }} }} }}'
        )
    assert made.errors == [], made.errors
    key = made.data["createKey"]["secret"]
    if evasion == "a key made by that key":
        key = fresh_key(server, "ask", "approve", key=key)
    if evasion == "a rotated key":
        id = made.data["createKey"]["key"]["id"]
        key = owner.graphql(f'mutation {{ rotateKey(id: "{id}") {{ secret }} }}').data["rotateKey"]["secret"]
    run = started(owner.graphql(START, f="pay", i={"sum": "3"}))
    step = waits(server, run)
    refused = graphql(server, DECIDE, key=key, i=run, k=step)
    assert refused.code == "forbidden" and "you started this run" in refused.message
    assert shown(graphql(server, WAITING, key=key), run)["request"] is None
    assert owner.graphql(DECIDE, i=run, k=step).code == "forbidden"
    assert graphql(server, DECIDE, i=run, k=step).errors == []  # the admin token did not start it


@pytest.mark.parametrize("approver", ["user:BOB@example.com", "user:ID", "role:treasurer", "key:KEY"])
def test_a_step_is_decided_by_the_approvers_that_it_names_alone(
    server: Served, ann: Browser, bob: Browser, approver: str
) -> None:
    answer = graphql(server, 'mutation { createKey(name: "k", permissions: [approve]) { secret key { id } } }')
    made = answer.data["createKey"]
    named = approver.replace("ID", bob.user).replace("KEY", made["key"]["id"])
    name = f"named-{'abcd'[['user:B', 'user:I', 'role:t', 'key:KE'].index(approver[:6])]}"
    text = NAMED.replace("NAME", name).replace("APPROVERS", f'"role:nobody", "{named}"')
    assert graphql(server, PUBLISH, t=text).errors == []
    run = started(graphql(server, START, key=fresh_key(server, "ask"), f=name, i={"sum": "5"}))
    step = waits(server, run)
    for refused in (ann.graphql(DECIDE, i=run, k=step), graphql(server, DECIDE, i=run, k=step)):
        assert refused.code == "forbidden" and "not an approver" in refused.message
        assert named in refused.hint and "role:nobody" in refused.hint
    assert shown(ann.graphql(WAITING), run) == {
        "key": step, "request": None, "approvers": ["role:nobody", named], "mayDecide": False, "run": None,
    }  # fmt: skip
    if approver.startswith("key:"):
        assert bob.graphql(DECIDE, i=run, k=step).code == "forbidden"
        assert graphql(server, DECIDE, key=made["secret"], i=run, k=step).errors == []
    else:
        assert shown(bob.graphql(WAITING), run)["request"]["show"] == {"iban": "DE02120300000000202051"}
        assert graphql(server, DECIDE, key=made["secret"], i=run, k=step).code == "forbidden"
        assert bob.graphql(DECIDE, i=run, k=step).errors == []


def test_an_approver_who_started_the_run_does_not_decide_it(server: Served, bob: Browser) -> None:
    text = NAMED.replace("NAME", "only-bob").replace("APPROVERS", '"user:bob@example.com"')
    assert graphql(server, PUBLISH, t=text).errors == []
    run = started(bob.graphql(START, f="only-bob", i={"sum": "5"}))
    assert "you started this run" in bob.graphql(DECIDE, i=run, k=waits(server, run)).message


def test_a_dangerous_tool_of_an_agent_is_approved_by_those_that_the_settings_name(
    server: Served, far: FakeMcpServer, ann: Browser, bob: Browser
) -> None:
    run = started(ann.graphql(START, f="buy", i={"task": '[[tool far__add {"a": 4711}]] add it'}))
    step = waits(server, run)
    colleague = fresh_key(server, "approve", "read_contents")
    assert shown(graphql(server, WAITING, key=colleague), run)["request"] is None
    assert "role:treasurer" in graphql(server, DECIDE, key=colleague, i=run, k=step).hint
    assert "tools/call" not in far.methods()
    asked = shown(bob.graphql(WAITING), run)
    assert (asked["approvers"], asked["request"]["show"]) == (["role:treasurer"], {"a": 4711})
    assert bob.graphql(DECIDE, i=run, k=step).errors == []
    until(lambda: graphql(server, RUN, i=run).data["flowRun"]["state"] == "done")
    assert "tools/call" in far.methods()


def test_what_was_asked_is_not_read_after_it_was_late(server: Served) -> None:
    app = fresh_key(server, "ask", "read_contents")
    run = started(graphql(server, START, key=app, f="late", i={}))
    until(lambda: graphql(server, RUN, i=run).data["flowRun"]["state"] == "done")
    for key in (app, ""):
        (step,) = graphql(server, RUN, key=key, i=run).data["flowRun"]["steps"]
        assert (step["state"], step["output"]) == ("failed", None)


def test_decisions_and_refused_decisions_are_in_the_audit_log(server: Served, ann: Browser, bob: Browser) -> None:
    run = started(ann.graphql(START, f="pay", i={"sum": "6"}))
    step = waits(server, run)
    ann.graphql(DECIDE, i=run, k=step)
    bob.graphql(DECIDE, i=run, k=step)
    events = graphql(server, "{ audit(last: 20) { action actor resource after error } }").data["audit"]
    mine = [each for each in events if run in each["resource"]]
    assert {(each["action"], each["actor"], each["error"]) for each in mine} == {
        ("decide", ann.user, "forbidden"),
        ("flow.decide", bob.user, ""),
    }
    assert next(each["after"] for each in mine if each["action"] == "flow.decide") == {"approved": True}


@pytest.mark.parametrize("approvers", ["bob@example.com", "user:", "group:x", "user:{{ inputs.sum }}", "role:a b"])
def test_a_flow_with_approvers_of_a_wrong_form_is_not_published(server: Served, approvers: str) -> None:
    text = NAMED.replace("NAME", "wrong").replace("APPROVERS", f'"{approvers}"')
    refused = graphql(server, PUBLISH, t=text)
    assert refused.code == "bad_request" and "approvers" in refused.message


def test_the_terminal_says_who_decides_and_shows_nothing_else(server: Served) -> None:
    run = started(graphql(server, START, f="pay", i={"sum": "secret sum"}))  # as the terminal, with the admin token
    waits(server, run)
    seen = sizewise("flow", "waiting", home=server.home)
    line = next(each for each in seen.out.splitlines() if run in each)
    assert "others with `approve`" in line and "secret sum" not in line
    refused = sizewise("flow", "decide", run, "asked", "yes", home=server.home)
    assert refused.code != 0 and "you started this run" in refused.err and "allow_self_approval" in refused.hint


@pytest.mark.long
def test_settings_let_a_starter_decide_if_they_say_so(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO + "[flows]\nallow_self_approval = true\n") as server:
        assert graphql(server, PUBLISH, t=PAY).errors == []
        run = started(graphql(server, START, f="pay", i={"sum": "1"}))
        assert graphql(server, DECIDE, i=run, k=waits(server, run)).errors == []
        app = fresh_key(server, "ask")
        run = started(graphql(server, START, key=app, f="pay", i={"sum": "1"}))
        assert graphql(server, DECIDE, key=app, i=run, k=waits(server, run)).code == "forbidden"
