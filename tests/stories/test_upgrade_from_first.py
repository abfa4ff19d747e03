"""An upgrade from the first version whose data is kept: filled by its own server, in use until and after the change."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path
from typing import Any

import pytest

from tests.auth.user_client import PASSWORD, Browser
from tests.cli.terminal import sizewise
from tests.gateway.test_batches import client_of
from tests.graphql.graphql_client import graphql
from tests.knowledge.knowledge_server import search
from tests.many_clients import asking, paid_twice, recorded
from tests.older_version import FIRST, older
from tests.running_server import Served, serving, until

pytestmark = pytest.mark.long
CONFIG = """
[policies]
[records]
contents = true
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "vectors"]
[models."echo/small"]
price = {input = "1", output = "5"}
[models."echo/vectors"]
task = "embed"
price = {input = "1"}
"""
SHARED_THEN = '[store]\nurl = "env:SHARED_STORE"\n[vault]\nkey = "env:SHARED_KEY"\n'
SHARED_NOW = '[database]\nurl = "env:SHARED_STORE"\n[encryption]\nkey = "env:SHARED_KEY"\n'
ANSWERS = """name: answers
inputs:
  mail: text
nodes:
  reply:
    kind: ask
    model: echo/small
    prompt: "{{ inputs.mail }}"
outputs:
  answer: "{{ reply.text }}"
"""
WAITS = """name: waits
inputs:
  mail: text
nodes:
  check:
    kind: approve
    question: "Send it?"
    show: "{{ inputs.mail }}"
outputs:
  answer: "{{ inputs.mail }}"
"""


def asked(server: Served, query: str, **variables: Any) -> Any:
    answer = graphql(server, query, **variables)
    assert answer.errors == [], answer.errors
    return answer.data


def fill(server: Served) -> dict[str, Any]:
    """Data of every kind that its version has, in its words; what the next one must find."""
    made: dict[str, Any] = {}
    kept = server.chat("echo/small", "[[say a text that is kept]]")
    made["trace"] = kept.headers["x-sizewise-trace"]
    body = {"model": "echo/small", "messages": [{"role": "user", "content": "[[say once]]"}]}
    assert server.ask("/v1/chat/completions", body, idempotency_key="the-first").status == 200
    with client_of(server) as client:
        made["response"] = client.responses.create(model="echo/small", input="[[say one]]", store=True).id
    made["key"] = asked(server, 'mutation { createKey(name: "walker") { text key { id } } }')["createKey"]["text"]
    gone = asked(server, 'mutation { createKey(name: "gone") { text key { id } } }')["createKey"]
    asked(server, "mutation($i: String!) { revokeKey(id: $i) { __typename } }", i=gone["key"]["id"])
    made["revoked"] = gone["text"]
    invite = 'mutation($e: String!) { inviteUser(email: $e, role: "owner") { token } }'
    token = asked(server, invite, e="anna@example.com")["inviteUser"]["token"]
    anna = Browser(server)
    assert anna.accept(token, "Anna").status == 200
    made["session"] = (anna.cookie, anna.csrf)
    made["invited"] = asked(server, invite, e="berta@example.com")["inviteUser"]["token"]
    asked(server, 'mutation { setBudget(scope: "organisation", usdDay: "50") { __typename } }')
    text = "# Refunds\n\nA refund takes five days."
    add = 'mutation($t: String!) { addDocument(base: "handbook", source: "a.md", text: $t) { __typename } }'
    asked(server, add, t=text)
    asked(server, 'mutation { embedDocuments(base: "handbook") { __typename } }')
    for flow in (ANSWERS, WAITS):
        asked(server, "mutation($t: String!) { publishFlow(text: $t) { __typename } }", t=flow)
    begin = 'mutation($f: String!) { startRun(flow: $f, inputs: {mail: "my lamp broke"}) { id state } }'
    made["done"] = asked(server, begin, f="answers")["startRun"]["id"]
    made["waiting"] = asked(server, begin, f="waits")["startRun"]["id"]
    state = "query($i: String!) { run(id: $i) { state } }"
    until(lambda: asked(server, state, i=made["done"])["run"]["state"] == "done")
    until(lambda: asked(server, state, i=made["waiting"])["run"]["state"] == "waiting")
    return made


def check(server: Served, made: dict[str, Any], environ: dict[str, str]) -> None:
    """All of it is there, and goes on, in the words of this version."""
    body = {"model": "echo/small", "messages": [{"role": "user", "content": "[[say once]]"}]}
    again = server.ask("/v1/chat/completions", body, idempotency_key="the-first")
    # Its digest of a request is another one: the key is known, so nothing is paid, and the answer is not replayed.
    assert (again.status, again.error["code"]) == (409, "conflict"), again.body
    with client_of(server) as client:
        more = client.responses.create(model="echo/small", input="[[say two]]", previous_response_id=made["response"])
        assert more.output_text == "two"
    statuses = [server.ask("/v1/models", key=made[each]).status for each in ("key", "revoked")]
    assert statuses == [200, 401]
    anna = Browser(server, *made["session"])
    assert anna.send("/auth/session").status == 200
    assert Browser(server).sign_in("anna@example.com", PASSWORD).status == 200
    assert Browser(server).accept(made["invited"], "Berta").status == 200
    limits = asked(server, "{ budgets { scope limit } }")["budgets"]
    assert any(each["scope"] == "organization" for each in limits), limits
    assert "five days" in search(server, "How long does a refund take?")[0]["text"]
    state = "query($i: String!) { flowRun(id: $i) { state outputs } }"
    assert asked(server, state, i=made["done"])["flowRun"]["state"] == "done"
    decide = 'mutation($i: String!) { decide(id: $i, key: "check", approved: true) { id } }'
    assert anna.graphql(decide, i=made["waiting"]).errors == []
    until(lambda: asked(server, state, i=made["waiting"])["flowRun"]["state"] == "done")
    shown = sizewise("records", made["trace"], "--contents", home=server.home, **environ)
    assert "a text that is kept" in shown.out, shown
    assert sizewise("audit", "verify", home=server.home, **environ).code == 0


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str, str, dict[str, str]]:
    """Where the records are, what is added to the settings then and now, and the environment."""
    if request.param == "sqlite":
        return str(tmp_path / "home" / "sizewise.db"), "", "", {}
    url = request.getfixturevalue("postgres_url")
    key = base64.b64encode(bytes(range(32))).decode()
    return url, SHARED_THEN, SHARED_NOW, {"SHARED_STORE": url, "SHARED_KEY": key}


def test_the_server_of_the_first_version_is_replaced_in_use_and_all_of_its_data_goes_on(
    tmp_path: Path, store: tuple[str, str, str, dict[str, str]]
) -> None:
    where, then, now, environ = store
    before = older(FIRST)
    with contextlib.ExitStack() as stack:
        old = stack.enter_context(contextlib.ExitStack())
        first = old.enter_context(serving(tmp_path / "home", CONFIG + then, **environ, **before))
        made = fill(first)
        with asking(first) as seen:
            until(lambda: seen.asked() >= 100)
            seen.servers = []
            old.close()  # SIGTERM
            new = stack.enter_context(serving(tmp_path / "home", CONFIG + now, **environ))
            seen.servers = [new]
            so_far = seen.asked()
            check(new, made, environ)
            until(lambda: seen.asked() >= so_far + 100)
        assert not seen.refused and not seen.broken, (seen.refused, seen.broken)
        until(lambda: set(seen.traces) <= recorded(where))
        assert paid_twice(where) == []
