"""Writes flow files as Lamatic's own tools do, in its four formats, one flow for every type of node; reads none.

Shares no code with the importer: it was written from the contract alone (names, shapes, misspellings), so that a wrong
notion of these shows as a test that fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import yaml

Values = dict[str, Any]
DEFAULT_MODEL = [
    {
        "configName": "configA",
        "type": "generator/text",
        "params": {},
        "provider_name": "openai",
        "model_name": "default",
        "credentialId": "c0",
        "credential_name": "KEY",
    },
]
EMBEDDER = {
    "type": "embedder/text",
    "model_name": "default",
    "provider_name": "openai",
    "credential_name": "KEY",
    "credentialId": "c1",
}


@dataclass
class Node:
    """`needs`: ids before it, or (id, case)."""

    id: str
    type: str
    values: Values = field(default_factory=dict)
    needs: list[str | tuple[str, str]] = field(default_factory=lambda: ["triggerNode_1"])
    name: str = ""


@dataclass
class Flow:
    """A flow as one draws it. `under`: the node whose import is looked at; `ends`: loops and their ends."""

    name: str
    under: str
    nodes: list[Node]
    outputs: Values | None
    trigger: Node = field(default_factory=lambda: api(topic="string", items="[string]"))
    response: str = "graphqlResponseNode"
    id: str = "0b0f1c1e-0000-4000-8000-000000000001"

    @property
    def ends(self) -> dict[str, str]:
        return {
            n.id: n.values["connectedTo"] for n in self.nodes if n.type in ("forLoopNode", "batchNode", "agentNode")
        }


def api(responeType: str = "realtime", /, **fields: str) -> Node:
    values = {"responeType": responeType, "advance_schema": json.dumps(fields, indent=2)}
    return Node("triggerNode_1", "graphqlNode", values, [], "API Request")


def prompts(user: str, system: str = "") -> list[Values]:
    made = [{"id": "187c2f4b-0000-4000-8000-000000000001", "role": "system", "content": system}] if system else []
    return [*made, {"id": "187c2f4b-0000-4000-8000-000000000002", "role": "user", "content": user}]


def llm(id: str = "LLMNode_187", user: str = "Write about {{triggerNode_1.output.topic}}.", **more: Any) -> Node:
    values = {
        "prompts": prompts(user, "Be short."),
        "tools": [],
        "messages": "[]",
        "memories": "[]",
        "attachments": "",
        "generativeModelName": DEFAULT_MODEL,
    }
    return Node(id, "LLMNode", {**values, **more.pop("values", {})}, name="Generate Text", **more)


def code(id: str, text: str, *needs: str | tuple[str, str]) -> Node:
    return Node(id, "codeNode", {"code": text}, list(needs) or ["triggerNode_1"], "Code")


def simple(type: str, values: Values, output: str, **more: Any) -> Flow:
    """A trigger, one node, a response."""
    id = f"{type}_512"
    return Flow(
        type,
        id,
        [Node(id, type, values, name=type.removesuffix("Node"))],
        {"result": f"{{{{{id}.output{output}}}}}"},
        **more,
    )


SCHEMA = json.dumps(
    {"type": "object", "properties": {"title": {"type": "string", "required": True}, "score": {"type": "number"}}},
)
OPERANDS = {
    "operator": "And",
    "operands": [{"path": ["topic"], "operator": "Equal", "valueText": "{{triggerNode_1.output.topic}}"}],
}


def when(name: str, operator: str, value: str) -> str:
    return json.dumps({"operator": None, "operands": [{"name": name, "operator": operator, "value": value}]}, indent=2)


def conditional(type: str, key: str, cases: list[Values], **more: Any) -> Flow:
    """A node with two ways, a joint at the end of each, a node on each, and one behind both."""
    id = f"{type}_374"
    ways = [str(each["label"]) for each in cases]
    nodes = [
        Node(id, type, {key: cases, **more}, name="Decide"),
        Node("addNode_871", "addNode", {}, [(id, ways[0])]),
        Node("addNode_908", "addNode", {}, [(id, ways[1])]),
        llm("LLMNode_1", needs=["addNode_871"]),
        code("codeNode_2", "output = { text: {{triggerNode_1.output.topic}} };", "addNode_908"),
        Node("plus-node-addNode_754941", "addNode", {}, ["LLMNode_1", "codeNode_2"]),
        code(
            "codeNode_3",
            "output = { both: [{{LLMNode_1.output.generatedResponse}}, {{codeNode_2.output.text}}] };",
            "plus-node-addNode_754941",
        ),
    ]
    return Flow(type, id, nodes, {"both": "{{codeNode_3.output.both}}"})


def looped(start: str, end: str, out: str, **more: Any) -> Flow:
    values = {
        "iterateOver": "list",
        "iteratorValue": "{{triggerNode_1.output.items}}",
        "initialValue": "0",
        "endValue": "10",
        "increment": "1",
        "connectedTo": f"{end}_984",
        "wait": 0,
        **more,
    }
    nodes = [
        Node(f"{start}_250", start, values, name="Loop"),
        llm("LLMNode_1", f"Sum up {{{{{start}_250.output.currentValue}}}}", needs=[f"{start}_250"]),
        Node(f"{end}_984", end, {"connectedTo": f"{start}_250"}, ["LLMNode_1"], "Loop End"),
        code(
            "codeNode_2",
            f"const all = {{{{{end}_984.output.{out}}}}};\n"
            f"const first = {{{{{end}_984.output.{out}[0].LLMNode_1.output.generatedResponse}}}};\n"
            "output = { n: all.length, first };",
            f"{end}_984",
        ),
    ]
    return Flow(start, f"{start}_250", nodes, {"n": "{{codeNode_2.output.n}}"})


def supervisor() -> Flow:
    agents = [
        {
            "name": "Research",
            "description": "finds out",
            "schema": json.dumps({"type": "object", "properties": {"question": {"type": "string", "required": True}}}),
        },
        {"name": "Writer", "description": "writes", "schema": {}},
    ]
    values = {
        "tools": [],
        "agents": agents,
        "prompts": prompts("Write on {{triggerNode_1.output.topic}}", "You lead."),
        "messages": "[]",
        "stopWord": "",
        "connectedTo": "agentLoopEndNode_242",
        "maxIterations": 5,
        "generativeModelName": DEFAULT_MODEL,
    }
    nodes = [
        Node("agentNode_960", "agentNode", values, name="Supervisor"),
        llm("LLMNode_1", "Look into {{agentNode_960.output.question}}", needs=[("agentNode_960", "Research")]),
        llm("LLMNode_2", "Write it up.", needs=[("agentNode_960", "Writer")]),
        Node("agentLoopEndNode_242", "agentLoopEndNode", {"connectedTo": "agentNode_960"}, ["LLMNode_1", "LLMNode_2"]),
    ]
    return Flow("agentNode", "agentNode_960", nodes, {"text": "{{agentLoopEndNode_242.output.agentOutput}}"})


def indexing(type: str, under: str = "", **more: Any) -> Flow:
    id = f"{type}_674"
    values = {
        "vectorDB": "Handbook",
        "primaryKeys": ["title"],
        "vectorsField": "{{vectorizeNode_639.output.vectors}}",
        "metadataField": "{{codeNode_507.output.metadata}}",
        "duplicateOperation": "overwrite",
        **more,
    }
    nodes = [
        Node(
            "chunkNode_262",
            "chunkNode",
            {
                "chunkField": "{{triggerNode_1.output.topic}}",
                "numOfChars": 200,
                "separators": ["\\n\\n", "\\n", " "],
                "chunkingType": "recursiveCharacterTextSplitter",
                "overlapChars": "20",
            },
        ),
        code(
            "codeNode_254",
            "output = {{chunkNode_262.output.chunks}}.map((chunk) => chunk.pageContent);",
            "chunkNode_262",
        ),
        Node(
            "vectorizeNode_639",
            "vectorizeNode",
            {"inputText": "{{codeNode_254.output}}", "embeddingModelName": EMBEDDER},
            ["codeNode_254"],
        ),
        code(
            "codeNode_507",
            "let vectors = {{vectorizeNode_639.output.vectors}};\nlet texts = {{codeNode_254.output}};\n"
            "const title = `{{triggerNode_1.output.topic}}`;\n"
            "output = { metadata: vectors.map((_, at) => ({ content: texts[at], title: title + at })) };",
            "vectorizeNode_639",
        ),
        Node(id, type, values, ["codeNode_507"]),
    ]
    return Flow(
        under or type,
        next((n.id for n in nodes if n.type == under), id),
        nodes,
        {"count": f"{{{{{id}.output.recordsIndexed}}}}"},
    )


def started(
    type: str,
    values: Values,
    use: str,
    response: str = "graphqlResponseNode",
    outputs: Values | None = None,
) -> Flow:
    trigger = Node("triggerNode_1", type, values, [], "Start")
    return Flow(
        type,
        "triggerNode_1",
        [llm(user=use)],
        {"output": "{{LLMNode_187.output.generatedResponse}}"} if outputs is None else outputs,
        trigger,
        response,
    )


def called() -> Flow:
    """The flow that flowNode runs; it comes with it."""
    return Flow(
        "Summarise",
        "LLMNode_187",
        [llm()],
        {"summary": "{{LLMNode_187.output.generatedResponse}}"},
        api(topic="string"),
        id="8f4818e3-2d0e-4d10-b7c9-9727d92bbcee",
    )


TEXT = "{{triggerNode_1.output.topic}}"
FLOWS: Mapping[str, Callable[[], Flow]] = {
    "graphqlNode": lambda: started(
        "graphqlNode",
        api(topic="string", count="int").values,
        f"{TEXT} {{{{triggerNode_1.output.count}}}}",
    ),
    "webhookTriggerNode": lambda: started("webhookTriggerNode", {}, f"About {TEXT}."),
    "cronNode": lambda: started(
        "cronNode",
        {"cronExpression": "0 8 * * 1-5", "cronTimezone": "Europe/Berlin"},
        "The news.",
    ),
    "chatTriggerNode": lambda: started(
        "chatTriggerNode",
        {"chat": "", "domains": ["*"], "chatConfig": {"botName": "Bot"}},
        "{{triggerNode_1.output.chatMessage}}",
        "chatResponseNode",
        {"content": "{{LLMNode_187.output.generatedResponse}}"},
    ),
    "searchTriggerNode": lambda: started(
        "searchTriggerNode",
        {"domains": []},
        "{{triggerNode_1.output.searchQuery}}",
        "searchResponseNode",
        {"results": "{{LLMNode_187.output.generatedResponse}}"},
    ),
    "askTriggerNode": lambda: started(
        "askTriggerNode",
        {"domains": []},
        "{{triggerNode_1.output.message}}",
        "askResponseNode",
        {"answer": "{{LLMNode_187.output.generatedResponse}}"},
    ),
    "graphqlResponseNode": lambda: Flow(
        "graphqlResponseNode",
        "responseNode_triggerNode_1",
        [llm()],
        {"answer": "{{LLMNode_187.output.generatedResponse}}", "about": {"topic": TEXT}},
    ),
    "chatResponseNode": lambda: Flow(
        "chatResponseNode",
        "responseNode_triggerNode_1",
        [llm()],
        {"content": "{{LLMNode_187.output.generatedResponse}}"},
        response="chatResponseNode",
    ),
    "searchResponseNode": lambda: Flow(
        "searchResponseNode",
        "responseNode_triggerNode_1",
        [llm()],
        {"results": "{{LLMNode_187.output.generatedResponse}}"},
        response="searchResponseNode",
    ),
    "askResponseNode": lambda: Flow(
        "askResponseNode",
        "responseNode_triggerNode_1",
        [llm()],
        {"answer": "{{LLMNode_187.output.generatedResponse}}"},
        response="askResponseNode",
    ),
    "LLMNode": lambda: Flow("LLMNode", "LLMNode_187", [llm()], {"text": "{{LLMNode_187.output.generatedResponse}}"}),
    "multiModalLLMNode": lambda: simple(
        "multiModalLLMNode",
        {
            "prompts": prompts(f"What is on it? {TEXT}"),
            "messages": "[]",
            "attachments": "{{triggerNode_1.output.topic}}",
            "generativeModelName": DEFAULT_MODEL,
        },
        ".generatedResponse",
    ),
    "InstructorLLMNode": lambda: simple(
        "InstructorLLMNode",
        {
            "prompts": prompts(TEXT, "Judge."),
            "schema": SCHEMA,
            "tools": [],
            "messages": "[]",
            "memories": "[]",
            "attachments": "",
            "generativeModelName": DEFAULT_MODEL,
        },
        ".title",
    ),
    "JSONAgent": lambda: simple(
        "JSONAgent",
        {"promptTemplate": TEXT, "systemPrompt": "Judge.", "schema": SCHEMA},
        ".score",
    ),
    "RAGNode": lambda: simple(
        "RAGNode",
        {
            "vectorDB": "Handbook",
            "queryField": TEXT,
            "systemPrompt": "From the passages only.",
            "limit": "3",
            "certainty": "",
            "filters": "[]",
            "messages": "[]",
            "embeddingModelName": EMBEDDER,
            "generativeModelName": DEFAULT_MODEL,
        },
        ".modelResponse",
    ),
    "agentClassifierNode": lambda: conditional(
        "agentClassifierNode",
        "classifier",
        [
            {
                "label": "Complaint",
                "value": "agentClassifierNode_374-addNode_871",
                "description": "somebody is unhappy",
            },
            {"label": "Praise", "value": "agentClassifierNode_374-addNode_908", "description": "somebody is happy"},
        ],
        prompts=prompts(f"Classify: {TEXT}", "You sort."),
        generativeModelName=DEFAULT_MODEL,
    ),
    "agentNode": supervisor,
    "mcpNode": lambda: simple(
        "mcpNode",
        {
            "promptTemplate": TEXT,
            "selectedTools": ["hub_repo_search"],
            "credentials": "MCP",
            "memories": "[]",
            "messages": "[]",
            "attachments": "",
        },
        ".generatedResponse",
    ),
    "ImageGenNode": lambda: simple("ImageGenNode", {"prompt": TEXT}, ".imageUrl"),
    "codeNode": lambda: Flow(
        "codeNode",
        "codeNode_310",
        [
            code(
                "codeNode_310",
                "// {{triggerNode_1.output.topic}} stays\nconst topic = {{triggerNode_1.output.topic}};\n"
                "const shown = `on {{triggerNode_1.output.topic}}`;\n"
                "output = { words: topic.split(' ').length, shown };",
            ),
        ],
        {"words": "{{codeNode_310.output.words}}"},
    ),
    "variablesNode": lambda: simple(
        "variablesNode",
        {
            "mapping": json.dumps(
                {
                    "language": {"type": "string", "value": "English"},
                    "top": {"type": "number", "value": "10"},
                    "about": {"type": "string", "value": TEXT},
                },
            ),
        },
        ".about",
    ),
    "apiNode": lambda: simple(
        "apiNode",
        {
            "url": f"https://api.example.com/users?q={TEXT}",
            "method": "POST",
            "headers": '{"Content-Type":"application/json","X-A":"b",'
            '"Authorization":"Bearer {{secrets.project.API_KEY}}"}',
            "body": json.dumps({"topic": TEXT}),
            "retries": "2",
            "retry_deplay": "1",
            "convertXmlResponseToJson": False,
        },
        ".name",
    ),
    "flowNode": lambda: simple(
        "flowNode",
        {
            "flowId": "8f4818e3-2d0e-4d10-b7c9-9727d92bbcee",
            "nodeName": "Execute Summarise",
            "requestInput": json.dumps({"topic": TEXT}),
        },
        ".flowOutput.summary",
    ),
    "waitNode": lambda: Flow(
        "waitNode",
        "waitNode_614",
        [Node("waitNode_614", "waitNode", {"seconds": 30}), llm(needs=["waitNode_614"])],
        {"text": "{{LLMNode_187.output.generatedResponse}}"},
    ),
    "endNode": lambda: Flow(
        "endNode",
        "endNode_1",
        [llm(), Node("endNode_1", "endNode", {}, ["LLMNode_187"])],
        {"text": "{{LLMNode_187.output.generatedResponse}}"},
    ),
    "addNode": lambda: Flow(
        "addNode",
        "plus-node-addNode_754941",
        [llm(), Node("plus-node-addNode_754941", "addNode", {}, ["LLMNode_187"])],
        {"text": "{{LLMNode_187.output.generatedResponse}}"},
    ),
    "stickyNoteNode": lambda: Flow(
        "stickyNoteNode",
        "stickyNoteNode_1",
        [
            llm(),
            Node(
                "stickyNoteNode_1",
                "stickyNoteNode",
                {"content": "# Start here\nAsk for a topic.", "color": "yellow"},
                [],
            ),
        ],
        {"text": "{{LLMNode_187.output.generatedResponse}}"},
    ),
    "conditionNode": lambda: conditional(
        "conditionNode",
        "conditions",
        [
            {
                "label": "Condition 1",
                "value": "conditionNode_374-addNode_871",
                "condition": when("{{triggerNode_1.output.topic}}", "ilike", "%refund%"),
            },
            {"label": "Else", "value": "conditionNode_374-addNode_908", "condition": {}},
        ],
        allowMultipleConditionExecution=False,
    ),
    "branchNode": lambda: conditional(
        "branchNode",
        "branches",
        [
            {"label": "Branch 1", "value": "branchNode_374-addNode_871"},
            {"label": "Branch 2", "value": "branchNode_374-addNode_908"},
        ],
    ),
    "forLoopNode": lambda: looped("forLoopNode", "forLoopEndNode", "loopOutput"),
    "batchNode": lambda: looped("batchNode", "batchEndNode", "batchOutput", concurrencyLimit="4"),
    "chunkNode": lambda: indexing("IndexNode", "chunkNode"),
    "vectorizeNode": lambda: indexing("IndexNode", "vectorizeNode"),
    "IndexNode": lambda: indexing("IndexNode"),
    "vectorNode": lambda: indexing("vectorNode", action="index", filters="", limit=20),
    "vectorNode (filter)": lambda: simple(
        "vectorNode",
        {"action": "filter", "vectorDB": "Handbook", "filters": json.dumps(OPERANDS)},
        ".data",
    ),
    "vectorNode (delete)": lambda: simple(
        "vectorNode",
        {"action": "delete", "vectorDB": "Handbook", "filters": json.dumps(OPERANDS)},
        ".deletedCount",
    ),
    "searchNode": lambda: simple(
        "searchNode",
        {
            "searchQuery": TEXT,
            "vectorDB": "Handbook",
            "limit": 5,
            "certainty": "0.7",
            "filters": json.dumps(OPERANDS),
            "embeddingModelName": EMBEDDER,
        },
        ".searchResults",
    ),
    "fullTextSearchNode": lambda: simple(
        "fullTextSearchNode",
        {"searchQuery": TEXT, "vectorDB": "Handbook", "limit": 0},
        ".searchResults",
    ),
    "hybridSearchNode": lambda: simple(
        "hybridSearchNode",
        {
            "searchQuery": f"about {TEXT}",
            "vectorDB": "Handbook",
            "alpha": "0.25",
            "fusionType": "relativeScoreFusion",
            "autocut": "0",
            "certainty": "",
            "limit": "3",
            "filters": "[]",
        },
        ".searchResults[0].text",
    ),
    "extractFromFileNode": lambda: simple(
        "extractFromFileNode",
        {
            "fileUrl": "{{triggerNode_1.output.document_url}}",
            "format": "pdf",
            "joinPages": True,
            "password": "",
            "delimiter": ",",
        },
        ".files[0].data[0]",
        trigger=api(document_url="string"),
    ),
    "memoryNode": lambda: simple(
        "memoryNode",
        {
            "uniqueId": "{{triggerNode_1.output.topic}}",
            "sessionId": "",
            "memoryCollection": "m",
            "memoryValue": [{"role": "user", "content": TEXT}],
            "embeddingModelName": EMBEDDER,
            "generativeModelName": {},
        },
        ".extractedFacts",
    ),
    "memoryRetrieveNode": lambda: simple(
        "memoryRetrieveNode",
        {
            "searchQuery": "likes",
            "limit": "3",
            "memoryCollection": "m",
            "filters": json.dumps(
                {"operator": "And", "operands": [{"path": ["uniqueId"], "operator": "Equal", "valueText": TEXT}]},
            ),
        },
        ".memories",
    ),
    **{
        type: partial(simple, type, {"action": "run", "query": TEXT}, "")
        for type in (
            "agenticDocExtractionNode",
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
        )
    },
    "scraperNode": lambda: simple(
        "scraperNode",
        {"url": TEXT, "waitFor": "123", "credentials": "KEY", "onlyMainContent": True, "excludeTags": ["nav"]},
        ".markdown",
    ),
    "firecrawlNode": lambda: simple(
        "firecrawlNode",
        {"mode": "syncBatchScrape", "urls": "{{triggerNode_1.output.items}}", "onlyMainContent": True, "limit": 10},
        ".data[0].markdown",
    ),
    "firecrawlNode (crawl)": lambda: simple("firecrawlNode", {"mode": "sync", "url": TEXT, "crawlDepth": "5"}, ".data"),
    "webSearchNode": lambda: simple(
        "webSearchNode",
        {"type": "https://google.serper.dev/search", "query": TEXT, "results": "5", "country": "in", "page": 1},
        ".output.organic",
    ),
    "googleDriveNode (trigger)": lambda: started(
        "googleDriveNode",
        {"syncMode": "incremental_append", "cronExpression": "0 0 00 1/1 * ? * UTC"},
        "{{triggerNode_1.output.document_key}}",
    ),
}
"""For every type of node a flow that has it, by its name, and by what it does where that decides."""
BESIDE = {"flowNode": called}
"""Flows that come with another."""


# ---- the four formats -----------------------------------------------------------------------------------------------


def _case(need: str | tuple[str, str]) -> tuple[str, str]:
    return (need, "") if isinstance(need, str) else need


def _response(flow: Flow) -> Values:
    return {
        "headers": '{"content-type":"application/json"}',
        "retries": "0",
        "webhookUrl": "",
        "retry_delay": "0",
        "nodeName": "Response",
        "outputMapping": json.dumps(flow.outputs, indent=2),
    }


def low_code(flow: Flow) -> dict[str, str]:
    """The YAML of Flow Config, with the aliases that its writer makes of values that stand twice."""
    branching = {
        "conditionNode": "conditionEdge",
        "agentClassifierNode": "agentClassifierEdge",
        "agentNode": "conditionEdge",
        "forLoopNode": "conditionEdge",
        "batchNode": "conditionEdge",
    }
    made = []
    for node in flow.nodes:
        values = {key: each for key, each in node.values.items() if key != "nodeName"}
        name = node.values.get("nodeName") or node.name
        shown: Values = {"nodeId": node.id, "nodeType": node.type, "nodeName": name, "values": values, "modes": {}}
        needs = [_case(need)[0] for need in node.needs]
        if node.id in flow.ends:
            needs.append(flow.ends[node.id])
        if node.id in flow.ends.values():
            needs.append(str(node.values["connectedTo"]))
        shown["needs"] = needs
        after = [(each, case) for each in flow.nodes for id, case in map(_case, each.needs) if id == node.id]
        if node.type in branching:
            key = {"conditionNode": "branches", "agentClassifierNode": "classifier"}.get(node.type, "connections")
            label = "label" if node.type == "agentClassifierNode" else "condition"
            shown[key] = [
                {label: case or "Loop Start", "value": each.id, "type": branching[node.type], "invisible": False}
                for each, case in after
            ]
            if node.id in flow.ends:
                kind = "agentLoopEdge" if node.type == "agentNode" else "loopEdge"
                shown[key].append({"condition": "Loop", "value": flow.ends[node.id], "type": kind, "invisible": True})
        shown["allConfigs"] = {"Config A": values}
        made.append(shown)
    data: Values = {
        "triggerNode": {
            "nodeId": flow.trigger.id,
            "nodeType": flow.trigger.type,
            "nodeName": flow.trigger.name,
            "values": flow.trigger.values,
            "modes": {},
            "allConfigs": {"Config A": flow.trigger.values},
        },
        "nodes": made,
    }
    if flow.outputs is not None:
        data["responseNode"] = {
            "nodeId": "responseNode_triggerNode_1",
            "nodeType": flow.response,
            "nodeName": "Response",
            "values": _response(flow),
            "needs": [flow.nodes[-1].id],
        }
    return {f"{_slug(flow.name)}.yaml": yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=80)}


CANVAS = {
    "forLoopNode",
    "forLoopEndNode",
    "batchNode",
    "batchEndNode",
    "agentNode",
    "agentLoopEndNode",
    "conditionNode",
    "branchNode",
    "addNode",
    "stickyNoteNode",
}


def canvas(flow: Flow) -> tuple[list[Values], list[Values]]:
    """`nodes` and `edges` as three of the formats have them."""
    nodes: list[Values] = [_canvas(flow.trigger, "triggerNode", trigger=True)]
    edges: list[Values] = []
    for node in flow.nodes:
        kind = (
            "agentClassifierNode"
            if node.type == "agentClassifierNode"
            else node.type
            if node.type in CANVAS
            else "dynamicNode"
        )
        nodes.append(_canvas(node, kind))
        for need in node.needs:
            source, case = _case(need)
            edges.append(_edge(flow, source, node.id, case))
    for start, end in flow.ends.items():
        kind = "agentLoopEdge" if start.startswith("agentNode") else "loopEdge"
        for source, target in ((start, end), (end, start)):
            edges.append(
                {
                    "id": f"{source}-{target}-306",
                    "type": kind,
                    "source": source,
                    "target": target,
                    "data": {"condition": "Loop", "invisible": True},
                    "sourceHandle": "bottom",
                    "targetHandle": "top",
                },
            )
    if flow.outputs is not None:
        answer = Node("responseNode_triggerNode_1", flow.response, _response(flow), [], "Response")
        nodes.append(_canvas(answer, "responseNode", isResponseNode=True))
        edges.append(_edge(flow, flow.nodes[-1].id, answer.id, ""))
        edges.append(
            {
                "id": "response-trigger_triggerNode_1",
                "type": "responseEdge",
                "source": "triggerNode_1",
                "target": answer.id,
                "sourceHandle": "to-response",
                "targetHandle": "from-trigger",
            },
        )
    return nodes, edges


def _canvas(node: Node, kind: str, **more: Any) -> Values:
    values = {**node.values, "id": node.id, "nodeName": node.values.get("nodeName") or node.name}
    return {
        "id": node.id,
        "type": kind,
        "position": {"x": 0, "y": 130},
        "measured": {"width": 216, "height": 93},
        "selected": False,
        "data": {"label": "New", "logic": [], "modes": {}, "nodeId": node.type, "values": values, **more},
    }


def _edge(flow: Flow, source: str, target: str, case: str) -> Values:
    types = {n.id: n.type for n in flow.nodes}
    kind = {
        "conditionNode": "conditionEdge",
        "branchNode": "branchEdge",
        "agentClassifierNode": "agentClassifierEdge",
        "forLoopNode": "conditionEdge",
        "batchNode": "conditionEdge",
        "agentNode": "conditionEdge",
    }.get(types.get(source, ""), "defaultEdge")
    made: Values = {
        "id": f"{source}-{target}",
        "type": kind,
        "source": source,
        "target": target,
        "sourceHandle": "bottom",
        "targetHandle": "top",
    }
    if kind != "defaultEdge":
        made["data"] = {"condition": case or "Loop Start", "invisible": False}
    return made


def agentkit(flow: Flow) -> dict[str, str]:
    """A kit: the flow as TypeScript, its prompts, scripts and models in files of their own."""
    name, files = _slug(flow.name), {}
    nodes, edges = canvas(flow)
    for node in nodes:
        values, base = node["data"]["values"], f"{name}_{node['id'].lower().replace('_', '-')}"
        for number, each in enumerate(values.get("prompts") or ()):
            path = f"prompts/{base}_{each['role']}_{number}.md"
            files[path] = each["content"]
            values["prompts"][number] = {**each, "content": f"@{path}"}
        if values.get("code"):
            files[f"scripts/{base}_code.ts"] = values["code"]
            values["code"] = f"@scripts/{base}_code.ts"
        if values.get("generativeModelName"):
            path = f"model-configs/{base}_generative-model-name.ts"
            files[path] = (
                "// Model config\nexport default "
                + json.dumps({"generativeModelName": values["generativeModelName"]}, indent=2)
                + ";\n"
            )
            values["generativeModelName"] = f"@{path}"
        if node["id"] == "triggerNode_1" and values.get("advance_schema"):
            path = f"triggers/webhooks/{name}_api-request.ts"
            both = {key: values[key] for key in ("responeType", "advance_schema")}
            files[path] = f"export default {json.dumps(both, indent=2)};\n"
            values.update(dict.fromkeys(both, f"@{path}"))
    meta: Values = {
        "name": flow.name,
        "description": "",
        "tags": [],
        "testInput": None,
        "author": {"name": "", "email": ""},
    }
    parts = {
        "meta": meta,
        "inputs": {},
        "references": {"constitutions": {"default": "@constitutions/default.md"}},
        "nodes": nodes,
        "edges": edges,
    }
    text = "".join(
        f"// -- {key} --\nexport const {key} = {json.dumps(each, indent=2)};\n\n" for key, each in parts.items()
    )
    files[f"flows/{name}.ts"] = (
        f"// Flow: {name}\n\n{text}export default {{ meta, inputs, references, nodes, edges }};\n"
    )
    files["lamatic.config.ts"] = (
        f"export default {{\n  name: {json.dumps(flow.name)},\n  version: '1.0.0',\n  type: 'kit' as const,\n"
        f"  tags: ['a'],\n  steps: [{{ id: '{name}', type: 'mandatory' as const, envKey: 'FLOW_ID' }}],\n}};\n"
    )
    files["constitutions/default.md"] = "Be kind.\n"
    files["agent.md"] = f"# {flow.name}\n"
    return files


def github(flow: Flow) -> dict[str, str]:
    """What is synced into a repository."""
    nodes, edges = canvas(flow)
    config = {
        "id": flow.id,
        "name": flow.name,
        "edges": edges,
        "status": "active",
        "created_at": "2026-07-09T04:48:43.446675+00:00",
        "trigger_id": None,
        "nodes": nodes,
    }
    text = (
        f"const flowConfig = {json.dumps(config, indent=2)};\n\n"
        "export async function getNodesAndEdges(): Promise<{\n"
        "  nodes: Record<string, any>[];\n  edges: Record<string, any>[];\n}> {\n"
        "  return {\n    nodes: flowConfig.nodes,\n    edges: flowConfig.edges,\n  };\n}\n\n"
        "export async function getFlowConfig(): Promise<Record<string, any>> {\n  return flowConfig;\n}\n"
    )
    project = {"id": "p1", "name": "Project", "created_by": "u1", "created_at": "2026-01-01", "live_domain": ""}
    return {
        f"lamatic/flows/{flow.name.title().replace(' ', '')}.ts": text,
        "lamatic/project.json": json.dumps(project),
        ".github/workflows/lamatic-update.yml": "name: Lamatic\non: push\n",
    }


def management(flow: Flow) -> dict[str, str]:
    """The body of the management API."""
    nodes, edges = canvas(flow)
    return {f"{_slug(flow.name)}.json": json.dumps({"name": flow.name, "nodes": nodes, "edges": edges}, indent=2)}


FORMATS: Mapping[str, Callable[[Flow], dict[str, str]]] = {
    "lamatic-yaml": low_code,
    "agentkit": agentkit,
    "github-sync": github,
    "api": management,
}


def flows(name: str) -> Iterator[Flow]:
    """The flow of a type of node, and those that come with it."""
    yield FLOWS[name]()
    if name in BESIDE:
        yield BESIDE[name]()


def _slug(name: str) -> str:
    return "".join(each if each.isalnum() else "-" for each in name.lower()).strip("-")
