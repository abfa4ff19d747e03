"""A run ends at its limit of steps, bytes or time, whatever it calls or resumes, and gives back what it held."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sizewise.errors import Busy, RunLimitExceeded
from sizewise.flows.run_clock import RunClock, worked_seconds
from sizewise.flows.run_limits import RunLimits
from sizewise.flows.tables import RunStep
from sizewise.settings.storage import FlowsSettings
from tests.auth.user_client import Browser
from tests.graphql.graphql_client import GraphQLAnswer, graphql
from tests.running_server import ECHO, Served, serving, until

LIMITS = """
[flows]
max_steps_per_run = 300
max_bytes_per_run = 100_000
max_active_steps_per_organization = 450
"""
NESTED = """
name: nested
inputs: {items: {list: json}, on_error: {type: text, default: fail}}
nodes:
  a:
    kind: each
    items: "{{ inputs.items }}"
    on_error: "{{ inputs.on_error }}"
    nodes:
      b:
        kind: each
        items: "{{ inputs.items }}"
        on_error: "{{ inputs.on_error }}"
        nodes:
          c:
            kind: each
            items: "{{ inputs.items }}"
            on_error: "{{ inputs.on_error }}"
            nodes: {t: {kind: template, text: "x"}}
            outputs: {said: "{{ t.text }}"}
        outputs: {n: "{{ c.results | length }}"}
    outputs: {n: "{{ b.results | length }}"}
outputs: {n: "{{ a.results | length }}"}
"""
WIDE = """
name: wide
inputs: {items: {list: json}}
nodes:
  a:
    kind: each
    items: "{{ inputs.items }}"
    nodes:
      t: {kind: template, text: "x"}
      u: {kind: template, text: "{{ t.text }}"}
    outputs: {said: "{{ u.text }}"}
outputs: {n: "{{ a.results | length }}"}
"""
CALLS = """
name: calls
inputs: {items: {list: json}, on_error: {type: text, default: skip}}
nodes:
  a:
    kind: each
    items: "{{ inputs.items }}"
    on_error: "{{ inputs.on_error }}"
    nodes: {t: {kind: tool, tool: nested, arguments: {items: [1, 2, 3, 4]}}}
    outputs: {said: "{{ t.text }}"}
outputs: {n: "{{ a.results | length }}"}
"""
LARGE = """
name: large
inputs: {text: text, items: {list: json}}
nodes:
  a:
    kind: each
    items: "{{ inputs.items }}"
    nodes: {t: {kind: template, text: "{{ inputs.text }}"}}
    outputs: {n: "{{ t.text | length }}"}
outputs: {n: "{{ a.results | length }}"}
"""
HOLDS = """
name: holds
inputs: {items: {list: json}}
nodes:
  a:
    kind: each
    items: "{{ inputs.items }}"
    nodes: {t: {kind: template, text: "x"}}
    outputs: {said: "{{ t.text }}"}
  b: {kind: approve, question: "?", after: a}
outputs: {n: "{{ a.results | length }}"}
"""
DEEP = """
name: deep
inputs: {items: {list: json}}
nodes:
  a:
    kind: each
    items: "{{ inputs.items }}"
    nodes:
      b:
        kind: each
        items: [1]
        nodes:
          c:
            kind: each
            items: [1]
            nodes: {t: {kind: template, text: "x"}}
            outputs: {said: "{{ t.text }}"}
        outputs: {n: "{{ c.results | length }}"}
    outputs: {n: "{{ b.results | length }}"}
  d: {kind: approve, question: "?", after: a}
outputs: {n: "{{ a.results | length }}"}
"""
LEAF = 'name: f0\nnodes: {t: {kind: template, text: "x"}}\noutputs: {said: "{{ t.text }}"}\n'
BRANCH = """
name: f{n}
nodes:
  a: {{kind: subflow, flow: f{m}}}
  b: {{kind: subflow, flow: f{m}}}
outputs: {{said: "{{{{ a.said }}}}{{{{ b.said }}}}"}}
"""
PUBLISH = "mutation ($t: String!) { publishFlow(text: $t) { new } }"
START = "mutation ($f: String!, $i: JSON) { startFlowRun(flow: $f, inputs: $i) { id } }"
RUN = "query ($i: String!) { flowRun(id: $i) { state error failure { code message hint } steps { key } } }"
CANCEL = "mutation ($i: String!) { cancelFlowRun(id: $i) { state } }"
RESUME = "mutation ($i: String!) { resumeFlowRun(id: $i) { state } }"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("limits"), ECHO + LIMITS) as served:
        publish(served, NESTED, WIDE, CALLS, LARGE, HOLDS, LEAF, *(BRANCH.format(n=n, m=n - 1) for n in range(1, 12)))
        yield served


def publish(server: Served, *texts: str, key: str = "") -> None:
    for text in texts:
        answer = graphql(server, PUBLISH, key=key, t=text)
        assert answer.errors == [], answer.errors


def start(server: Served, flow: str, key: str = "", **inputs: Any) -> GraphQLAnswer:
    return graphql(server, START, key=key, f=flow, i=inputs)


def ended(server: Served, id: str) -> Any:
    until(lambda: graphql(server, RUN, i=id).data["flowRun"]["state"] in ("done", "failed", "cancelled"), 30)
    return graphql(server, RUN, i=id).data["flowRun"]


def ran(server: Served, flow: str, **inputs: Any) -> Any:
    begun = start(server, flow, **inputs)
    assert begun.errors == [], begun.errors
    return {**ended(server, begun.data["startFlowRun"]["id"]), "id": begun.data["startFlowRun"]["id"]}


def exceeds(run: Any, words: str, setting: str) -> None:
    assert (run["state"], run["error"]) == ("failed", "run_limit_exceeded")
    assert words in run["failure"]["message"] and f"`{setting}` in [flows]" in run["failure"]["hint"]


@pytest.mark.long
@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_nested_loops_end_at_the_limit_of_steps_also_where_they_skip_errors(server: Served, on_error: str) -> None:
    run = ran(server, "nested", items=[*range(10)], on_error=on_error)
    exceeds(run, "more than 300 steps", "max_steps_per_run")
    assert len(run["steps"]) <= 300


@pytest.mark.long
def test_a_loop_that_cannot_fit_is_refused_before_its_first_round(server: Served) -> None:
    run = ran(server, "wide", items=[*range(151)])
    exceeds(run, "more than 300 steps", "max_steps_per_run")
    assert run["steps"] == []
    assert ran(server, "wide", items=[*range(140)])["state"] == "done"


@pytest.mark.long
def test_two_to_the_eleventh_subflows_end_at_the_limit_of_the_run_that_calls_them(server: Served) -> None:
    exceeds(ran(server, "f11"), "more than 300 steps", "max_steps_per_run")
    assert ran(server, "f5")["state"] == "done"


@pytest.mark.long
def test_flows_called_as_tools_count_into_the_run_that_calls_them(server: Served) -> None:
    """Each alone has 85 steps."""
    assert ran(server, "calls", items=[1, 2])["state"] == "done"
    exceeds(ran(server, "calls", items=[1, 2, 3, 4, 5]), "more than 300 steps", "max_steps_per_run")


def test_outputs_end_at_the_limit_of_bytes(server: Served) -> None:
    run = ran(server, "large", text="x" * 1_000, items=[*range(140)])
    exceeds(run, "more than 100,000 bytes", "max_bytes_per_run")
    assert ran(server, "large", text="x" * 100, items=[*range(140)])["state"] == "done"


def test_a_run_that_is_resumed_counts_on(server: Served) -> None:
    run = ran(server, "nested", items=[*range(10)])
    for _ in range(3):
        assert graphql(server, RESUME, i=run["id"]).errors == []
        again = ended(server, run["id"])
        exceeds(again, "more than 300 steps", "max_steps_per_run")
        assert len(again["steps"]) <= 300


def test_a_flow_as_a_model_has_the_same_limits(server: Served) -> None:
    body = {
        "model": "flow:nested",
        "messages": [{"role": "user", "content": "x"}],
        "metadata": {"items": "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"},
    }
    for _ in range(3):  # each gives back what it held
        answer = server.ask("/v1/chat/completions", body)
        assert (answer.status, answer.error["code"]) == (422, "run_limit_exceeded")
        assert "`max_steps_per_run` in [flows]" in answer.body.decode()


def held(server: Served, count: int, key: str = "") -> str:
    """A run that waits, and has this many steps."""
    begun = start(server, "holds", key, items=[*range(count - 2)])
    assert begun.errors == [], begun.errors
    id = str(begun.data["startFlowRun"]["id"])
    until(lambda: graphql(server, RUN, key=key, i=id).data["flowRun"]["state"] == "waiting")
    return id


@pytest.mark.long
def test_an_organization_shares_its_steps_among_its_runs_and_gets_them_back(server: Served) -> None:
    first = held(server, 280)
    run = ran(server, "wide", items=[*range(100)])
    assert (
        run["error"] == "run_limit_exceeded" and "450 steps, the maximum per organization" in run["failure"]["message"]
    )
    assert "`max_active_steps_per_organization` in [flows]" in run["failure"]["hint"]
    second = held(server, 170)
    refused = start(server, "f0")
    assert refused.code == "busy" and "450 steps" in refused.message
    assert "max_active_steps_per_organization" in refused.hint
    assert graphql(server, RESUME, i=run["id"]).code == "busy"
    body = {"model": "flow:f0", "messages": [{"role": "user", "content": "x"}]}
    assert server.ask("/v1/chat/completions", body).status == 429
    assert server.chat("echo/small").status == 200

    owner = Browser(server)
    token = graphql(server, 'mutation { createOrganization(id: "acme", email: "o@acme.example") { token } }')
    owner.accept(token.data["createOrganization"]["token"])
    made = owner.graphql('mutation { createKey(name: "x", permissions: [ask, manage_flows]) { secret } }')
    acme = made.data["createKey"]["secret"]
    publish(server, HOLDS, key=acme)
    graphql(server, CANCEL, key=acme, i=held(server, 280, acme))

    for id in (first, second):
        assert graphql(server, CANCEL, i=id).data["cancelFlowRun"]["state"] == "cancelled"
    until(lambda: start(server, "f0").code == "")
    assert ran(server, "wide", items=[*range(140)])["state"] == "done"


@pytest.mark.long
def test_a_server_that_is_killed_gives_all_back_and_its_runs_count_on(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO + LIMITS) as server:
        publish(server, HOLDS, NESTED, LEAF)
        id = held(server, 280)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(60)
    with serving(tmp_path, ECHO + LIMITS) as server:
        until(lambda: ran(server, "nested", items=[1, 2, 3, 4, 5, 6])["error"] == "run_limit_exceeded")
        run = ran(server, "nested", items=[1, 2, 3, 4, 5])  # 156 steps, beside the 280 of the run that waits
        assert (run["state"], graphql(server, RUN, i=id).data["flowRun"]["state"]) == ("done", "waiting")
        assert graphql(server, CANCEL, i=id).data["cancelFlowRun"]["state"] == "cancelled"
        assert ran(server, "nested", items=[1, 2, 3, 4, 5, 6])["state"] == "done"


@pytest.mark.long
def test_a_recovered_run_reaches_its_stored_steps_whatever_its_organization_may_use_now(tmp_path: Path) -> None:
    """It has 182 steps, of which 61 are stored."""
    with serving(tmp_path, ECHO + LIMITS) as server:
        publish(server, DEEP, LEAF)
        id = start(server, "deep", items=[*range(60)]).data["startFlowRun"]["id"]
        until(lambda: graphql(server, RUN, i=id).data["flowRun"]["state"] == "waiting")
    with serving(tmp_path, ECHO + LIMITS.replace("450", "100")) as server:
        until(lambda: start(server, "f0").code == "busy")  # it has used up all
        assert graphql(server, RUN, i=id).data["flowRun"]["state"] == "waiting"


SLOW = """
name: slow
nodes:
  a: {kind: wait, seconds: 1}
  b: {kind: ask, model: echo/small, prompt: "[[hang]]", after: a}
outputs: {said: "{{ b.text }}"}
"""


@pytest.mark.long
def test_a_run_ends_at_the_limit_of_time_which_waiting_does_not_use(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO + "[flows]\nmax_seconds_per_run = 0.5\n") as server:
        publish(server, SLOW)
        run = ran(server, "slow")
        exceeds(run, "worked for more than 0.5 seconds", "max_seconds_per_run")
        assert [each["key"] for each in run["steps"]] == ["a"]
        answer = server.chat("flow:slow")
        assert (answer.status, answer.error["code"]) == (422, "run_limit_exceeded")


def test_the_clock_of_a_run_stands_while_nothing_but_waiting_goes_on() -> None:
    now = [0.0]
    clock = RunClock(worked_s=5.0, clock=lambda: now[0])

    def pass_s(seconds: float) -> float:
        now[0] += seconds
        return clock.worked_s

    assert pass_s(1) == 6
    with clock.pausing():
        assert pass_s(100) == 6
        with clock.working():
            assert pass_s(2) == 8
            with clock.pausing():
                assert pass_s(1) == 9
        assert pass_s(100) == 9
    assert pass_s(1) == 10


def test_the_clock_goes_on_from_what_the_stored_steps_took() -> None:
    def done(key: str, began: int, ended: int | None, **more: Any) -> tuple[RunStep, bytes]:
        return RunStep(key, "done", 1, began * 1_000, None if ended is None else ended * 1_000, **more), b"1"

    steps = [
        done("a", 10, 20),
        done("b", 15, 25),  # beside a
        done("c", 40, 41),
        done("asked", 50, 500, by="u-1"),
        done(":inputs", 0, 1_000),
        done("late", 600, 700, error="timeout"),
        (done("slept", 700, 800)[0], b""),
        done("runs", 900, None),
    ]
    assert worked_seconds(steps) == 16


def test_what_runs_used_is_given_back_when_the_run_that_called_them_ends() -> None:
    limits = RunLimits(FlowsSettings(max_steps_per_run=10, max_active_steps_per_organization=12))
    with limits.counting("root", "acme") as root:
        root.count_steps(4)
        for number in range(2):
            with limits.counting(f"child{number}", "acme", "root") as child:
                child.count_steps(3)
        with pytest.raises(RunLimitExceeded), limits.counting("child", "acme", "root") as child:
            child.count_steps(1)
        with limits.counting("other", "acme") as other:
            with pytest.raises(RunLimitExceeded, match="12 steps"):
                other.count_steps(5)
            with pytest.raises(Busy):
                limits.require_room("acme")
        limits.require_room("acme")
        with limits.counting("theirs", "other") as theirs:
            theirs.count_steps(10)
    with limits.counting("next", "acme") as usage:
        usage.count_steps(10)
