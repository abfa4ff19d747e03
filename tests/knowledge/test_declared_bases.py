"""A base that the settings declare is there before its first document: empty, listed, searched, with the next step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import graphql
from tests.knowledge.knowledge_server import BASES, CONFIG, REBUILD, add, embed, listed, refused, search, warnings
from tests.knowledge.test_search import key
from tests.running_server import Served, serving

DECLARED = """
[knowledge.help]
sources = ["pages"]
[knowledge.plain]
[knowledge.removed]
[knowledge.emptied]
[knowledge.shop]
project = "shop"
[knowledge.vector_stores]
"""
FLOW = """
name: support
inputs: {question: text}
nodes:
  find: {kind: search, knowledge: help, query: "{{ inputs.question }}"}
outputs: {count: "{{ find.passages | length }}", warnings: "{{ find.warnings }}"}
"""
EMPTY_HELP = "'help' has no documents; add some: sizewise knowledge sync help"
EMPTY_PLAIN = "'plain' has no documents; add some: sizewise knowledge add plain FILE..."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("declared")
    (home / "flows").mkdir()
    (home / "flows" / "support.yaml").write_text(FLOW)
    with serving(home, CONFIG + DECLARED) as served:
        yield served


@pytest.mark.parametrize(("base", "warning"), [("help", EMPTY_HELP), ("plain", EMPTY_PLAIN)])
def test_a_search_finds_nothing_and_says_how_to_fill_the_base(server: Served, base: str, warning: str) -> None:
    assert search(server, "how long are bulbs guaranteed?", base) == []
    assert warnings(server, "bulbs", base) == [warning]


def test_it_is_listed_with_no_documents(server: Served) -> None:
    bases = {each["name"]: each for each in graphql(server, BASES).data["knowledge"]}
    nothing = {"documents": 0, "passages": 0, "waiting": 0, "quarantined": 0, "missing": 0}
    assert bases["help"] == {"name": "help", "model": "echo/vectors", **nothing}
    assert "vector_stores" not in bases, "a table for other bases"
    assert listed(server, "help") == []
    assert graphql(server, REBUILD, base="help").data["rebuildKnowledge"]["total"] == 0
    one = 'query { document(base: "help", id: "bulbs.md") { id } }'
    assert graphql(server, one).message == "there is no document 'bulbs.md' in this knowledge base"


def test_the_commands_know_it(server: Served) -> None:
    shown = sizewise("knowledge", "list", home=server.home)
    assert [line.split()[2] for line in shown.out.splitlines() if line.startswith("help ")] == ["0"], shown.out
    assert sizewise("knowledge", "list", "help", "--json", home=server.home).json == []
    found = sizewise("knowledge", "search", "help", "bulbs", home=server.home)
    assert found.code == 1 and f"warning: {EMPTY_HELP}" in found.err
    removed = sizewise("knowledge", "remove", "help", "--all", home=server.home)
    assert removed.code == 2 and "remove [knowledge.help] from sizewise.toml" in removed.err


def test_a_flow_over_it_runs_and_has_the_warning(server: Served) -> None:
    answer = server.chat("flow:support", "How long are bulbs guaranteed?")
    said: Any = answer.json
    assert answer.status == 200, answer.body
    assert said["sizewise"]["outputs"] == {"count": 0, "warnings": [EMPTY_HELP]}


def test_another_name_and_another_project_do_not_have_it(server: Served) -> None:
    typed = refused(server, "bulbs", "hepl")
    assert (typed.code, typed.hint) == ("not_found", "Did you mean 'help'?")
    other = refused(server, "bulbs", "qqqqqqqq")
    assert (other.code, other.hint) == ("not_found", "create it: sizewise knowledge add qqqqqqqq FILE...")
    assert refused(server, "bulbs", "vector_stores").code == "not_found"
    assert refused(server, "bulbs", "shop").code == "not_found", "it is that of another project"
    _, shop = key(server, "ask", project="shop")
    assert search(server, "bulbs", "shop", shop) == []
    assert refused(server, "bulbs", "help", shop).code == "not_found"
    assert [each["name"] for each in graphql(server, "{ knowledge { name } }", key=shop).data["knowledge"]] == ["shop"]


def test_a_base_whose_documents_are_gone_is_empty_and_there(server: Served) -> None:
    add(server, "bulbs.md", "Bulbs are guaranteed for 45 days.", "emptied")
    embed(server, "emptied")
    assert warnings(server, "guaranteed", "emptied") == []
    graphql(server, 'mutation { removeDocument(base: "emptied", id: "bulbs.md") }')
    embed(server, "emptied")
    assert warnings(server, "guaranteed", "emptied")[0].startswith("'emptied' has no documents; add some: ")


def test_a_base_that_was_removed_is_declared_still(server: Served) -> None:
    add(server, "bulbs.md", "Bulbs are guaranteed for 45 days.", "removed")
    embed(server, "removed")
    assert graphql(server, 'mutation { removeKnowledge(base: "removed") }').data == {"removeKnowledge": True}
    assert search(server, "guaranteed", "removed") == []
    again = graphql(server, 'mutation { removeKnowledge(base: "removed") }')
    assert (again.code, again.message) == ("bad_request", "'removed' is empty, and declared in the settings")
