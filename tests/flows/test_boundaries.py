"""What a flow, its tools and its runs do not reach: looser data, other paths of a host, others' runs, no end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sizewise.flows.node_registry import NodeRegistry
from sizewise.flows.scheduler import _run_id
from sizewise.flows.validator import validate_flow
from tests.auth.user_client import Browser, new_user
from tests.graphql.graphql_client import GraphQLAnswer, fresh_key, graphql
from tests.graphql.subscription_client import streamed
from tests.growth import check_linear
from tests.knowledge.knowledge_server import add, embed
from tests.running_server import ECHO, Served, serving, until

CONFIG = """
[providers.vectors]
wire = "echo"
place = "process"
models = ["small"]
[models."vectors/small"]
task = "embed"
[providers.far]
wire = "echo"
place = "anyone"
models = ["away"]
[agents.friend]
model = "echo/small"
memory = true
[hosts.api]
url = "{url}/v1"
place = "machine"
"""
FLOWS = """
name: look
inputs: {question: text}
nodes:
  find: {kind: search, knowledge: secret, query: "{{ inputs.question }}"}
outputs: {answer: "{{ find.passages | pluck('text') | join }}"}
---
name: calls
nodes:
  call: {kind: tool, tool: look, arguments: {question: what opens the vault}}
  tell: {kind: ask, model: far/away, prompt: "{{ call.text }}"}
outputs: {answer: "{{ tell.text }}"}
---
name: moves
nodes:
  find: {kind: search, knowledge: secret, query: what opens the vault}
  put:
    kind: ingest
    knowledge: open
    documents: [{source: copy, text: "{{ find.passages | pluck('text') | join }}", data_class: public}]
outputs: {count: "{{ put.passages }}"}
---
name: remembers
nodes:
  find: {kind: search, knowledge: secret, query: what opens the vault}
  put: {kind: memory, do: remember, whose: ann, text: "{{ find.passages | pluck('text') | join }}"}
outputs: {count: "{{ put.count }}"}
---
name: recalls
nodes:
  got: {kind: memory, do: recall, whose: ann}
  tell: {kind: ask, model: far/away, prompt: "{{ got.memories | pluck('text') | join }}"}
outputs: {answer: "{{ tell.text }}"}
---
name: fetch
inputs: {url: text}
nodes:
  got: {kind: http, url: "{{ inputs.url }}"}
outputs: {status: "{{ got.status }}"}
---
name: itself
inputs: {tool: text}
nodes:
  again: {kind: tool, tool: "{{ inputs.tool }}", arguments: {tool: "{{ inputs.tool }}"}}
outputs: {text: "{{ again.text }}"}
---
name: refund
inputs: {sum: text}
nodes:
  asked: {kind: approve, question: "Pay {{ inputs.sum }}?"}
outputs: {paid: "{{ asked.approved }}"}
---
name: friend
inputs: {question: text}
nodes:
  said: {kind: agent, agent: friend, task: "{{ inputs.question }}"}
outputs: {answer: "{{ said.text }}"}
---
name: later
nodes:
  asked: {kind: approve, question: "Put it there?"}
  put: {kind: ingest, knowledge: open, documents: [{source: later, text: A word.}], after: [asked.approved]}
outputs: {count: "{{ put.passages }}"}
---
name: swells
inputs: {text: text}
nodes:
  made:
    kind: template
    value: [MANY]
outputs: {count: "{{ made.value | length }}"}
---
name: heaps
inputs: {text: text, items: {list: json}}
nodes:
  each:
    kind: each
    items: "{{ inputs.items }}"
    nodes:
      x: {kind: branch, value: a, cases: [a, b]}
    outputs: {said: "{{ inputs.text | upper }}"}
outputs: {count: "{{ each.results | length }}"}
---
name: echo
inputs: {word: text}
nodes:
  said: {kind: template, text: "{{ inputs.word }}"}
outputs: {said: "{{ said.text }}"}
"""
RETELLS = """
name: retells
inputs: {question: text, model: text}
nodes:
  heard: {kind: ask, model: echo/small, prompt: "{{ inputs.question }}"}
  said: {kind: ask, model: "{{ inputs.model }}", prompt: "{{ heard.text }}"}
outputs: {answer: "{{ said.text }}"}
"""
GATHERS = """
name: gathers
inputs: {model: text}
nodes:
  many:
    kind: each
    items: [what opens the vault]
    nodes:
      find: {kind: search, knowledge: secret, query: "{{ item }}"}
    outputs: {text: "{{ find.passages | pluck('text') | join }}"}
  heard: {kind: ask, model: echo/small, prompt: "{{ many.results | pluck('text') | join }}"}
  said: {kind: ask, model: "{{ inputs.model }}", prompt: "{{ heard.text }}"}
outputs: {answer: "{{ said.text }}"}
"""
PASSES = """
name: passes
nodes:
  find: {kind: search, knowledge: secret, query: what opens the vault}
  call:
    kind: tool
    tool: retells
    arguments: {question: "{{ find.passages | pluck('text') | join }}", model: echo/small}
outputs: {answer: "{{ call.text }}"}
"""
FLOWS = "---".join((FLOWS, RETELLS, GATHERS, PASSES))
FLOWS = FLOWS.replace("MANY", ", ".join(['"{{ inputs.text | upper | length }}"'] * 200))
START = "mutation ($f: String!, $i: JSON, $id: String) { startFlowRun(flow: $f, inputs: $i, id: $id) { id } }"
RUN = "query ($id: String!) { flowRun(id: $id) { state outputs failure { code message } } }"
TRIAL = """subscription ($t: String!, $i: JSON, $r: String!) {
  testFlow(text: $t, inputs: $i, fromRun: $r, nodes: ["said"]) { state error message } }"""


@pytest.fixture(scope="module")
def api() -> Iterator[tuple[str, list[str]]]:
    """A host, and the paths that were asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, api: tuple[str, list[str]]) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("boundaries"), ECHO + CONFIG.format(url=api[0])) as served:
        add(served, "vault.md", "The vault opens with the word marzipan.", "secret", dataClass="confidential")
        embed(served, "secret")
        for text in FLOWS.split("---"):
            answer = graphql(served, "mutation ($t: String!) { publishFlow(text: $t) { new } }", t=text)
            assert answer.errors == [], answer.errors
        yield served


def ran(server: Served, flow: str, key: str = "", **inputs: object) -> Any:
    """The run when it is over, or waits."""
    begun = graphql(server, START, key=key, f=flow, i=inputs)
    assert begun.errors == [], begun.errors
    id = begun.data["startFlowRun"]["id"]
    run: dict[str, Any] = {}

    def ended() -> bool:
        run.update(graphql(server, RUN, key=key, id=id).data["flowRun"])
        return run["state"] not in ("queued", "running")

    until(ended)
    return run | {"id": id}


@pytest.mark.long
def test_what_a_flow_found_is_as_confidential_to_the_one_that_called_it_as_a_tool(server: Served) -> None:
    run = ran(server, "calls")
    assert run["failure"]["code"] == "forbidden" and "what was found" in run["failure"]["message"]


@pytest.mark.long
def test_what_was_found_in_one_base_is_not_kept_less_closely_in_another(server: Served) -> None:
    assert ran(server, "moves")["outputs"] == {"count": 1}
    (copy,) = graphql(server, '{ documents(base: "open") { source dataClass } }').data["documents"]
    assert copy == {"source": "copy", "dataClass": "confidential"}


@pytest.mark.long
def test_what_was_found_and_remembered_is_recalled_as_closely(server: Served) -> None:
    assert ran(server, "remembers")["outputs"] == {"count": 1}
    assert ran(server, "recalls")["failure"]["code"] == "forbidden"


def retold(server: Served, text: str, run: str) -> dict[str, Any]:
    """The end of a trial of the last node alone, with the data of a run, by a model far away."""
    shown = streamed(server, TRIAL, t=text, i={"model": "far/away"}, r=run)
    end: dict[str, Any] = shown[-1]["testFlow"]
    return end


def test_a_trial_with_the_data_of_a_run_reaches_no_further_than_the_key_that_started_the_run(server: Served) -> None:
    create = 'mutation { createKey(name: "c", permissions: [ask], dataClass: confidential) { secret key { id } } }'
    made = graphql(server, create).data["createKey"]
    inputs = {"question": "The vault opens with the word marzipan.", "model": "echo/small"}
    run, other = (ran(server, "retells", key, **inputs) for key in (made["secret"], fresh_key(server, "ask")))
    assert (run["state"], other["state"]) == ("done", "done")
    assert retold(server, RETELLS, other["id"])["state"] == "ended"
    end = retold(server, RETELLS, run["id"])
    assert end["error"] == "forbidden" and f"set by the run {run['id']}" in end["message"]
    assert graphql(server, "mutation ($i: String!) { revokeKey(id: $i) { id } }", i=made["key"]["id"]).errors == []
    assert retold(server, RETELLS, run["id"])["error"] == "forbidden", "also once the key was revoked"


@pytest.mark.long
@pytest.mark.parametrize(("model", "state"), [("echo/small", "done"), ("far/away", "failed")])
def test_a_trial_with_the_data_of_a_run_reaches_no_further_than_what_the_run_found(
    server: Served, model: str, state: str
) -> None:
    run = ran(server, "gathers", model=model)
    assert run["state"] == state
    assert retold(server, GATHERS, run["id"])["error"] == "forbidden"


@pytest.mark.long
def test_a_trial_with_the_data_of_a_called_run_reaches_no_further_than_the_one_that_called_it(server: Served) -> None:
    assert ran(server, "passes")["state"] == "done"
    (called,) = graphql(server, '{ flowRuns(flow: "retells", last: 1) { id } }').data["flowRuns"]
    assert retold(server, RETELLS, called["id"])["error"] == "forbidden"


@pytest.mark.parametrize(
    "path",
    ["/../admin", "/%2e%2e/admin", "/..%2fadmin", "/%252e%252e/admin", "/..;/a", "/\\..\\a"],
)
def test_no_url_climbs_out_of_what_an_administrator_allowed(
    server: Served,
    api: tuple[str, list[str]],
    path: str,
) -> None:
    url, asked = api
    assert ran(server, "fetch", url=f"{url}/v1{path}")["failure"]["code"] == "bad_request"
    assert asked == []


def test_a_flow_that_calls_itself_as_a_tool_comes_to_an_end(server: Served) -> None:
    """By a name that no check knows."""
    assert "deeper than 16" in ran(server, "itself", tool="itself")["failure"]["message"]


def test_many_small_texts_take_no_more_than_one_large_one(server: Served) -> None:
    text = "x" * 1_000_000
    swells, heaps = ran(server, "swells", text=text), ran(server, "heaps", text=text, items=[1] * 1_000)
    assert swells["failure"]["code"] == "bad_request" and "larger than" in swells["failure"]["message"]
    assert heaps["failure"]["code"] == "run_limit_exceeded" and "bytes" in heaps["failure"]["message"]
    assert ran(server, "swells", text="x")["outputs"] == {"count": 200}


def test_a_run_that_waited_goes_on_with_what_its_owner_may_by_then(server: Served) -> None:
    ann = new_user(server, "ann@example.com", "editor")
    id = ann.graphql(START, f="later", i={}).data["startFlowRun"]["id"]
    until(lambda: graphql(server, RUN, id=id).data["flowRun"]["state"] == "waiting")
    role = 'mutation ($u: String!) { setRole(id: $u, role: "developer") { id } }'
    assert graphql(server, role, u=ann.user).errors == []
    assert may(server, "decide", "", id).errors == []
    until(lambda: graphql(server, RUN, id=id).data["flowRun"]["state"] == "failed")
    failure = graphql(server, "query ($id: String!) { flowRun(id: $id) { error } }", id=id).data["flowRun"]["error"]
    assert failure == "forbidden"


def may(server: Served, field: str, key: str, id: str) -> GraphQLAnswer:
    more = ', key: "asked", approved: true' if field == "decide" else ""
    return graphql(server, f"mutation ($i: String!) {{ {field}(id: $i{more}) {{ state }} }}", key=key, i=id)


def test_others_may_decide_for_a_run_and_neither_cancel_nor_resume_it(server: Served) -> None:
    ann, bob = fresh_key(server, "ask"), fresh_key(server, "ask", "approve")
    viewer = fresh_key(server, "read_records")
    made = graphql(server, 'mutation { createKey(name: "c", permissions: [ask, approve], flows: ["echo"]) { secret } }')
    confined = made.data["createKey"]["secret"]
    id = ran(server, "refund", ann, sum="99")["id"]
    waiting = "{ waiting { request run { id } } }"
    assert graphql(server, waiting, key=bob).data["waiting"][0]["request"]["question"] == "Pay 99?"
    assert graphql(server, waiting, key=viewer).data["waiting"] == [{"request": None, "run": {"id": id}}]
    assert graphql(server, waiting, key=confined).data["waiting"] == []
    assert graphql(server, '{ flowRuns(flow: "refund") { id } }', key=confined).data["flowRuns"] == []
    for field in ("cancelFlowRun", "resumeFlowRun", "decide"):
        assert may(server, field, confined, id).code == "not_found"
    assert may(server, "cancelFlowRun", bob, id).code == "forbidden"
    assert may(server, "cancelFlowRun", ann, id).data["cancelFlowRun"]["state"] == "cancelled"
    assert may(server, "resumeFlowRun", bob, id).code == "forbidden"
    assert may(server, "resumeFlowRun", "", id).data["resumeFlowRun"]["state"] == "queued"
    until(lambda: not may(server, "decide", bob, id).errors)


def test_one_idempotency_key_gives_nobody_what_another_flow_or_caller_was_given(server: Served) -> None:
    def called(name: str, **arguments: str) -> str:
        params = {"name": name, "arguments": arguments}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        answer: Any = server.ask("/mcp", body, x_sizewise_idempotency_key="again").json
        return str(answer["result"]["content"][0]["text"])

    assert called("echo", word="one") == called("echo", word="one")
    assert called("look", question="what opens the vault") == "The vault opens with the word marzipan."

    ann, bob = fresh_key(server, "ask"), fresh_key(server, "ask")
    body = {"model": "flow:look", "messages": [{"role": "user", "content": "what opens the vault"}]}
    first = server.ask("/v1/chat/completions", body, key=ann, x_sizewise_idempotency_key="mine")
    again = server.ask("/v1/chat/completions", body, key=ann, x_sizewise_idempotency_key="mine")
    other = server.ask("/v1/chat/completions", body, key=bob, x_sizewise_idempotency_key="mine")
    assert (first.status, again.status, other.status) == (200, 200, 200)
    assert "replayed" in again.headers["x-sizewise-why"] and "replayed" not in other.headers["x-sizewise-why"]


def test_nobody_takes_the_id_of_a_run_that_a_timetable_or_a_webhook_will_start(server: Served) -> None:
    id = _run_id("cron", "local", "default", "echo", 0, 1_800_000_000)
    assert graphql(server, START, f="echo", i={"word": "a"}, id=id).code == "bad_request"
    first, second = "0123456789abcdef0", {"question": "?"}
    assert graphql(server, START, f="echo", i={"word": "a"}, id=first).errors == []
    assert graphql(server, START, f="look", i=second, id=first).code == "conflict"


def test_an_agent_in_a_flow_remembers_each_session_of_one_key_apart(server: Served) -> None:
    def said(session: str, cue: str) -> str:
        body = {"model": "flow:friend", "messages": [{"role": "user", "content": f"[[tool {cue}]]"}]}
        answer: Any = server.ask("/v1/chat/completions", body, x_sizewise_session=session).json
        return str(answer["choices"][0]["message"]["content"])

    said("ann", 'remember {"text": "Ann has a cat."}')
    assert "cat" in said("ann", "recall {}") and "cat" not in said("bob", "recall {}")


@pytest.mark.long
def test_a_flow_that_was_withdrawn_is_not_started_by_its_version_either(server: Served) -> None:
    text = 'name: gone\nnodes: {a: {kind: template, text: x}}\noutputs: {said: "{{ a.text }}"}\n'
    publish = "mutation ($t: String!) { publishFlow(text: $t) { flow { version } } }"
    version = graphql(server, publish, t=text).data["publishFlow"]["flow"]["version"]
    body = {"messages": [{"role": "user", "content": "?"}], "model": f"flow:gone@{version}"}
    assert server.ask("/v1/chat/completions", body).status == 200
    assert graphql(server, 'mutation { withdrawFlow(name: "gone") { name } }').errors == []
    assert server.ask("/v1/chat/completions", body).status == 404
    start = 'mutation ($v: String!) { startFlowRun(flow: "gone", version: $v) { id } }'
    assert graphql(server, start, v=version).code == "not_found"


@pytest.mark.long
def test_thousands_of_wrong_names_are_not_each_compared_with_each() -> None:
    def check(count: int) -> None:
        nodes = "".join(
            f'  n{number}: {{kind: template, text: "{{{{ m{number}.text }}}}"}}\n' for number in range(count)
        )
        checked = validate_flow(f"name: wrong\nnodes:\n{nodes}", NodeRegistry(), lambda name: None)
        assert len(checked.diagnostics) == 100

    check_linear(check, 120)


NAPS = 'name: naps\nnodes: {a: {kind: wait, seconds: 600}}\noutputs: {waited: "{{ a.waited }}"}\n'
ASKS = 'name: asks\nnodes: {a: {kind: approve, question: "?"}}\noutputs: {said: "{{ a.note }}"}\n'
PUBLISH = "mutation ($t: String!) { publishFlow(text: $t) { new } }"


@pytest.mark.long
def test_one_organization_leaves_places_for_the_runs_of_others(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO + "[flows]\nmax_concurrent_runs = 4\n") as served:
        found = 'mutation { createOrganization(id: "acme", email: "owner@acme.example") { token } }'

        def start(flow: str, key: str = "") -> GraphQLAnswer:
            return graphql(served, START, key=key, f=flow, i={})

        def waiting(count: int) -> bool:
            runs = graphql(served, "{ flowRuns(state: waiting) { id } }", key=acme).data["flowRuns"]
            return len(runs) == count

        for text in (NAPS, ASKS):
            assert graphql(served, PUBLISH, t=text).errors == []
        alone = [start("naps") for _ in range(5)]
        assert [each.code for each in alone] == ["", "", "", "", "busy"], "nobody else wants the other half"
        for each in alone[:4]:
            assert may(served, "cancelFlowRun", "", each.data["startFlowRun"]["id"]).errors == []

        owner = Browser(served)
        owner.accept(graphql(served, found).data["createOrganization"]["token"])
        made = owner.graphql('mutation { createKey(name: "x", permissions: [ask, manage_flows]) { secret } }')
        acme = made.data["createKey"]["secret"]
        for text in (NAPS, ASKS):
            assert graphql(served, PUBLISH, key=acme, t=text).errors == []
        for count in range(4):
            assert start("asks", acme).errors == []
            until(lambda count=count: waiting(count + 1))
        assert "waiting for approval" in start("asks", acme).message
        id = graphql(served, "{ flowRuns(last: 1) { id } }", key=acme).data["flowRuns"][0]["id"]
        assert may(served, "cancelFlowRun", acme, id).errors == []
        until(lambda: start("naps", acme).code == "")
        assert start("naps", acme).code == ""
        refused = start("naps", acme)
        assert (refused.code, "2 runs of your organization" in refused.message) == ("busy", True)
        assert may(served, "resumeFlowRun", acme, id).code == "busy"
        assert [start("naps").code for _ in range(3)] == ["", "", "busy"]


@pytest.mark.long
def test_a_flow_is_one_request_whatever_its_nodes_ask_and_by_whatever_endpoint(server: Served) -> None:
    twice = "name: twice\nnodes:\n  a: {kind: ask, model: echo/small, prompt: x}\n"
    twice += '  b: {kind: ask, model: echo/small, prompt: "{{ a.text }}"}\noutputs: {said: "{{ b.text }}"}\n'
    hooked = 'name: hooked\ninputs: {word: text}\nnodes: {a: {kind: template, text: "{{ inputs.word }}"}}\n'
    hooked += 'outputs: {said: "{{ a.text }}"}\ntriggers: [{kind: webhook}]\n'
    tools = "name: tools\nnodes:\n  a: {kind: tool, tool: twice}\n"
    tools += '  b: {kind: tool, tool: search_secret, arguments: {query: "{{ a.text }}"}}\n'
    tools += 'outputs: {said: "{{ a.text }}", found: "{{ b.text }}"}\n'
    for text in (twice, hooked, tools):
        assert graphql(server, PUBLISH, t=text).errors == []
    limit = "mutation ($s: String!, $n: NonNegativeSafeInt) { setBudget(scope: $s, requestsPerMinute: $n) { scope } }"
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "twice", "arguments": {}}}

    def limited(most: int) -> str:
        key = fresh_key(server, "ask")
        assert graphql(server, limit, s=f"key:{key[:11]}", n=most).errors == []
        return key

    def chat(flow: str, key: str) -> int:
        body = {"model": f"flow:{flow}", "messages": [{"role": "user", "content": "x"}]}
        return server.ask("/v1/chat/completions", body, key=key).status

    key = limited(3)
    assert [chat(flow, key) for flow in ("twice", "echo", "twice")] == [200] * 3
    assert [chat(flow, key) for flow in ("twice", "echo")] == [429] * 2
    assert graphql(server, START, key=key, f="twice", i={}).code == "busy"

    key = limited(1)
    assert (chat("tools", key), chat("tools", key)) == (200, 429)

    key = limited(4)
    assert graphql(server, START, key=key, f="twice", i={}).errors == []
    assert server.ask("/hooks/flows/hooked", {"word": "x"}, key=key).status == 202
    answer: Any = server.ask("/mcp", call, key=key).json
    assert answer["result"]["structuredContent"] == {"said": "x"}
    assert chat("twice", key) == 200
    answer = server.ask("/mcp", call, key=key).json
    assert (
        answer["result"]["isError"] and "is limited to 4 requests per minute" in answer["result"]["content"][0]["text"]
    )
    assert server.ask("/hooks/flows/hooked", {"word": "x"}, key=key).status == 429
