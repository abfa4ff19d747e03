"""A visitor of a widget reads the answer and the sources that the flow outputs with it, and nothing else of its run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sizewise.widgets.visitor_sources import VisitorSource, visitor_sources
from tests.gateway.test_widget_access import create, publish, visit
from tests.knowledge.knowledge_server import CONFIG, add, embed
from tests.running_server import Served, serving

FLOW = """name: {name}
inputs: {{question: text}}
nodes:
  find: {{kind: search, knowledge: shop, query: bulbs, mode: words}}
  reply: {{kind: ask, model: echo/small, prompt: "{{{{ inputs.question }}}}"}}
outputs:
  answer: "{{{{ reply.text }}}}"
  {sources}
  internal_note: "margin 40 %"
"""
CITE = """name: cited
inputs: {question: text}
nodes:
  find: {kind: search, knowledge: shop, query: bulbs, mode: words}
  draft: {kind: ask, model: echo/small, prompt: "{{ inputs.question }}"}
  reply: {kind: cite, text: "{{ draft.text }}", passages: "{{ find.passages }}", otherwise: It does not say that.}
outputs: {answer: "{{ reply.text }}", sources: "{{ reply.sources }}"}
"""
UNPRICED = '[budgets]\nunpriced = "allow"\n'
CITED = {
    "number": 2,
    "title": "Bulbs",
    "source": "help/bulbs.md",
    "cited": "help/bulbs.md, page 3, Warranty",
    "page": 3,
    "quote": "Bulbs are guaranteed for 45 days.",
}
BULBS = VisitorSource(2, "Bulbs", "help/bulbs.md, page 3, Warranty", ("Bulbs are guaranteed for 45 days.",))
EXAMPLE = {"number": 1, "document": "a.pdf", "place": "a.pdf, page 2", "page": 2, "passage": "x-1", "quote": "One."}


@pytest.mark.parametrize(
    ("outputs", "answer", "shown"),
    [
        ({"sources": [CITED]}, "45 days.", [BULBS]),
        ({"citations": [EXAMPLE]}, "", [VisitorSource(1, "a.pdf, page 2", "", ("One.",))]),
        ({"sources": [], "citations": [CITED]}, "", [BULBS]),
        (
            {"sources": ["a.md, One", "b.md, Two", "c.md"]},
            "So [1, 3].",
            [VisitorSource(1, "a.md, One"), VisitorSource(3, "c.md")],
        ),
        ({"sources": ["a.md, One"]}, "It cites nothing.", []),
        ({"sources": ["a.md, One"]}, "It cites what is not there [7].", []),
        (
            {
                "sources": [
                    {
                        "id": "p",
                        "title": "Tea",
                        "source": "https://a.example/tea",
                        "cited": "https://a.example/tea, Tea",
                        "page": 0,
                        "text": "At four.",
                    }
                ]
            },
            "At four [1].",
            [VisitorSource(1, "Tea", "", ("At four.",), "https://a.example/tea")],
        ),
        (
            {"sources": [EXAMPLE, EXAMPLE | {"quote": "Two."}]},
            "",
            [VisitorSource(1, "a.pdf, page 2", "", ("One.", "Two."))],
        ),
        ({"sources": [{"number": 1, "source": "a.pdf", "page": 2}]}, "", [VisitorSource(1, "a.pdf", "a.pdf, page 2")]),
        ({"sources": [{"number": 1, "source": "javascript:alert(1)"}]}, "", [VisitorSource(1, "javascript:alert(1)")]),
        ({"sources": [{"number": True, "title": "A"}, {"number": -1, "title": "B"}]}, "[1]", [VisitorSource(1, "A")]),
        ({"sources": [None, 3, "", {}, {"title": 3}, ["x"], {"number": 9}]}, "[1] [2] [3] [4] [5] [6] [9]", []),
        ({"sources": "a.md"}, "[1]", []),
        ({"sources": {"number": 1}}, "[1]", []),
        ({"answer": "x"}, "[1]", []),
        ({}, "[1]", []),
    ],
)
def test_a_source_is_read_from_what_a_flow_may_output(
    outputs: dict[str, Any], answer: str, shown: list[VisitorSource]
) -> None:
    assert visitor_sources(outputs, answer) == shown


def test_sources_are_bounded() -> None:
    many = [{"number": number, "title": "t" * 5_000, "quote": "q" * 50_000} for number in range(1, 500)]
    many += [{"number": 1, "title": "t", "quote": f"{number}"} for number in range(100)]
    found = visitor_sources({"sources": many}, "")
    assert (len(found), len(found[0].title), len(found[0].quotes)) == (20, 300, 5)
    assert max(len(quote) for each in found for quote in each.quotes) == 2_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("sources"), CONFIG + UNPRICED) as served:
        add(served, "bulbs.md", "Bulbs are guaranteed for 45 days.", "shop", dataClass="public")
        embed(served, "shop")
        yield served


def events(body: bytes) -> list[Any]:
    assert body.endswith(b"data: [DONE]\n\n"), body
    return [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: {")]


@pytest.mark.parametrize(
    ("name", "sources", "shown"),
    [
        (
            "texts",
            "sources: \"{{ find.passages | pluck('cited') }}\"",
            {"number": 1, "title": "bulbs.md", "place": "", "quotes": [], "url": ""},
        ),
        (
            "passages",
            'sources: "{{ find.passages }}"',
            {"number": 1, "title": "bulbs.md", "place": "", "quotes": ["Bulbs are guaranteed for 45 days."], "url": ""},
        ),
    ],
)
def test_sources_follow_the_text_and_nothing_else_of_the_run_is_sent(
    server: Served, name: str, sources: str, shown: dict[str, Any]
) -> None:
    publish(server, FLOW.format(name=name, sources=sources))
    answer = visit(server, create(server, name, f"flow:{name}"), "[[say 45 days [1].]]")
    assert answer.status == 200, answer.body
    *texts, last = events(answer.body)
    assert "".join(each["choices"][0]["delta"]["content"] for each in texts) == "45 days [1]."
    assert last == {"choices": [], "sources": [shown]}
    for hidden in (b"margin", b"steps", b"echo/small", b"cost", b"internal_note"):
        assert hidden not in answer.body, hidden
    assert not [
        each
        for each in answer.headers
        if each.startswith("x-sizewise-") and each not in ("x-sizewise-trace", "x-sizewise-widget-token")
    ], answer.headers


def test_the_sources_of_a_cite_node_are_shown_with_their_quotes(server: Served) -> None:
    publish(server, CITE)
    answer = visit(server, create(server, "cited", "flow:cited"), "[[say Bulbs are guaranteed for 45 days.]]")
    assert answer.status == 200, answer.body
    *texts, last = events(answer.body)
    said = "".join(each["choices"][0]["delta"]["content"] for each in texts)
    assert "Bulbs are guaranteed for 45 days" in said and "[1]" in said
    (source,) = last["sources"]
    assert (source["number"], source["quotes"]) == (1, ["Bulbs are guaranteed for 45 days."])
    invented = visit(server, create(server, "invented", "flow:cited"), "[[say Lamps live for 90 years [1].]]")
    assert b"90 years" not in invented.body and b"sources" not in invented.body, invented.body


def test_an_answer_without_sources_says_nothing_of_them(server: Served) -> None:
    publish(server, FLOW.format(name="none", sources='other: "{{ find.data_class }}"'))
    for target in ("flow:none", "auto:default"):
        answer = visit(server, create(server, target.replace(":", "-"), target), "[[say 45 days [1].]]")
        assert b"sources" not in answer.body and len(events(answer.body)) >= 1, answer.body


def test_a_flow_that_fails_ends_with_an_error_and_no_end_mark(server: Served) -> None:
    publish(server, FLOW.format(name="failing", sources='sources: "{{ find.passages }}"'))
    answer = visit(server, create(server, "failing", "flow:failing"), "[[fail]]")
    assert answer.status != 200 and b"[DONE]" not in answer.body and answer.error["message"], answer.body
