"""Lamatic's flows as its Studio exports them: dead references, unnamed edges, odd schemas and bare words."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.lamatic import exporter, file_formats, file_writer, importer
from sizewise.lamatic.importer import ImportedFlow
from sizewise.lamatic.round_trip import check_round_trip
from tests.flows.in_process import checked, flow
from tests.lamatic import sample_files
from tests.lamatic.sample_files import Flow, Node, api, code, llm, when
from tests.lamatic.test_importer import about, grade, mistakes, one, ran

TEXT = "{{triggerNode_1.output.topic}}"


def imported(files: dict[str, str]) -> ImportedFlow:
    path = next(path for path in files if path.startswith("flows/"))
    return importer.import_flow(file_formats.parse_file(path, files[path], files.get)[1])


def with_config(values: dict[str, Any], **inside: Any) -> ImportedFlow:
    """A kit whose LLM node takes `values`; a `@model-configs/x.ts` in them is a file with `inside`."""
    files = sample_files.agentkit(Flow("kit", "LLMNode_187", [llm(values=values)], {"x": "{{LLMNode_187.output}}"}))
    files["model-configs/x.ts"] = f"export default {json.dumps(inside)};\n"
    return imported(files)


# ---- references -----------------------------------------------------------------------------------------------------

REFERENCE = "@model-configs/x.ts"


@pytest.mark.parametrize("name", ["memories", "messages", "attachments", "credentials"])
def test_a_setting_that_only_refers_to_itself_is_dropped_and_named(name: str) -> None:
    made = with_config({name: REFERENCE}, **{name: REFERENCE})
    assert "@model-configs" not in json.dumps(made.data)
    assert [each.message for each in about(made, "LLMNode_187") if each.message] == [
        f"its {name} was dropped: {REFERENCE} refers to itself",
    ]
    assert grade(made, "LLMNode_187") == "note"
    assert mistakes(made) == []


def test_a_setting_whose_file_does_not_have_it_is_dropped_and_named() -> None:
    made = with_config({"memories": REFERENCE}, temperature=1)
    assert [each.message for each in about(made, "LLMNode_187") if each.message] == [
        f"its memories was dropped: {REFERENCE} has no memories",
    ]
    assert mistakes(made) == []


def test_references_within_a_file_are_followed() -> None:
    turns = [{"role": "user", "content": "@prompts/first.md"}, {"role": "assistant", "content": REFERENCE}]
    files = sample_files.agentkit(Flow("kit", "LLMNode_187", [llm(values={"messages": REFERENCE})], {"x": "1"}))
    files["model-configs/x.ts"] = f"export default {json.dumps({'messages': turns})};\n"
    files["prompts/first.md"] = "The first question.\n"
    made = imported(files)
    assert made.data["nodes"]["LLMNode_187"]["messages"][0] == {"role": "user", "content": "The first question."}
    assert "@" not in json.dumps(made.data["nodes"])


@pytest.mark.parametrize("path", ["@prompts/no such.md", "@prompts/q?.md", "@prompts/", "@scripts/<x>.ts"])
def test_a_path_in_place_of_a_prompt_never_becomes_the_prompt(path: str) -> None:
    drawn = Flow("p", "LLMNode_187", [llm(values={"prompts": [{"role": "user", "content": path}]})], {"x": "1"})
    made = one(drawn)
    assert grade(made, "LLMNode_187") == "named"
    assert made.data["nodes"]["LLMNode_187"]["kind"] == "LLMNode"
    assert "line 0" not in made.text


# ---- conditions -----------------------------------------------------------------------------------------------------


def decided(*edges: dict[str, Any], cases: int = 1) -> ImportedFlow:
    """A condition before the nodes a, b and d, joined by `edges`, in the JSON of the API."""
    holds = [("First", "x"), ("Second", "y")][:cases]
    listed: list[dict[str, Any]] = [
        {"label": label, "value": f"c-add_{word}", "condition": when(TEXT, "==", word)} for label, word in holds
    ]
    listed.append({"label": "Else", "value": "c-add_z", "condition": {}})
    nodes = [Node("c", "conditionNode", {"conditions": listed}), *(code(id, f"output = '{id}';", "c") for id in "abd")]
    outputs = {"out": {id: "{{" + id + ".output}}" for id in "abd"}}
    data = json.loads(sample_files.management(Flow("decided", "c", nodes, outputs))["decided.json"])
    data["edges"] = [each for each in data["edges"] if each["source"] != "c"]
    data["edges"] += [{"source": "c", "type": "conditionEdge", **each} for each in edges]
    return importer.import_flow(file_formats.parse_file("decided.json", json.dumps(data))[1])


def chosen(made: ImportedFlow, topic: str) -> set[str]:
    out = ran(made, {"topic": topic, "items": []}).outputs["out"]
    return {name for name, each in out.items() if each is not None}


def test_the_case_that_an_edge_names_counts_more_than_its_id() -> None:
    made = decided(
        {"id": "c-add_x", "target": "b", "data": {"condition": "Else"}},
        {"id": "c-add_z", "target": "a", "data": {"condition": "First"}},
    )
    assert chosen(made, "x") == {"a", "d"}
    assert chosen(made, "other") == {"b", "d"}


def test_several_cases_can_share_an_edge() -> None:
    labels = [{"label": each, "value": "c-a-1", "description": each} for each in ("Red", "Green")]
    nodes = [
        Node("c", "agentClassifierNode", {"classifier": labels, "prompts": sample_files.prompts(TEXT)}),
        code("a", "output = 1;", "c"),
    ]
    data = json.loads(sample_files.management(Flow("shared", "c", nodes, {"out": "{{a.output}}"}))["shared.json"])
    for each in data["edges"]:
        if each["source"] == "c" and each["target"] == "a":
            each |= {"id": "c-a-1", "data": {}}
    made = importer.import_flow(file_formats.parse_file("shared.json", json.dumps(data))[1])
    assert made.data["nodes"]["a"]["after"] == ["c_way.Red", "c_way.Green"]
    assert mistakes(made) == []


def test_the_last_edge_takes_the_last_case() -> None:
    made = decided({"id": "1", "target": "a"}, {"id": "2", "target": "b", "data": {"condition": "Else"}})
    assert grade(made, "c") == "imported"
    assert made.data["nodes"]["a"]["after"] == ["c.First"]


@pytest.mark.parametrize("cases", [1, 2])
def test_edges_without_a_case_are_refused_by_node_and_never_wired_both_ways(cases: int) -> None:
    made = decided({"id": "1", "target": "a"}, {"id": "2", "target": "b"}, cases=cases)
    (told,) = about(made, "c")
    assert str(told) == (
        "c (conditionNode): the file does not tell which case leads to a, b. Export the flow again from the Studio, "
        "or write a branch node and `after: [NODE.CASE]`."
    )
    assert made.data["nodes"]["a"]["after"] == made.data["nodes"]["b"]["after"] == ["c"]
    assert any("conditionNode" in each for each in mistakes(made))


def test_an_edge_that_names_no_case_of_its_branch_does_not_pass_the_check() -> None:
    made = decided({"id": "1", "target": "a", "data": {"condition": "Third"}})
    assert grade(made, "a") == "named"
    assert made.data["nodes"]["a"]["after"] == ["c.Third"]
    assert mistakes(made) != []


# ---- triggers -------------------------------------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "properties": {
        "symptom": {"type": "string", "description": "what is seen"},
        "pipeline": {"type": "object", "properties": {"name": {"type": "string"}}},
        "tags": {"type": "array", "items": {"type": "string"}},
        "times": {"type": ["integer", "null"]},
    },
    "required": ["symptom", "pipeline"],
}


def started(schema: object) -> ImportedFlow:
    trigger = dataclasses.replace(api(), values={"advance_schema": json.dumps(schema)})
    return one(Flow("t", "triggerNode_1", [code("c", "output = 1;")], {"x": "{{c.output}}"}, trigger))


def test_a_json_schema_of_a_trigger_is_its_fields() -> None:
    made = started(SCHEMA)
    assert made.data["inputs"] == {
        "symptom": "text",
        "pipeline": "json",
        "tags": {"type": {"list": "text"}, "default": None},
        "times": {"type": "integer", "default": None},
    }
    assert mistakes(made) == []


@pytest.mark.parametrize(
    ("schema", "inputs"),
    [
        ({"a": "string?", "b": "[int]?", "c": "string!"}, {"a": "text?", "b": {"list": "integer"}, "c": "text"}),
        ({"type": "string", "properties": "json"}, {"type": "text", "properties": "json"}),
        ({"a": {"type": "string", "required": False}}, {"a": "text?"}),
        ({"a": {"type": "string", "stance": "string"}}, {"a": "json"}),
        ({"properties": {"a": {"type": "string", "required": True}}}, {"a": "text"}),
    ],
)
def test_fields_of_a_trigger_keep_their_types(schema: object, inputs: dict[str, Any]) -> None:
    found = started(schema).data["inputs"]
    assert {name: _type(each) for name, each in found.items()} == inputs


def _type(said: Any) -> Any:
    optional = isinstance(said, dict) and "default" in said
    kind = said["type"] if optional else said
    return f"{kind}?" if optional and isinstance(kind, str) else kind


def test_a_connector_that_starts_a_flow_becomes_inputs_with_a_note() -> None:
    made = one(sample_files.FLOWS["googleDriveNode (trigger)"]())
    assert made.data["inputs"] == {"document_key": {"type": "json", "default": None}}
    assert "no connector starts a flow this way; what it passed are inputs: document_key" in [
        each.message for each in about(made, "triggerNode_1")
    ]
    assert mistakes(made) == []
    assert ran(made, {"document_key": "a.pdf"}).asked.prompts() == ["a.pdf"]


URL = "https://api.firecrawl.dev/v1/scrape"


def test_pages_and_searches_call_the_apis_that_they_called() -> None:
    page = one(sample_files.FLOWS["scraperNode"]()).data["nodes"]["scraperNode_512"]
    assert (page["kind"], page["method"], page["url"]) == ("http", "POST", URL)
    assert page["json"] == {
        "url": "{{ inputs.topic }}",
        "formats": ["markdown", "html"],
        "onlyMainContent": True,
        "waitFor": 123,
        "excludeTags": ["nav"],
    }
    pages = one(sample_files.FLOWS["firecrawlNode"]())
    assert pages.data["nodes"]["firecrawlNode_512_urls"]["inputs"] == {"urls": "{{ inputs.items }}"}
    assert pages.data["nodes"]["firecrawlNode_512"]["items"] == "{{ firecrawlNode_512_urls }}"
    assert pages.data["outputs"] == {"result": "{{ firecrawlNode_512.results[0].markdown }}"}
    search = one(sample_files.FLOWS["webSearchNode"]()).data["nodes"]["webSearchNode_512"]
    assert search["json"] == {"q": "{{ inputs.topic }}", "num": 5, "gl": "in", "page": 1}


def test_an_option_that_is_off_is_sent_as_off() -> None:
    drawn = sample_files.FLOWS["scraperNode"]()
    drawn.nodes[0].values |= {"onlyMainContent": False, "waitFor": 0}
    assert one(drawn).data["nodes"]["scraperNode_512"]["json"] == {
        "url": "{{ inputs.topic }}",
        "formats": ["markdown", "html"],
        "onlyMainContent": False,
        "excludeTags": ["nav"],
    }


def test_a_key_never_goes_to_a_search_that_is_not_known() -> None:
    drawn = sample_files.FLOWS["webSearchNode"]()
    drawn.nodes[0].values["type"] = "https://google.serper.dev.example.com/search"
    assert grade(one(drawn), drawn.under) == "named"


# ---- words ----------------------------------------------------------------------------------------------------------


def test_a_word_that_names_no_node_is_an_input_that_may_be_left_out() -> None:
    made = one(Flow("t", "LLMNode_187", [llm(user="Today is {{today}}.")], {"x": "{{LLMNode_187.output}}"}))
    assert made.data["inputs"]["today"] == {"type": "text", "default": None}
    assert about(made, "LLMNode_187")[0].message == "{{ today }} names no node; it was read as the input today"
    given = {"topic": "", "items": []}
    assert ran(made, given).asked.prompts() == ["Today is ."]
    assert ran(made, given | {"today": "Friday"}).asked.prompts() == ["Today is Friday."]


def test_a_word_that_names_a_field_of_the_trigger_is_that_field() -> None:
    made = one(Flow("t", "LLMNode_187", [llm(user="About {{topic}}")], {"x": "{{LLMNode_187.output}}"}))
    assert ran(made, {"topic": "tea", "items": []}).asked.prompts() == ["About tea"]


def test_a_node_can_be_called_by_its_title() -> None:
    first, second = (
        llm("LLMNode_1", TEXT),
        llm("LLMNode_2", "{{extraction.output.generatedResponse}} {{trigger.output.topic}}"),
    )
    first.name, second.needs = "extraction.", ["LLMNode_1"]
    made = one(Flow("t", "LLMNode_2", [first, second], {"x": "{{LLMNode_2.output.generatedResponse}}"}))
    assert made.data["nodes"]["LLMNode_2"]["prompt"] == "{{ LLMNode_1.text }} {{ inputs.topic }}"
    assert grade(made, "LLMNode_2") == "note"


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("output.n = 1; output.m = {{triggerNode_1.output.topic}};", {"n": 1, "m": "tea"}),
        ("if (!output.list) output.list = [];\noutput.list.push('a');", {"list": ["a"]}),
        ("output = { topic: workflow.triggerNode_1.output.topic };", {"topic": "tea"}),
        ("const all = workflow['triggerNode_1'].output;\noutput = { topic: all.topic };", {"topic": "tea"}),
        ("output = workflow?.triggerNode_1?.output?.topic;", "tea"),
        ("let output = {}; output.a = 1;", {"a": 1}),
        ("const x = { output: 1 }; output = x.output;", 1),
        ("return { a: 'output.x = workflow' };", {"a": "output.x = workflow"}),
    ],
)
def test_code_has_output_and_workflow(text: str, out: Any) -> None:
    made = one(Flow("t", "c", [code("c", text)], {"out": "{{c.output}}"}))
    assert grade(made, "c") == "imported"
    assert ran(made, {"topic": "tea", "items": []}).outputs["out"] == out
    assert ("workflow" in text and "output.x" not in text) or differences(made.text, "agentkit") == []


def test_code_that_reads_all_of_workflow_is_named() -> None:
    made = one(Flow("t", "c", [code("c", "output = Object.keys(workflow);")], {"out": "{{c.output}}"}))
    assert [each.message for each in about(made, "c")] == ["the code uses all of `workflow`"]


# ---- there and back -------------------------------------------------------------------------------------------------


def differences(text: str, format: file_writer.ExportFormat) -> list[str]:
    drawing, told = exporter.export_flow(parse_yaml(text).data)
    written = file_writer.write_files(drawing, format)
    return [f"{each.node}: {each.message}" for each in check_round_trip(flow(text), written, told)]


CASES = """
name: cases
inputs: {topic: text, tone: {type: text, default: null}, tags: {type: {list: text}, default: null}}
nodes:
  c: {kind: branch, cases: {Condition 1: '{{ inputs.topic == "x" }}', a b c: '{{ inputs.topic == "y" }}'}}
  a b: {kind: javascript, after: [c.Condition 1], code: output = 1}
"""


@pytest.mark.parametrize("format", file_writer.EXPORT_FORMATS)
def test_cases_with_blanks_and_optional_inputs_come_back(format: file_writer.ExportFormat) -> None:
    text = CASES.replace("a b:", "b:").replace("after: [c.Condition 1]", "after: [c.Condition 1, c.a b c]")
    assert [each for each in checked(text).diagnostics if each.kind == "mistake"] == []
    assert differences(text, format) == []


@pytest.mark.parametrize("format", file_writer.EXPORT_FORMATS)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("default: null}, tags", "default: kind}, tags"), "tone: the input comes back different"),
        (
            ("{type: text, default: null}", "{type: text, default: null, description: how}"),
            "tone: the input comes back",
        ),
        (("kind: javascript,", "kind: javascript, timeout_s: 3,"), "b: comes back different: timeout_s"),
        (("kind: javascript,", "kind: javascript, time_s: 3,"), "b: comes back different: time_s"),
        (
            ("nodes:", "triggers: [{kind: cron, schedule: '0 7 * * *'}]\nnodes:"),
            "topic: the input comes back different",
        ),
    ],
)
def test_what_would_be_lost_is_named(change: tuple[str, str], said: str, format: file_writer.ExportFormat) -> None:
    text = CASES.replace("a b:", "b:").replace(*change)
    assert [each for each in checked(text).diagnostics if each.kind == "mistake"] == []
    assert any(each.startswith(said) for each in differences(text, format)), differences(text, format)
