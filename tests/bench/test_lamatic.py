"""The bench of Lamatic kits: it counts what runs, stands in for code that is not there, and names every cause."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.lamatic import run as bench
from bench.lamatic import stand_ins
from sizewise.lamatic import file_formats
from tests.lamatic import sample_files
from tests.lamatic.sample_files import Flow, Node, code, llm, when

CODE = "codeNode_1"
READS = "{{triggerNode_1.output.topic}}"


def coded() -> Flow:
    """Code before a loop, whose body is left out."""
    loop = {"iterateOver": "list", "iteratorValue": "{{codeNode_1.output.list}}", "connectedTo": "forLoopEndNode_1"}
    nodes = [
        code(CODE, "left out"),
        Node("forLoopNode_1", "forLoopNode", loop, [CODE]),
        llm("LLMNode_1", "About {{forLoopNode_1.output.currentValue}}", needs=["forLoopNode_1"]),
        Node("forLoopEndNode_1", "forLoopEndNode", {"connectedTo": "forLoopNode_1"}, ["LLMNode_1"]),
    ]
    return Flow("coded", CODE, nodes, {"n": "{{codeNode_1.output.deep.n}}"})


def ambiguous() -> Flow:
    cases = [
        {"label": "One", "value": "c-addNode_1", "condition": when(READS, "==", "x")},
        {"label": "Else", "value": "c-addNode_2", "condition": {}},
    ]
    nodes = [
        Node("c", "conditionNode", {"conditions": cases}),
        code("a", "output = 1;", "c"),
        code("b", "output = 2;", "c"),
    ]
    return Flow("ambiguous", "c", nodes, {"a": "{{a.output}}"})


def written(folder: Path, flow: Flow, *left_out: str) -> None:
    """A kit with the flow's values as JSON, as in a folder of data."""
    files = sample_files.agentkit(flow)
    kit = folder / "kits" / flow.name.lower()
    for path, text in files.items():
        if path in left_out or path.startswith("lamatic.config"):
            continue
        where = kit / path
        where.parent.mkdir(parents=True, exist_ok=True)
        if path.startswith("flows/"):
            nodes, edges = (
                json.loads(text.split(f"export const {name} = ")[1].split(";\n\n")[0]) for name in ("nodes", "edges")
            )
            where.with_suffix(".json").write_text(
                json.dumps({"meta": {"name": flow.name}, "nodes": nodes, "edges": edges})
            )
        elif path.startswith("model-configs/"):
            where.with_suffix(".json").write_text(text.split("export default ")[1].rstrip(";\n"))
        else:
            where.write_text(text)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[bench.FlowResult]:
    folder = tmp_path_factory.mktemp("kits")
    script = "scripts/coded_codenode-1_code.ts"
    written(folder, coded(), script)
    for flow in (ambiguous(), sample_files.FLOWS["LLMNode"](), sample_files.FLOWS["slackNode"]()):
        ambiguous_edges = flow.name == "ambiguous"
        written(folder, flow)
        if ambiguous_edges:
            path = folder / "kits" / "ambiguous" / "flows" / "ambiguous.json"
            data = json.loads(path.read_text())
            for each in data["edges"]:
                each.pop("data", None)
                each["id"] = f"{each['id']}-7"
            path.write_text(json.dumps(data))
    (folder / "scripts_left_out.csv").write_text(
        f"script,template_variables\nkits/coded/{script},triggerNode_1.output.topic triggerNode_1.output.*\n"
    )
    return bench.measure(folder)


def test_each_flow_runs_or_has_a_cause(results: list[bench.FlowResult]) -> None:
    found = {each.flow: each for each in results}
    assert {name: (each.checks, each.runs) for name, each in found.items()} == {
        "ambiguous/ambiguous": (False, False),
        "coded/coded": (True, True),
        "llmnode/llmnode": (True, True),
        "slacknode/slacknode": (False, False),
    }
    assert found["coded/coded"].round_trip == found["llmnode/llmnode"].round_trip == "equal"
    assert "does not tell which case leads to a, b" in found["ambiguous/ambiguous"].refusals[0]
    assert (
        found["slacknode/slacknode"].refusals[0].startswith("slackNode_512 (slackNode): there is no node of this kind")
    )


def test_the_table_counts_and_ranks_the_causes(results: list[bench.FlowResult]) -> None:
    lines = bench.table(results).splitlines()
    assert lines[0] == "| of 4 flows | |"
    assert "| run on the echo model | 2 |" in lines
    assert sum(line.startswith("| 1 |") for line in lines) == 2


def test_a_stand_in_has_all_paths_that_are_read() -> None:
    text = sample_files.low_code(coded())["coded.yaml"]
    found = stand_ins.uses(
        file_formats.parse_file("coded.yaml", text)[1], {CODE: ["LLMNode_1.output.generatedResponse"]}
    )
    made = stand_ins.value(found[CODE])
    assert isinstance(made["list"], list) and made["deep"] == {"n": stand_ins.LEAF}
    assert stand_ins.code(["a_1.output"], {"n": 1}) == 'const v0 = {{a_1.output}};\noutput = {"n": 1};\n'
