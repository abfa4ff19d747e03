"""Runs at the terminal: begun and followed, listed, looked at node by node, decided, cancelled, gone on with."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from sizewise.cli.flow_runs import STATES
from sizewise.flows.tables import RunState
from tests.cli.terminal import sizewise
from tests.forked import PYTHONPATH, Process, command, start
from tests.running_server import ECHO, Served, environment, serving, until

GATE = """
name: gate
inputs: {question: text, times: {type: integer, default: 1}}
nodes:
  say: {kind: ask, model: echo/small, prompt: "{{ inputs.question }} {{ inputs.times }}"}
  may: {kind: approve, question: "Send it?", after: say}
  sent: {kind: template, text: "sent: {{ say.text }}", after: may.approved}
  left: {kind: template, text: "left, {{ may.note }}", after: may.refused}
outputs: {said: "{{ sent.text }}{{ left.text }}"}
"""
BAD = """
name: bad
inputs: {from: text}
nodes:
  a: {kind: ask, model: echo/nobody, prompt: "{{ inputs.from }}"}
outputs: {answer: "{{ a.text }}"}
"""
PLAIN = """
name: plain
inputs: {question: text, times: {type: integer, default: 1}}
nodes:
  a: {kind: ask, model: echo/small, prompt: "{{ inputs.question }} {{ inputs.times }}"}
  b: {kind: template, text: "<{{ a.text }}>"}
outputs: {answer: "{{ b.text }}"}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("runs") / "home"
    (home / "flows").mkdir(parents=True)
    for name, text in (("gate", GATE), ("bad", BAD), ("plain", PLAIN)):
        (home / "flows" / f"{name}.yaml").write_text(text)
    with serving(home, ECHO + "[flows]\nallow_self_approval = true\n") as server:
        yield server


def begun(server: Served, *words: str) -> Process:
    env = environment(SIZEWISE_HOME=str(server.home), PYTHONPATH=PYTHONPATH)
    all_ = command("flow", "run", *words, "--durable")
    return start(all_, env=env, cwd=server.home)


def waits(server: Served) -> list[dict[str, dict[str, str]]]:
    told: Any = server.ask("/graphql", {"query": "{ waiting { run { id } } }"}).json
    found: list[dict[str, dict[str, str]]] = told["data"]["waiting"]
    return found


@pytest.mark.long
def test_a_run_is_followed_decided_and_told_node_by_node(server: Served) -> None:
    with begun(server, "gate", "-i", "question=hi", "-i", "times=3", "--steps") as following:
        until(lambda: waits(server))
        (each,) = waits(server)
        run = each["run"]["id"]
        shown = sizewise("flow", "waiting", home=server.home).out
        assert run in shown and "Send it?" in shown
        status = sizewise("flow", "status", run, home=server.home).out
        assert "waiting" in status and f"sizewise flow decide {run} may yes" in status
        assert "echo/small" in next(line for line in status.splitlines() if line.startswith("say "))
        wrong = sizewise("flow", "decide", run, "may", "perhaps", home=server.home)
        assert (wrong.code, wrong.hint) == (2, "hint: use yes, no, or JSON")
        assert sizewise("flow", "decide", run, "may", "yes", home=server.home).code == 0
        assert following.stdout is not None and following.stderr is not None
        following.wait(30)
        out, err = following.stdout.read(), following.stderr.read()
    assert (following.returncode, out) == (0, "sent: hi 3\n")
    assert err.startswith(f"run {run}\n") and f"sizewise flow decide {run} may yes" in err
    assert [line.split()[0] for line in err.splitlines()[-4:]] == ["NODE", "say", "may", "sent"]
    again = sizewise("flow", "decide", run, "may", "no", home=server.home)
    assert (again.code, again.hint) == (2, "hint: list the waiting steps: sizewise flow waiting")
    assert sizewise("flow", "cancel", run, home=server.home).code == 2


@pytest.mark.long
def test_ctrl_c_leaves_it_running_and_says_how_to_look_at_it(server: Served) -> None:
    with begun(server, "gate", "-i", "question=hi") as following:
        assert following.stderr is not None and following.stderr.readline().startswith("run ")
        until(lambda: waits(server))
        following.send_signal(signal.SIGINT)
        said = following.stderr.read()
        following.wait(60)
    assert following.returncode == 130
    (each,) = waits(server)
    run = each["run"]["id"]
    assert f"the run continues: sizewise flow status {run}" in said
    assert sizewise("flow", "cancel", run, home=server.home).out == f"the run {run} is cancelled\n"
    assert "sizewise flow resume" in sizewise("flow", "status", run, home=server.home).out
    assert sizewise("flow", "resume", run, home=server.home).code == 0
    until(lambda: waits(server))
    told = sizewise("flow", "decide", run, "may", '{"approved": false}', "--note", "too dear", home=server.home)
    assert told.code == 0
    asked = {"query": "query ($id: String!) { flowRun(id: $id) { state } }", "variables": {"id": run}}
    until(lambda: '"done"' in server.ask("/graphql", asked).body.decode())
    kept = sizewise("flow", "status", run, "--json", home=server.home).json
    assert (kept["attempt"], [step["key"] for step in kept["steps"]][-1]) == (2, "left")


@pytest.mark.long
def test_a_run_that_fails_ends_as_its_error_and_runs_are_listed_by_page_and_state(server: Served) -> None:
    failed = sizewise("flow", "run", "bad", "-i", "from=x", "--durable", home=server.home)
    assert (failed.code, "; then: sizewise flow resume" in failed.hint) == (2, True)
    (bad,) = sizewise("flow", "runs", "--state", "failed", "--json", home=server.home).json["runs"]
    assert bad["flow"] == "bad" and bad["error"]
    why = next(
        each for each in sizewise("flow", "status", bad["id"], home=server.home).out.splitlines() if "why" in each
    )
    assert why.split(maxsplit=1)[1] in failed.err
    done = sizewise("flow", "run", "plain", "-i", "question=yes", "--durable", "--json", home=server.home).json
    assert done["outputs"] == {"answer": "<yes 1>"}
    shown = sizewise("flow", "status", done["run"], "--outputs", home=server.home).out
    assert '"answer": "<yes 1>"' in shown and "why" not in shown
    assert (
        sizewise("flow", "status", done["run"], "--outputs", "--json", home=server.home).json["outputs"]
        == done["outputs"]
    )
    assert "<yes 1>" not in sizewise("flow", "status", done["run"], home=server.home).out
    newest = sizewise("flow", "runs", "--last", "1", home=server.home)
    assert done["run"] in newest.out and "more: sizewise flow runs --last 1 --before" in newest.err
    number = newest.err.split()[-1]
    page = sizewise("flow", "runs", "--before", number, "--json", home=server.home).json["runs"]
    assert page[0]["id"] == bad["id"]
    assert get_args(RunState) == STATES
    nothing = sizewise("flow", "status", "0" * 32, home=server.home)
    assert (nothing.code, nothing.hint) == (2, "hint: list the runs: sizewise flow runs")


@pytest.mark.long
def test_versions_are_listed_with_the_one_that_is_live(server: Served) -> None:
    (one,) = sizewise("flow", "versions", "plain", "--json", home=server.home).json["versions"]
    assert one["live"]
    assert one["version"][:12] in sizewise("flow", "versions", "plain", home=server.home).out
    assert sizewise("flow", "versions", "nobody", home=server.home).code == 2


@pytest.mark.long
def test_a_run_tells_of_each_node_what_it_cost_where_that_is_asked_for(server: Served) -> None:
    seen = sizewise("flow", "run", "plain", "-i", "question=hi", "--steps", home=server.home)
    assert seen.out == "<hi 1>\n"
    heads, a, b, _ = seen.err.splitlines()
    assert heads.split() == ["NODE", "STATE", "MODEL", "TOKENS", "COST", "TIME"]
    assert a.split()[:3] == ["a", "done", "echo/small"] and "+" in a.split()[3]
    assert b.split()[:4] == ["b", "done", "-", "-"]
    assert "NODE" not in sizewise("flow", "run", "plain", "-i", "question=hi", home=server.home).err
    told = sizewise("flow", "run", "plain", "-i", "question=hi", "--steps", "--json", home=server.home).json
    assert [step["key"] for step in told["steps"]] == ["a", "b"] and told["steps"][0]["tokens"]


@pytest.mark.long
def test_a_server_with_flows_loads_the_durable_engine_only_when_a_run_is_begun(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "flows").mkdir(parents=True)
    (home / "flows" / "plain.yaml").write_text(PLAIN)
    start = {"query": 'mutation { startFlowRun(flow: "plain", inputs: {question: "hi"}) { id } }'}
    with serving(home, ECHO, PYTHONPROFILEIMPORTTIME="1") as server:  # it tells of each import on stderr
        assert server.chat("flow:plain", "hi").status == 200
        until(lambda: any("sizewise.flows.engines.dbos" in line for line in server.said))
        assert not any(line.endswith(" dbos\n") for line in server.said)
        assert server.ask("/graphql", start).status == 200
        until(lambda: any(line.endswith(" dbos\n") for line in server.said))
