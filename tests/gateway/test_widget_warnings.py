"""A widget whose key can read nothing of a base that its flow searches says so, with a command that changes it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.gateway.test_widget_access import made_key
from tests.graphql.graphql_client import graphql
from tests.knowledge.knowledge_server import CONFIG, add, embed
from tests.running_server import Served, serving

FLOW = """name: {name}
inputs: {{question: text}}
nodes:
  find: {{kind: search, knowledge: {base}, query: "{{{{ inputs.question }}}}", mode: words}}
  say: {{kind: template, text: "{{{{ find.passages | pluck('text') | text }}}}"}}
outputs: {{answer: "{{{{ say.text }}}}"}}
"""
NESTED = """name: nested
inputs: {question: text}
nodes:
  all:
    kind: each
    items: ["{{ inputs.question }}"]
    nodes:
      find: {kind: search, knowledge: qqqqqq, query: "{{ item }}"}
    outputs: {text: "{{ find.passages | pluck('text') | join }}"}
outputs: {answer: "{{ all.results | pluck('text') | join }}"}
"""
PUBLISH = "mutation($text: String!) { publishFlow(text: $text) { flow { version } } }"
CREATE = """mutation($name: String!, $target: String!, $class: DataClass) {
  createWidget(name: $name, target: $target, origins: [], dataClass: $class) { path warnings } }"""
WARNINGS = "query($name: String!) { widget(name: $name) { warnings } }"
SETTINGS = """
[knowledge.help]
sources = ["pages"]
[knowledge.empty]
sources = ["pages"]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("warnings")
    (home / "pages").mkdir()
    for name in ("bulbs", "lamps", "posts"):
        (home / "pages" / f"{name}.md").write_text(f"# {name}\n\nAll {name} are guaranteed for 45 days.\n")
    with serving(home, CONFIG + SETTINGS) as served:
        assert sizewise("knowledge", "sync", "help", home=home).code == 0
        yield served


def publish(server: Served, name: str, base: str) -> str:
    assert graphql(server, PUBLISH, text=FLOW.format(name=name, base=base)).errors == []
    return f"flow:{name}"


def create(server: Served, name: str, target: str, key: str = "", **more: Any) -> list[str]:
    answer = graphql(server, CREATE, key=key, name=name, target=target, **more)
    assert answer.errors == [], answer.errors
    warnings: list[str] = answer.data["createWidget"]["warnings"]
    return warnings


def warnings(server: Served, name: str) -> list[str]:
    found: list[str] = graphql(server, WARNINGS, name=name).data["widget"]["warnings"]
    return found


def run(server: Served, warning: str) -> None:
    """The command at the end of the warning, as it is printed."""
    command = shlex.split(warning.partition("run: ")[2])
    done = sizewise(*command[1:], home=server.home)
    assert (command[0], done.code) == ("sizewise", 0), done.err


def test_the_command_that_is_named_ends_the_warning(server: Served) -> None:
    target = publish(server, "asks_help", "help")
    made = sizewise("widget", "create", "help", "--target", target, home=server.home)
    said = "its key can read 0 of 3 documents of 'help'; run: sizewise knowledge sync help --data-class public"
    assert made.code == 0 and f"warning: {said}\n" in made.err and said not in made.out, made.err
    assert f"warning: help: {said}\n" in sizewise("widget", home=server.home).err
    (shown,) = sizewise("widget", "list", "--json", home=server.home).json["widgets"]
    assert shown["warnings"] == [said]
    run(server, said)
    assert warnings(server, "help") == []
    again = sizewise("widget", "create", "again", "--target", target, "--json", home=server.home)
    assert again.json["warnings"] == [] and again.err == ""
    by_itself = sizewise("widget", "create", "by_itself", "--target", target, "--page", home=server.home)
    address = by_itself.err.partition("and by itself: ")[2].strip()
    assert address.startswith(server.url) and server.ask(address.removeprefix(server.url)).status == 200, by_itself.err


def test_documents_of_no_source_are_named_by_their_folder(server: Served) -> None:
    assert sizewise("knowledge", "add", "added", "pages", home=server.home).code == 0
    (said,) = create(server, "added", publish(server, "asks_added", "added"))
    assert said.endswith("; run: sizewise knowledge add added pages/ --data-class public")
    keys = made_key(server, "keys", may=["manage_keys", "ask"])
    (unnamed,) = create(server, "unnamed", "flow:asks_added", keys)
    assert unnamed.endswith("; run: sizewise knowledge add added FILE... --data-class public"), "it may list none"
    run(server, said)
    assert warnings(server, "added") == []


def test_a_base_for_readers_alone_is_opened_to_everyone(server: Served) -> None:
    add(server, "board.md", "Bulbs are guaranteed for 45 days.", "board", readers=["key:k-none"], dataClass="public")
    embed(server, "board")
    target = publish(server, "asks_board", "board")
    (said,) = create(server, "board", target)
    assert said == "its key can read 0 of 1 documents of 'board'; " + (
        "run: sizewise knowledge add board board.md --reader everyone"
    )
    add(server, "plan.md", "Bulbs are dearer from May on.", "board")
    embed(server, "board")
    (said,) = warnings(server, "board")
    assert said.endswith(" --data-class public") and "board.md" in said and "plan.md" in said, "one option is enough"


def test_a_widget_for_internal_documents_reads_them(server: Served) -> None:
    add(server, "notes.md", "Bulbs are guaranteed for 45 days.", "notes")
    target = publish(server, "asks_notes", "notes")
    assert create(server, "inside_notes", target, **{"class": "internal"}) == []
    assert len(create(server, "notes", target)) == 1


def test_a_base_that_is_empty_or_not_there_is_named(server: Served) -> None:
    empty = create(server, "empty", publish(server, "asks_empty", "empty"))
    assert empty == ["'empty' has no documents; add some: sizewise knowledge sync empty --data-class public"]
    typed = create(server, "typed", publish(server, "asks_typed", "hepl"))
    assert typed == ["there is no knowledge base 'hepl' in this project. Did you mean 'help'?"]
    assert graphql(server, PUBLISH, text=NESTED).errors == []
    assert create(server, "nested", "flow:nested") == [
        "there is no knowledge base 'qqqqqq' in this project; "
        "create it: sizewise knowledge add qqqqqq FILE... --data-class public"
    ]


def test_a_policy_searches_no_base_and_a_withdrawn_flow_answers_nobody(server: Served) -> None:
    assert create(server, "policy", "auto:default") == []
    create(server, "gone", publish(server, "asks_gone", "help"))
    assert graphql(server, 'mutation { withdrawFlow(name: "asks_gone") { __typename } }').errors == []
    assert warnings(server, "gone") == [
        "there is no published flow 'asks_gone', so nothing answers; publish it first: sizewise flow publish asks_gone"
    ]
    assert sizewise("widget", "revoke", "gone", home=server.home).code == 0
    assert warnings(server, "gone") == []
