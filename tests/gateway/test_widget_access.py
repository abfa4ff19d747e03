"""What strangers reach through a widget: public documents, flows that act on nothing, and never more than its maker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.graphql.graphql_client import graphql
from tests.knowledge.knowledge_server import CONFIG, add, embed
from tests.running_server import Answer, Served, serving

FIND = """name: {name}
inputs: {{question: text}}
nodes:
  find: {{kind: search, knowledge: shop, query: "{{{{ inputs.question }}}}", mode: words}}
  say: {{kind: template, text: "{{{{ find.passages | pluck('text') | text }}}}"}}
outputs: {{answer: "{{{{ say.text }}}}"}}
"""
CALLS = """name: {name}
inputs: {{question: text}}
nodes:
  call: {{kind: http, url: "https://shop.example.com/order"}}
outputs: {{answer: "{{{{ call.status }}}}"}}
"""
PUBLISH = "mutation($text: String!) { publishFlow(text: $text) { flow { version } } }"
CREATE = """mutation($name: String!, $target: String!) {
  createWidget(name: $name, target: $target, origins: []) { path key }
}"""
KEY = """mutation($name: String!, $may: [Permission!], $policies: [String!], $class: DataClass, $days: Float) {
  createKey(name: $name, permissions: $may, policies: $policies, dataClass: $class, expiresInDays: $days) { secret }
}"""
KEYS = "{ keys { id dataClass expires permissions scope { endpoints policies flows } } }"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("widgets"), CONFIG + "\n[policies.cheap]\nthreshold = 0.1\n") as served:
        add(served, "returns.md", "A lamp goes back within thirty days.", "shop", dataClass="public")
        add(served, "margins.md", "A lamp costs us four euro.", "shop")
        add(served, "plans.md", "A lamp of gold comes in May.", "shop", dataClass="confidential")
        embed(served, "shop")
        yield served


def publish(server: Served, text: str) -> None:
    assert graphql(server, PUBLISH, text=text).errors == []


def create(server: Served, name: str, target: str, key: str = "") -> Any:
    answer = graphql(server, CREATE, key=key, name=name, target=target)
    assert answer.errors == [], answer.errors
    return answer.data["createWidget"]


def visit(server: Served, widget: Any, words: str) -> Answer:
    page = server.ask(widget["path"], key=None, sec_fetch_dest="iframe")
    token = page.body.decode().split('data-token="')[1].split('"')[0]
    sent = {"token": token, "messages": [{"role": "user", "content": words}]}
    return server.ask(f"{widget['path']}/messages", json.dumps(sent).encode(), key=None)


def made_key(server: Served, name: str, **restrictions: Any) -> str:
    answer = graphql(server, KEY, name=name, **restrictions)
    assert answer.errors == [], answer.errors
    return str(answer.data["createKey"]["secret"])


def test_visitors_find_public_documents_alone(server: Served) -> None:
    publish(server, FIND.format(name="lamps"))
    answer = visit(server, create(server, "lamps", "flow:lamps"), "lamp")
    assert answer.status == 200 and b"thirty days" in answer.body, answer.body
    assert b"four euro" not in answer.body and b"gold" not in answer.body
    ours = server.chat("flow:lamps", "lamp").body
    assert b"four euro" in ours and b"gold" in ours


def test_a_flow_that_acts_since_its_last_version_answers_no_visitor(server: Served) -> None:
    publish(server, FIND.format(name="orders"))
    widget = create(server, "orders", "flow:orders")
    assert visit(server, widget, "lamp").status == 200
    publish(server, CALLS.format(name="orders"))
    refused = visit(server, widget, "lamp")
    assert (refused.status, refused.error["code"]) == (403, "forbidden"), refused.body
    assert "'call'" in refused.error["message"]
    publish(server, FIND.format(name="orders"))
    assert visit(server, widget, "lamp").status == 200


@pytest.mark.parametrize(
    ("restrictions", "said"),
    [
        ({"may": ["manage_keys"]}, "ask"),
        ({"may": ["manage_keys", "ask"], "policies": ["cheap"]}, "not valid for the policy 'default'"),
    ],
)
def test_a_widget_may_not_do_what_its_maker_may_not(server: Served, restrictions: dict[str, object], said: str) -> None:
    key = made_key(server, "maker", **restrictions)
    refused = graphql(server, CREATE, key=key, name=f"beyond {len(said)}".replace(" ", "-"), target="auto:default")
    assert refused.code == "forbidden" and said in refused.message


def test_a_widget_is_as_strict_as_its_maker_and_ends_with_it(server: Served) -> None:
    key = made_key(server, "strict", may=["manage_keys", "ask"], **{"class": "confidential"}, days=1)
    widget = create(server, "strict", "auto:default", key)
    its = next(each for each in graphql(server, KEYS).data["keys"] if each["id"] == widget["key"])
    assert its["dataClass"] == "confidential" and its["expires"] is not None
    assert its["scope"] == {"endpoints": ["chat"], "policies": ["default"], "flows": []}
