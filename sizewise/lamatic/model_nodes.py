"""Translations of Lamatic's model nodes: text, JSON, multimodal, classifier, supervisor and MCP nodes."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sizewise.flows.language.types import Json
from sizewise.lamatic.canvas import CanvasNode
from sizewise.lamatic.template_parser import TranslationError
from sizewise.lamatic.translator import NodeOutputs, NodeTranslation, TranslatedNode, Translator, escape_template
from sizewise.lamatic.typescript_literals import NonLiteral

USAGE_FIELDS: Mapping[str, str] = {"_meta": "Token counts and costs are in the run's record."}
SIZEWISE_CREDENTIAL = "sizewise"
"""Credential name that our exporter writes; its models keep their names on import."""
_PARAMETERS: Mapping[str, str] = {"temperature": "temperature", "max_tokens": "max_tokens", "maxTokens": "max_tokens",
               "max_completion_tokens": "max_tokens"}  # fmt: skip


def model_parameters(translator: Translator, node: CanvasNode) -> dict[str, Json]:
    """`model` and sampling parameters of a node; adds notes for what changes."""
    made: dict[str, Json] = {"model": "auto"}
    said = node.values.get("generativeModelName")
    configs = [each for each in (said if isinstance(said, list) else [said]) if isinstance(each, Mapping) and each]
    if isinstance(said, NonLiteral):
        translator.add_note(
            f"its model could not be read ({said.description})",
            "`model: auto` selects a model; set PROVIDER/MODEL to use a fixed one.",
        )
    elif isinstance(said, str) and said.strip() and said != "default":
        translator.add_note("it names no known model", "`model: auto` selects one.")
    if not configs:
        return made
    first = configs[0]
    name = str(first.get("model_name") or "")
    if first.get("credential_name") == SIZEWISE_CREDENTIAL and name:
        made["model"] = name
    elif name and name != "default":
        translator.add_note(
            f"it used {name[:80]} of {str(first.get('provider_name') or 'somebody')[:40]}",
            "`model: auto` selects the smallest model that is good enough; set PROVIDER/MODEL to use a fixed one.",
        )
    parameters = first.get("params")
    for theirs, value in parameters.items() if isinstance(parameters, Mapping) else ():
        ours = _PARAMETERS.get(theirs)
        if ours == "temperature" and isinstance(value, (int, float)) and not isinstance(value, bool):
            made[ours] = min(2, max(0, value))
        elif ours == "max_tokens" and isinstance(value, int) and value > 0:
            made[ours] = value
        elif value not in (None, "", [], {}):
            translator.add_note(
                f"the model parameter {str(theirs)[:40]} is not imported",
                "A policy sets how models are called.",
            )
    if len(configs) > 1 or node.values.get("modelLogic"):
        translator.add_note(
            "it had several models, or rules to choose between them", "Use a policy instead: model: auto:POLICY."
        )
    return made


def prompt_parameters(translator: Translator, node: CanvasNode) -> dict[str, Json]:
    """`system`, `messages` and `prompt` of a node. Raises TranslationError if it has no prompt."""
    values = node.values
    system: list[str] = []
    turns: list[dict[str, Json]] = []
    prompts = translator.parse_data(values.get("prompts"), "prompts") or []
    if not isinstance(prompts, list):
        raise TranslationError("`prompts` is not a list", "List them, each with its role and content.")
    for each in prompts:
        if isinstance(each, NonLiteral) or not isinstance(each, Mapping):
            raise TranslationError("a prompt is not a literal", "Write the text out.")
        role, content = str(each.get("role") or "user"), translator.translate_text(each.get("content"), "prompts")
        if role == "system":
            system.append(content)
        else:
            turns.append({"role": "assistant" if role == "assistant" else "user", "content": content})
    if not prompts:
        if values.get("systemPrompt"):
            system.append(translator.translate_text(values["systemPrompt"], "systemPrompt"))
        if values.get("promptTemplate"):
            turns.append(
                {"role": "user", "content": translator.translate_text(values["promptTemplate"], "promptTemplate")},
            )
    if memories := _optional_text(translator, values.get("memories"), "memories"):
        system.append(f"What is remembered:\n{memories}")
    history = _message_history(translator, values.get("messages"))
    made: dict[str, Json] = {"system": "\n\n".join(system)} if any(system) else {}
    prompt = turns.pop()["content"] if turns and turns[-1]["role"] == "user" else None
    if isinstance(history, str) and turns:
        raise TranslationError(
            "the node has both a given conversation and its own turns",
            "Move the turns to its system prompt.",
        )
    if turns or history:
        made["messages"] = history if isinstance(history, str) else [*(history or ()), *turns]
    if prompt is not None:
        made["prompt"] = prompt
    elif not made.get("messages"):
        if not made.get("system"):
            raise TranslationError("the node has no prompt", "Write a prompt.")
        made["prompt"] = made.pop("system")  # a lone system prompt is the question
    return made


def _optional_text(translator: Translator, said: object, what: str) -> str:
    return "" if said in (None, "", "[]", "{}", [], {}) else translator.translate_text(said, what)


def _message_history(translator: Translator, said: object) -> Json:
    """A template, a list of turns, or None."""
    if said in (None, "", "[]", [], {}):
        return None
    if isinstance(said, str) and said.strip().startswith("{{") and said.strip().endswith("}}"):
        made = translator.translate_value(said.strip(), "messages")
        if made.count("{{") == 1:
            return made
    try:
        found = translator.parse_data(said, "messages")
    except TranslationError:
        found = None
    if isinstance(found, list) and all(isinstance(each, Mapping) for each in found):
        return [
            {
                "role": "assistant" if str(each.get("role")) == "assistant" else "user",
                "content": translator.translate_text(each.get("content"), "messages"),
            }
            for each in found
        ]
    if isinstance(said, str):
        translator.add_note(
            "its `messages` are not a conversation, and were put before the prompt", "Check the result."
        )
        return [{"role": "user", "content": translator.translate_text(said, "messages")}]
    raise TranslationError("`messages` is not a conversation", "Use a list of turns, each with its role and content.")


# ---- text and JSON --------------------------------------------------------------------------------------------------


def _text_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    id = translator.node_name(node.id)
    gone = {
        **USAGE_FIELDS,
        "images": "An `ask` node returns text only.",
        "tool_calls": "Use an agent node, which calls tools itself.",
    }
    return NodeOutputs(
        "",
        {"generatedResponse": f"{id}.text"},
        text_fields=frozenset({"generatedResponse"}),
        unavailable=gone,
    )


def _translate_text(translator: Translator, node: CanvasNode) -> TranslatedNode:
    tools = translator.parse_data(node.values.get("tools"), "tools") or []
    parameters, words = model_parameters(translator, node), prompt_parameters(translator, node)
    pictures = _optional_text(translator, node.values.get("attachments"), "attachments")
    if tools:
        return _with_tools(translator, node, tools, parameters, words)
    if pictures:
        _attach_images(translator, words, pictures)
    return TranslatedNode({translator.node_name(node.id): {"kind": "ask", **parameters, **words}})


def _with_tools(
    translator: Translator,
    node: CanvasNode,
    tools: Json,
    parameters: dict[str, Json],
    words: dict[str, Json],
) -> TranslatedNode:
    names = [_tool_name(each) for each in tools] if isinstance(tools, list) else []
    if not names or not all(names):
        raise TranslationError(
            "the names of its tools are unknown",
            "Declare the tools ([mcp.NAME]) and use an agent node.",
        )
    if "messages" in words:
        raise TranslationError(
            "tools and a conversation cannot be combined in one node", "Move the conversation to an agent's task."
        )
    translator.add_note(
        f"its tools must exist: {', '.join(names)[:120]}",
        "Declare their server in [mcp.NAME] of sizewise.toml.",
    )
    for each in parameters.keys() - {"model"}:
        translator.add_note(f"its {each} is not imported", "A policy sets how agents call models.")
    made: dict[str, Json] = {"kind": "agent", "task": words["prompt"], "model": parameters["model"], "tools": names}
    if "system" in words:
        made["system"] = words["system"]
    return TranslatedNode({translator.node_name(node.id): made})


def _tool_name(tool: Json) -> str:
    if isinstance(tool, Mapping):
        tool = tool.get("name") or tool.get("toolName") or tool.get("function", {})
        tool = tool.get("name") if isinstance(tool, Mapping) else tool
    return escape_template(tool[:100]) if isinstance(tool, str) else ""


def _attach_images(translator: Translator, words: dict[str, Json], pictures: str) -> None:
    """Turns the prompt into a message with an image part."""
    translator.add_note("its attachments are sent as images", "Each must be an image URL or a data: URL.")
    parts = [{"type": "text", "text": words.pop("prompt", "")}, {"type": "image_url", "image_url": {"url": pictures}}]
    earlier = words.get("messages", [])
    if isinstance(earlier, str):
        raise TranslationError(
            "images and a given conversation cannot be combined", "Put the image into the conversation."
        )
    words["messages"] = [*earlier, {"role": "user", "content": parts}]


def output_schema(translator: Translator, node: CanvasNode) -> dict[str, Json]:
    """The JSON Schema of a node's answer. Raises TranslationError."""
    found = translator.parse_data(node.values.get("schema"), "schema")
    if not isinstance(found, dict) or not found:
        raise TranslationError("the node has no schema", "Write the JSON Schema of the answer.")
    made: dict[str, Json] = normalize_schema(
        found if "type" in found or "properties" in found else {"properties": found},
    )
    return made


def normalize_schema(schema: Json) -> Json:
    """Standard JSON Schema: moves `required: true` from a field to its object, and renames types such as `int`."""
    if isinstance(schema, str):
        return {"type": _TYPES.get(schema, "string")}
    if not isinstance(schema, dict):
        return {}
    made = {name: each for name, each in schema.items() if name != "required" and not isinstance(each, NonLiteral)}
    if isinstance(made.get("type"), str):
        made["type"] = _TYPES.get(made["type"], made["type"])
    fields = schema.get("properties")
    if isinstance(fields, dict):
        made["type"] = "object"
        made["properties"] = {str(name): normalize_schema(each) for name, each in fields.items()}
        wanted = [name for name, each in fields.items() if isinstance(each, dict) and each.get("required") is True]
        listed = schema.get("required")
        listed = [each for each in listed if each in fields] if isinstance(listed, list) else wanted
        if listed:
            made["required"] = listed
    if isinstance(schema.get("items"), (dict, str)):
        made["items"] = normalize_schema(schema["items"])
    return made


_TYPES: Mapping[str, str] = {
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "text": "string",
    "list": "array",
    "json": "object",
}


def _json_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    return NodeOutputs(
        translator.node_name(node.id),
        passthrough=True,
        unavailable={**USAGE_FIELDS, "tool_calls": "Use an agent node, which calls tools itself."},
    )


def _translate_json(translator: Translator, node: CanvasNode) -> TranslatedNode:
    if translator.parse_data(node.values.get("tools"), "tools"):
        translator.add_note("its tools are not imported", "Put an agent node before it.")
    words = prompt_parameters(translator, node)
    if pictures := _optional_text(translator, node.values.get("attachments"), "attachments"):
        _attach_images(translator, words, pictures)
    return TranslatedNode(
        {
            translator.node_name(node.id): {
                "kind": "json",
                **model_parameters(translator, node),
                **words,
                "schema": output_schema(translator, node),
            },
        },
    )


# ---- classifier and supervisor --------------------------------------------------------------------------------------


def _classifier_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    id = translator.node_name(node.id)
    fields = {"class": f"{id}.label", "condition": f"{id}.label"}
    return NodeOutputs("", fields, text_fields=frozenset(fields), unavailable=USAGE_FIELDS)


def _translate_classifier(translator: Translator, node: CanvasNode) -> TranslatedNode:
    listed = translator.parse_data(node.values.get("classifier"), "classifier") or []
    labels = {
        str(each["label"])[:100].replace("{{", "{ {"): escape_template(str(each.get("description") or ""))
        for each in listed
        if isinstance(each, Mapping) and each.get("label")
    }
    if len(labels) < 2:
        raise TranslationError("the classifier has fewer than two classes", "Add classes.")
    words = prompt_parameters(translator, node)
    if isinstance(words.get("messages"), (str, list)):
        raise TranslationError("a classifier cannot have a conversation", "Put the text to classify into its prompt.")
    id, way = translator.node_name(node.id), translator.unique_name(f"{translator.node_name(node.id)}_way")
    parameters = model_parameters(translator, node)
    if parameters["model"] == "auto":
        del parameters["model"]
    shown: Json = labels if any(labels.values()) else list(labels)
    chosen: dict[str, Json] = {"kind": "classify", **parameters, "text": words["prompt"], "labels": shown}
    if "system" in words:
        chosen["system"] = words["system"]
    branch = {"kind": "branch", "value": "{{ " + id + ".label }}", "cases": list(labels)}
    return TranslatedNode({id: chosen, way: branch}, {label: (way, label) for label in labels})


def _translate_mcp(translator: Translator, node: CanvasNode) -> TranslatedNode:
    tools = translator.parse_data(node.values.get("selectedTools"), "selectedTools") or []
    words = prompt_parameters(translator, node)
    return _with_tools(translator, node, tools, model_parameters(translator, node), words)


SUPERVISOR_PROMPT = "\n".join(
    (
        "You lead the agents below. Say which one goes next and what it is given, or say done.",
        "",
        "Agents:",
        "{agents}",
        "",
        "Until now:",
    ),
)
SUPERVISOR_DONE = "done"


def translate_supervisor(
    translator: Translator,
    node: CanvasNode,
    paths: Mapping[str, str],
    inner: dict[str, dict[str, Json]],
) -> TranslatedNode:
    """A supervisor as a loop: a json node chooses an agent, a branch runs its path, a template collects the results.

    `paths`: agent -> expression for the result of its path; `inner`: the nodes of all paths, by id.
    """
    names = list(paths)
    id, decides, way, heard = (translator.node_name(node.id), *(supervisor_node_names(translator, node)))
    words = prompt_parameters(translator, node)
    if "messages" in words:
        raise TranslationError(
            "a supervisor cannot have a conversation", "Put what the supervisor needs into its prompts."
        )
    told = "\n".join(f"- {name}: {about}" for name, (about, _) in supervisor_agents(translator, node).items())
    system = "\n\n".join(filter(None, (words.get("system", ""), SUPERVISOR_PROMPT.replace("{agents}", told))))
    schema = {
        "type": "object",
        "properties": {
            "next": {"type": "string", "enum": [*names, SUPERVISOR_DONE]},
            "arguments": {"type": "object"},
            "answer": {"type": "string"},
        },
        "required": ["next", "arguments", "answer"],
    }
    schema["properties"]["arguments"] = {  # type: ignore[index]  # the arguments of all agents in one object
        "type": "object",
        "properties": {
            name: each for _, fields in supervisor_agents(translator, node).values() for name, each in fields.items()
        },
    }
    results = {name: "{{ " + f"{end} or loop[{json.dumps(name)}]" + " }}" for name, end in paths.items()}
    said_now = "\n".join("{{ " + f'{end} | default("")' + " }}" for end in paths.values())
    nodes = {
        decides: {"kind": "json", **model_parameters(translator, node), "system": system,
                  "prompt": words["prompt"] + "\n\n{{ loop.heard }}", "schema": schema},
        way: {"kind": "branch", "value": "{{ " + decides + ".next }}", "cases": names},
        **inner,
        heard: {"kind": "template", "text": "{{ loop.heard }}\n{{ " + decides + ".next }}:\n" + said_now},
    }  # fmt: skip
    times = node.values.get("maxIterations")
    loop = {
        "kind": "loop",
        "times": times if isinstance(times, int) and 1 <= times <= 100 else 5,
        "until": "{{ loop.next == " + json.dumps(SUPERVISOR_DONE) + " }}",
        "start": {"heard": "", "next": "", "answer": "", **dict.fromkeys(names)},
        "nodes": nodes,
        "outputs": {
            "heard": "{{ " + heard + ".text }}",
            "next": "{{ " + decides + ".next }}",
            "answer": "{{ " + decides + ".answer }}",
            **results,
        },
    }
    translator.add_note(
        "its loop is written out: a json node decides which agent runs next", "Review the imported nodes."
    )
    if node.values.get("stopWord"):
        translator.add_note("its stop word is not imported", "The supervisor ends with `done`.")
    return TranslatedNode({id: loop})


def supervisor_node_names(translator: Translator, node: CanvasNode) -> tuple[str, str, str]:
    """Names of the nodes that decide, branch and collect; the same at each call."""
    found = translator.combined_names.get(f"{node.id}\0")
    if found is None:
        id = translator.node_name(node.id)
        found = " ".join(translator.unique_name(f"{id}_{each}") for each in ("decides", "way", "heard"))
        translator.combined_names[f"{node.id}\0"] = found
    decides, way, heard = found.split(" ")
    return decides, way, heard


def supervisor_agents(translator: Translator, node: CanvasNode) -> dict[str, tuple[str, dict[str, Json]]]:
    """Agent -> (description, schemas of its arguments)."""
    made: dict[str, tuple[str, dict[str, Json]]] = {}
    for each in translator.parse_data(node.values.get("agents"), "agents") or []:
        if isinstance(each, Mapping) and each.get("name"):
            schema = translator.parse_data(each.get("schema"), "schema")
            fields = schema.get("properties", schema) if isinstance(schema, dict) else {}
            fields = (
                {name: normalize_schema(field) for name, field in fields.items()} if isinstance(fields, dict) else {}
            )
            made[str(each["name"])[:60].replace("{{", "{ {")] = (
                escape_template(str(each.get("description") or "")),
                fields,
            )
    return made


MODEL_NODES: Mapping[str, NodeTranslation] = {
    "LLMNode": NodeTranslation("`ask`; with tools, `agent`", _text_outputs, _translate_text),
    "multiModalLLMNode": NodeTranslation("`ask` with images", _text_outputs, _translate_text),
    "InstructorLLMNode": NodeTranslation("`json`", _json_outputs, _translate_json),
    "JSONAgent": NodeTranslation("`json`", _json_outputs, _translate_json),
    "agentClassifierNode": NodeTranslation("`classify` and `branch`", _classifier_outputs, _translate_classifier),
    "mcpNode": NodeTranslation("`agent`", _text_outputs, _translate_mcp),
}
