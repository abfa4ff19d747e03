"""The graph that `checkFlow` returns: nodes with types and lines, edges with their places, and fixes that fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from sizewise.flows.graph_outline import GraphOutline, outline_graph
from sizewise.flows.node_registry import NodeRegistry
from sizewise.flows.quick_fixes import line_starts, quick_fixes
from sizewise.flows.validator import validate_flow

REGISTRY = NodeRegistry()
EXAMPLES = sorted(Path(__file__).parents[2].glob("examples/*/flows/*.yaml"))
FLOW = """\
name: triage
inputs:
  question: text
  rows: json
nodes:
  route:
    kind: branch
    cases:
      refund: '{{ "refund" in inputs.question }}'
  # asked only for refunds
  refund:
    kind: template
    text: "Refund: {{ inputs.question }}"
    after: [route.refund]

  each_row:
    kind: each
    items: "{{ inputs.rows }}"
    nodes:
      note: {kind: template, text: "{{ item }} of {{ refund.text or 'nobody' }}"}
    outputs: {text: "{{ note.text }}"}
  last:
    kind: template
    text: |
      First line.
      {{ refund.text | default("") }} and {{ each_row }}
    after: each_row
outputs:
  answer: "{{ last.text }}"
"""


def outline(text: str) -> GraphOutline:
    return outline_graph(validate_flow(text, REGISTRY))


def test_nodes_have_their_lines_types_cases_and_parents() -> None:
    shown = {each.id: each for each in outline(FLOW).nodes}
    assert [(id, each.line, each.end_line, each.parent) for id, each in shown.items()] == [
        ("route", 6, 9, ""),
        ("refund", 11, 14, ""),
        ("each_row", 16, 21, ""),
        ("note", 20, 20, "each_row"),
        ("last", 22, 27, ""),
    ]
    assert "refund" in shown["route"].cases and shown["note"].path == ("nodes", "each_row", "nodes", "note")
    assert shown["refund"].outputs.name == "object" and not shown["refund"].side_effect


def test_an_edge_is_what_is_written_at_its_place() -> None:
    lines = FLOW.split("\n")
    shown = outline(FLOW).edges
    for each in shown:
        assert lines[each.line - 1][each.column - 1 : each.end_column - 1] == each.reference, each
    assert {(each.source, each.target, each.kind, each.case) for each in shown} == {
        ("inputs", "route", "optional", ""),
        ("route", "refund", "order", "refund"),
        ("inputs", "refund", "required", ""),
        ("inputs", "each_row", "required", ""),
        ("refund", "note", "optional", ""),
        ("note", "each_row", "required", ""),
        ("refund", "last", "optional", ""),
        ("each_row", "last", "required", ""),
        ("each_row", "last", "order", ""),
        ("last", "", "required", ""),
    }


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_places_of_the_examples_are_right(file: Path) -> None:
    text = file.read_text()
    lines, shown = text.split("\n"), outline(text)
    assert shown.nodes or "kind:" not in text
    for each in shown.edges:
        assert lines[each.line - 1][each.column - 1 : each.end_column - 1] == each.reference


def test_a_flow_with_errors_still_has_a_graph_and_text_that_is_no_yaml_has_none() -> None:
    broken = FLOW.replace("kind: template\n    text: |", "kind: templat\n    text: |")
    assert [each.id for each in outline(broken).nodes] == [each.id for each in outline(FLOW).nodes]
    assert outline("nodes: [") == GraphOutline()
    assert outline("") == GraphOutline()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("kind: branch", "kind: brnch"),
        ("{{ inputs.rows }}", "{{ inputs.rwos }}"),
        ("{{ last.text }}", "{{ lst.text }}"),
        ("after: [route.refund]", "after: [route.refnd]"),
        ("after: [route.refund]", "after: [rout.refund]"),
        ("cases:", "casess:"),
        ('answer: "{{ last.text }}"', "answer: {{ last.text }}"),
        ('| default("")', '| defalt("")'),
    ],
)
def test_a_fix_makes_its_finding_go(right: str, wrong: str) -> None:
    text = FLOW.replace(right, wrong)
    fixes = [
        fix
        for found in validate_flow(text, REGISTRY).diagnostics
        for fix in quick_fixes(text, line_starts(text), found)
    ]
    assert fixes, validate_flow(text, REGISTRY).diagnostics
    mended = text[: fixes[0].start] + fixes[0].text + text[fixes[0].end :]
    assert not [each for each in validate_flow(mended, REGISTRY).diagnostics if each.kind == "mistake"]


def test_300_nodes_have_300_places() -> None:
    nodes = "".join(
        f'  n{number}: {{kind: template, text: "{{{{ n{number - 1}.text }}}} or {{{{ inputs.question }}}}"}}\n'
        for number in range(1, 300)
    )
    text = f'name: long\ninputs: {{question: text}}\nnodes:\n  n0: {{kind: template, text: "x"}}\n{nodes}'
    shown = outline(text + 'outputs: {text: "{{ n299.text }}"}\n')
    assert len(shown.nodes) == 300 and len(shown.edges) == 2 * 299 + 1
    assert {each.line for each in shown.nodes} == set(range(4, 304))
