"""Flows of Lamatic's become flows of ours: every type of node in every format, or it is named with what to do."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest

from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.flows.node import FlowSignature, NodeDependencies
from sizewise.flows.validator import SignatureLookup, signature_of_spec
from sizewise.handler import RequestOptions
from sizewise.knowledge.upload import IngestionResult
from sizewise.lamatic import file_formats, importer
from sizewise.lamatic.canvas import TranslationGrade, TranslationNote
from sizewise.lamatic.importer import ImportedFlow
from sizewise.settings.tools import SandboxSettings
from sizewise.tools.sandbox.process_pool import Sandbox
from tests.flows.in_process import Ran, checked, flow, going
from tests.lamatic import sample_files
from tests.lamatic.sample_files import Flow, api, code, llm, prompts

GRADES: tuple[TranslationGrade, ...] = ("imported", "note", "named")
NAMED = {
    "ImageGenNode",
    "vectorNode (filter)",
    "vectorNode (delete)",
    "agenticDocExtractionNode",
    "firecrawlNode (crawl)",
    "postgresNode",
    "crawlerNode",
    "tablesNode",
    "googleSheetsNode",
    "googleDriveNode",
    "s3Node",
    "onedriveNode",
    "sharepointNode",
    "slackNode",
    "gmailNode",
    "teamsNode",
    "notionNode",
}
"""Types that are no node here."""


def brought(format: str, *drawn: Flow) -> list[ImportedFlow]:
    """The flows, written in a format and imported together."""
    drawings = {}
    for each in drawn:
        written = sample_files.FORMATS[format](each)
        path = next(
            path
            for path in written
            if path.rpartition("/")[0] in ("flows", "lamatic/flows", "") and "config" not in path
        )
        found, drawings[path] = file_formats.parse_file(path, written[path], written.get)
        assert found == format
    made = importer.import_flows(drawings)
    return [each for each in made.values() if isinstance(each, ImportedFlow)]


def one(drawn: Flow, format: str = "lamatic-yaml") -> ImportedFlow:
    return brought(format, drawn)[0]


def others(flows: list[ImportedFlow]) -> SignatureLookup:
    def other(name: str) -> FlowSignature | None:
        text = next((each.text for each in flows if each.name == name), None)
        spec = checked(text).spec if text else None
        return signature_of_spec(spec) if spec else None

    return other


def about(made: ImportedFlow, id: str) -> list[TranslationNote]:
    return [each for each in made.notes if each.node == id]


def grade(made: ImportedFlow, id: str) -> TranslationGrade:
    return max((each.grade for each in about(made, id)), key=GRADES.index)


def mistakes(made: ImportedFlow, known: SignatureLookup | None = None) -> list[str]:
    found = checked(made.text, known or others([made])).diagnostics
    return [str(each) for each in found if each.kind == "mistake"]


# ---- every type in every format -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sample_files.FLOWS)
def test_every_type_of_node_is_imported_or_named_in_every_format(name: str) -> None:
    made = {format: brought(format, *sample_files.flows(name)) for format in sample_files.FORMATS}
    drawn = sample_files.FLOWS[name]()
    for format, flows in made.items():
        first = flows[0]
        assert {each.node for each in first.notes} >= {drawn.trigger.id, *(each.id for each in drawn.nodes)}, format
        if name in NAMED:
            named = [each for each in about(first, drawn.under) if each.grade == "named"]
            assert named and named[0].message and named[0].hint, format
            assert drawn.under == drawn.trigger.id or any(drawn.under in each for each in mistakes(first)), format
        else:
            assert grade(first, drawn.under) != "named", [str(each) for each in first.notes]
            assert mistakes(first, others(flows)) == [], first.text
        assert parse_yaml(first.text).data == first.data  # what stands in the file is what was meant
    bodies = [{**flows[0].data, "name": "", "description": ""} for flows in made.values()]
    assert all(each == bodies[0] for each in bodies)


# ---- what flows do --------------------------------------------------------------------------------------------------


def ran(made: ImportedFlow, inputs: dict[str, Any]) -> Ran:
    """Runs it on echo models, its code in a sandbox."""
    here = Ran()

    async def do() -> None:
        sandbox = Sandbox(SandboxSettings(timeout_s=2))
        try:
            await going(
                flow(made.text),
                inputs,
                here,
                RequestOptions(),
                dataclasses.replace(NodeDependencies(here.asked), sandbox=sandbox),
            )
        finally:
            await sandbox.close()

    asyncio.run(do())
    return here


def test_code_has_its_values_as_inputs_and_gives_its_output() -> None:
    text = (
        "// {{triggerNode_1.output.topic}} stays, as does /* {{x.y}} */\n"
        "const t = {{triggerNode_1.output}};\n"
        'const said = "say {{triggerNode_1.output.topic}}!";\n'
        "const s = said + `and ${[1].map((x) => ({a: {b: x}}))} {{triggerNode_1.output.n}}`;\n"
        "output = { s, again: t.topic, n: {{triggerNode_1.output.n}} + 1 };\n"
    )
    drawn = Flow("code", "c", [code("c", text)], {"out": "{{c.output}}"}, api(topic="string", n="int"))
    made = one(drawn)
    assert grade(made, "c") == "imported"
    assert "{{triggerNode_1.output.topic}} stays" in made.data["nodes"]["c"]["code"]
    out = ran(made, {"topic": "tea", "n": 2}).outputs["out"]
    assert out == {"s": "say tea!and [object Object] 2", "again": "tea", "n": 3}


@pytest.mark.parametrize(("topic", "answered"), [("a Refund, please", "LLMNode_1"), ("hello", "codeNode_2")])
def test_behind_a_condition_one_way_runs_and_what_joins_both_runs(topic: str, answered: str) -> None:
    here = ran(one(sample_files.FLOWS["conditionNode"]()), {"topic": topic, "items": []})
    assert {"LLMNode_1", "codeNode_2"} & here.states("done").keys() == {answered}
    assert here.states()["codeNode_3"] == "done"
    assert [each is not None for each in here.outputs["both"]] == [answered == "LLMNode_1", answered != "LLMNode_1"]


@pytest.mark.parametrize("name", ["forLoopNode", "batchNode"])
def test_a_loop_goes_over_its_list_and_code_behind_it_sees_what_each_round_gave(name: str) -> None:
    here = ran(one(sample_files.FLOWS[name]()), {"topic": "x", "items": ["a", "b", "c"]})
    assert here.asked.prompts() == ["Sum up a", "Sum up b", "Sum up c"]
    assert here.outputs["n"] == 3


def test_a_branch_runs_all_its_ways() -> None:
    here = ran(one(sample_files.FLOWS["branchNode"]()), {"topic": "tea", "items": []})
    assert here.states().keys() >= {"LLMNode_1", "codeNode_2", "codeNode_3"}
    assert here.outputs["both"][1] == "tea"


def test_several_conditions_can_hold_at_once() -> None:
    cases = [
        {"label": "Long", "value": "c-a", "condition": sample_files.when("{{triggerNode_1.output.n}}", ">", "10")},
        {
            "label": "Even",
            "value": "c-b",
            "condition": sample_files.when("{{triggerNode_1.output.even}}", "==", "true"),
        },
        {"label": "Else", "value": "c-d", "condition": {}},
    ]
    nodes = [
        sample_files.Node("c", "conditionNode", {"conditions": cases, "allowMultipleConditionExecution": True}),
        *(code(id, f"output = '{id}';", ("c", label)) for id, label in (("a", "Long"), ("b", "Even"), ("d", "Else"))),
    ]
    drawn = Flow(
        "several",
        "c",
        nodes,
        {"out": {id: "{{" + id + ".output}}" for id in "abd"}},
        api(n="int", even="boolean"),
    )
    made = one(drawn)
    assert ran(made, {"n": 20, "even": True}).outputs["out"] == {"a": "a", "b": "b", "d": None}
    assert ran(made, {"n": 2, "even": True}).outputs["out"] == {"a": None, "b": "b", "d": None}
    assert ran(made, {"n": 2, "even": False}).outputs["out"] == {"a": None, "b": None, "d": "d"}


@pytest.mark.parametrize(
    ("name", "operator", "value", "holds"),
    [
        ("{{t.output.n}}", "==", "3", True),
        ("{{t.output.n}}", "!=", "3", False),
        ("{{t.output.n}}", "<=", "2.5", False),
        ("{{t.output.n}}", ">", "2", True),
        (" {{t.output.s}}", "==", "Red Tea", True),
        ("{{t.output.s}}", "ilike", "%tea%", True),
        ("{{t.output.s}}", "ilike", "red%", True),
        ("{{t.output.s}}", "like", "%tea", False),
        ("{{t.output.s}}", "ilike", "%TEA", True),
        ("{{t.output.s}}", "contains", "Tea", True),
        ("{{t.output.s}}", "in", '["x", "Red Tea"]', True),
        ("{{t.output.yes}}", "==", "true", True),
        ("{{t.output.none}}", "==", "[]", True),
        ("{{t.output.s}}", "!=", "{{t.output.n}}", True),
    ],
)
def test_conditions_compare_as_they_did(name: str, operator: str, value: str, holds: bool) -> None:
    cases = [
        {"label": "yes", "value": "c-a", "condition": sample_files.when(name, operator, value)},
        {"label": "Else", "value": "c-b", "condition": {}},
    ]
    nodes = [sample_files.Node("c", "conditionNode", {"conditions": cases}), code("a", "output = 1;", ("c", "yes"))]
    trigger = dataclasses.replace(api(n="int", s="string", yes="boolean", none="[string]"), id="t")
    nodes[0].needs = ["t"]
    made = one(Flow("compare", "c", nodes, {"out": "{{c.output.condition}}"}, trigger))
    assert mistakes(made) == []
    given = {"n": 3, "s": "Red Tea", "yes": True, "none": []}
    assert (ran(made, given).outputs["out"] == "yes") is holds


def test_conditions_that_cannot_be_said_are_named() -> None:
    drawn = sample_files.FLOWS["conditionNode"]()
    drawn.nodes[0].values["conditions"][0]["condition"] = sample_files.when(
        "{{triggerNode_1.output.topic}}",
        "matches",
        "^a+$",
    )
    made = one(drawn)
    assert [str(each) for each in made.notes if each.grade == "named"] == [
        "conditionNode_374 (conditionNode): the operator 'matches' is not supported. "
        "Known: ==, ===, =, eq, equals, !=, !==, ne, neq, <, <=, >, >=, lt, lte, gt, gte, ilike, in.",
    ]


async def test_documents_are_made_of_the_texts_that_vectors_were_made_of() -> None:
    made = one(sample_files.FLOWS["IndexNode"]())
    taken: list[Any] = []

    class Knowledge:
        async def ingest(self, request: Any, name: str, brought: Any) -> Any:
            taken.extend(brought)
            return [IngestionResult(each.source, each.source, "added", 1) for each in brought]

    here = Ran()

    sandbox = Sandbox(SandboxSettings(timeout_s=2))
    resources = dataclasses.replace(NodeDependencies(here.asked), sandbox=sandbox, knowledge=Knowledge())  # type: ignore[arg-type]  # it only takes in
    try:
        await going(flow(made.text), {"topic": "tea " * 100, "items": []}, here, RequestOptions(), resources)
    finally:
        await sandbox.close()
    assert here.outputs["count"] == len(taken) == 3
    assert all(len(each.data) <= 200 for each in taken)
    assert b" ".join(each.data for each in taken).count(b"tea") >= 100
    assert len({each.source for each in taken}) == 3


def test_a_supervisor_decides_goes_and_remembers() -> None:
    made = one(sample_files.FLOWS["agentNode"]())
    nodes = made.data["nodes"]["agentNode_960"]["nodes"]
    assert nodes["LLMNode_1"]["after"] == ["agentNode_960_way.Research"]
    assert nodes["LLMNode_1"]["prompt"] == "Look into {{ agentNode_960_decides.arguments.question }}"


# ---- what is said ---------------------------------------------------------------------------------------------------


def test_ids_stay_and_what_no_name_may_hold_becomes_a_line() -> None:
    nodes = [llm("LLM node/1"), code("1 step", "output = {{LLM node/1.output.generatedResponse}};", "LLM node/1")]
    made = one(Flow("Große Ärzte & Co", "LLM node/1", nodes, {"text": "{{LLM node/1.output.generatedResponse}}"}))
    assert list(made.data["nodes"]) == ["LLM_node_1", "n_1_step"]
    assert made.name == "gro-e-rzte-co"


def test_models_prompts_and_limits_are_kept_and_what_is_not_is_noted() -> None:
    model = {
        "configName": "configA",
        "provider_name": "groq",
        "model_name": "groq/big",
        "credential_name": "K",
        "params": {"temperature": 0.2, "max_tokens": 300, "top_p": 0.9},
    }
    turns = [
        *prompts("first", "Be kind."),
        {"role": "assistant", "content": "yes?"},
        *prompts("{{triggerNode_1.output.topic}}"),
    ]
    made = one(Flow("m", "LLMNode_187", [llm(values={"prompts": turns, "generativeModelName": [model]})], {"t": "x"}))
    assert made.data["nodes"]["LLMNode_187"] == {
        "kind": "ask",
        "description": "Generate Text",
        "model": "auto",
        "temperature": 0.2,
        "max_tokens": 300,
        "system": "Be kind.",
        "messages": [{"role": "user", "content": "first"}, {"role": "assistant", "content": "yes?"}],
        "prompt": "{{ inputs.topic }}",
    }
    assert [each.message for each in about(made, "LLMNode_187")] == [
        "it used groq/big of groq",
        "the model parameter top_p is not imported",
    ]
    assert "# Note: it used groq/big of groq." in made.text


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("{{c.output.list[0].name}}", "{{ c.list[0].name }}"),
        ("{{c.output.list[1:3]}}", "{{ c.list | slice(1, 3) }}"),
        ("{{c.output.list[:].name}}", '{{ c.list | pluck("name") }}'),
        ("{{c.output.list[:].a[:].b}}", '{{ c.list | pluck("a") | flat | pluck("b") }}'),
        ("{{ c.output.list.0.name }}", "{{ c.list[0].name }}"),
        ("{{c.output['a b']}}", '{{ c["a b"] }}'),
        ("{{c.output.a || 'none'}}", '{{ c.a or "none" }}'),
        ("{{c.output.a ? 'yes' : 'no'}}", '{{ c.a and "yes" or "no" }}'),
        ("{{c.output}}", "{{ c }}"),
        ('{"json": {{"not": "ours"}} }', '{"json": {{ "{{" }}"not": "ours"}} }'),
    ],
)
def test_templates_say_the_same(there: str, here: str) -> None:
    nodes = [
        code("c", "output = {};"),
        sample_files.Node("v", "variablesNode", {"mapping": {"x": {"value": there}}}, ["c"]),
    ]
    made = one(Flow("t", "v", nodes, {"x": "{{v.output.x}}"}))
    assert made.data["nodes"]["v"]["value"]["x"] == here, about(made, "v")
    assert mistakes(made) == []


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ("{{secrets.project.KEY}}", "the secret project.KEY is not imported"),
        ("{{env.HOME}}", "environment variables (env) are not supported"),
        ("{{nobody.output.x}}", "there is no node 'nobody'"),
        ("{{l.output._meta.total_tokens}}", "{{ l.output._meta }} has no counterpart in Sizewise"),
        ("{{l.output.words}}", "{{ l.output.words }}: the node returns generatedResponse"),
        ("{{l.output.generatedResponse.toUpperCase()}}", "the expression in {{ }} is more than a path"),
        ("{{$now}}", "there is no node '$now'"),
    ],
)
def test_what_a_template_cannot_say_is_named(there: str, message: str) -> None:
    nodes = [llm("l"), sample_files.Node("v", "variablesNode", {"mapping": {"x": {"value": there}}}, ["l"])]
    made = one(Flow("t", "v", nodes, {"x": "{{v.output.x}}"}))
    (told,) = about(made, "v")
    assert (told.grade, told.message) == ("named", message)
    assert told.hint
    assert made.data["nodes"]["v"]["kind"] == "variablesNode"
    assert made.data["nodes"]["v"]["values"]["mapping"] == {"x": {"value": there}}


@pytest.mark.parametrize(
    ("expression", "zone", "schedule"),
    [
        ("0 8 * * 1-5", "", "0 8 * * 1-5"),
        ("30 */4 * * *", "Asia/Calcutta", "30 */4 * * *"),
        ("0 0 */3 ? * * UTC", "", "0 */3 * * *"),
        ("0 0 00 1/1 * ? * UTC", "", "0 0 * * *"),
    ],
)
def test_schedules_of_other_tools_become_five_fields(expression: str, zone: str, schedule: str) -> None:
    trigger = sample_files.started("cronNode", {"cronExpression": expression, "cronTimezone": zone}, "now")
    made = one(trigger)
    assert made.data["triggers"] == [{"kind": "cron", "schedule": schedule, **({"zone": zone} if zone else {})}]
    assert mistakes(made) == []


def test_code_that_reaches_out_is_named() -> None:
    for text, says in {
        "output = await fetch('https://x');": "the code accesses the network (fetch)",
        "const a = require('axios');": "the code imports a library (require)",
        "output = 'fetch(1)'; // require(1)": "",
    }.items():
        made = one(Flow("c", "c", [code("c", text)], {"x": "{{c.output}}"}))
        assert [each.message for each in about(made, "c")] == [says]


def test_inputs_are_what_the_trigger_says_or_what_is_asked_of_it() -> None:
    drawn = Flow(
        "i",
        "l",
        [llm("l", "{{triggerNode_1.output.topic}} {{triggerNode_1.output.deep.x}} {{triggerNode_1.output.more}}")],
        {"t": "{{l.output.generatedResponse}}"},
        api(topic="string", n="int", ok="boolean", list="[int]", deep="string", any="json"),
    )
    made = one(drawn)
    assert made.data["inputs"] == {
        "topic": "text",
        "n": "integer",
        "ok": "boolean",
        "list": {"list": "integer"},
        "deep": "json",
        "any": "json",
        "more": {"type": "json", "default": None},
    }
    assert grade(made, "triggerNode_1") == "note"


def test_a_node_that_is_switched_off_is_left_out() -> None:
    drawn = sample_files.FLOWS["LLMNode"]()
    written = sample_files.management(drawn)
    (path, text) = next(iter(written.items()))
    data = json.loads(text)
    data["nodes"].insert(
        1,
        {"id": "off", "type": "dynamicNode", "data": {"nodeId": "slackNode", "values": {}, "disabled": True}},
    )
    _, drawing = file_formats.parse_file(path, json.dumps(data))
    made = importer.import_flow(drawing)
    assert "off" not in made.data["nodes"]
    assert [str(each) for each in about(made, "off")] == ["off (slackNode): the node is disabled and was not imported"]


def test_an_output_that_cannot_be_said_is_named_and_the_others_stay() -> None:
    outputs = {
        "text": "{{LLMNode_187.output.generatedResponse}}",
        "drawn": "{{LLMNode_187.output.images}}",
    }
    made = one(Flow("o", "LLMNode_187", [llm()], outputs))
    assert made.data["outputs"] == {"text": "{{ LLMNode_187.text }}", "drawn": "{{ not_imported.drawn }}"}
    (told,) = about(made, "responseNode_triggerNode_1")
    assert str(told).startswith(
        "responseNode_triggerNode_1 (graphqlResponseNode): drawn: {{ LLMNode_187.output.images }}",
    )
    assert any("not_imported" in each for each in mistakes(made))  # it is not live without an output that it declares


def test_tokens_of_an_output_are_null_with_a_note() -> None:
    meta = "{{ LLMNode_187.output._meta }}"
    outputs = {"result": {"text": "{{LLMNode_187.output.generatedResponse}}", "_meta": meta}, "tokens": [meta]}
    made = one(Flow("o", "LLMNode_187", [llm()], {name: json.dumps(each) for name, each in outputs.items()} | outputs))
    assert made.data["outputs"] == {"result": {"text": "{{ LLMNode_187.text }}", "_meta": None}, "tokens": [None]}
    told = [each for each in about(made, "responseNode_triggerNode_1") if each.message]
    assert [each.grade for each in told] == ["note", "note"] and mistakes(made) == []
    assert "its output result._meta has null in place of" in told[0].message


def test_conditions_of_a_node_that_runs_all_its_ways_are_named() -> None:
    drawn = sample_files.FLOWS["branchNode"]()
    drawn.nodes[0].values["branches"][0]["condition"] = "{{triggerNode_1.output.topic}} == 1"
    assert grade(one(drawn), "branchNode_374") == "named"


def test_words_where_a_conversation_should_be_are_kept() -> None:
    made = one(Flow("m", "LLMNode_187", [llm(values={"messages": "About {{triggerNode_1.output.topic}} now"})], {}))
    assert made.data["nodes"]["LLMNode_187"]["messages"] == [
        {"role": "user", "content": "About {{ inputs.topic }} now"},
    ]
    assert grade(made, "LLMNode_187") == "note"
    assert mistakes(made) == []
