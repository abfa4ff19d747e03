"""Lamatic's nodes that ask a model, as nodes of ours: text, JSON, pictures, classifiers, supervisors, MCP; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sizewise.flows.language.types import Json
from sizewise.lamatic.canvas import Box
from sizewise.lamatic.template_parser import Unsayable
from sizewise.lamatic.translator import Bench, Made, Shape, Sort, plain
from sizewise.lamatic.typescript_literals import Unread

META: Mapping[str, str] = {"_meta": "Counts and costs of a question are in its run's record."}
OURS = "sizewise"
"""The credential of a model that our export wrote: its name is ours already."""
_PARAMETERS: Mapping[str, str] = {"temperature": "temperature", "max_tokens": "max_tokens", "maxTokens": "max_tokens",
               "max_completion_tokens": "max_tokens"}  # fmt: skip


def asked(bench: Bench, box: Box) -> dict[str, Json]:
    """`model`, and how it is asked, of a node that names models; what it named is noted."""
    made: dict[str, Json] = {"model": "auto"}
    said = box.values.get("generativeModelName")
    configs = [each for each in (said if isinstance(said, list) else [said]) if isinstance(each, Mapping) and each]
    if isinstance(said, Unread):
        bench.note(f"its model was not read ({said.what})", "`model: auto` chooses one; write another name to hold on.")
    elif isinstance(said, str) and said.strip() and said != "default":
        bench.note("it names no model that we know", "`model: auto` chooses one.")
    if not configs:
        return made
    first = configs[0]
    name = str(first.get("model_name") or "")
    if first.get("credential_name") == OURS and name:
        made["model"] = name
    elif name and name != "default":
        bench.note(
            f"it asked {name[:80]} of {str(first.get('provider_name') or 'somebody')[:40]}",
            "`model: auto` chooses the smallest that is good enough; write PROVIDER/MODEL to hold on to one.",
        )
    parameters = first.get("params")
    for theirs, value in parameters.items() if isinstance(parameters, Mapping) else ():
        ours = _PARAMETERS.get(theirs)
        if ours == "temperature" and isinstance(value, (int, float)) and not isinstance(value, bool):
            made[ours] = min(2, max(0, value))
        elif ours == "max_tokens" and isinstance(value, int) and value > 0:
            made[ours] = value
        elif value not in (None, "", [], {}):
            bench.note(f"its model's {str(theirs)[:40]} has nothing here", "A policy says how models are asked.")
    if len(configs) > 1 or box.values.get("modelLogic"):
        bench.note("it had several models, or a logic between them", "A policy does that: model: auto:POLICY.")
    return made


def said(bench: Bench, box: Box) -> dict[str, Json]:
    """`system`, `messages` and `prompt` of its prompts. Raises Unsayable where it asks nothing."""
    values = box.values
    system: list[str] = []
    turns: list[dict[str, Json]] = []
    prompts = bench.data(values.get("prompts"), "prompts") or []
    if not isinstance(prompts, list):
        raise Unsayable("`prompts` is no list", "List them, each with its role and content.")
    for each in prompts:
        if isinstance(each, Unread) or not isinstance(each, Mapping):
            raise Unsayable("a prompt is no literal", "Write its text out.")
        role, content = str(each.get("role") or "user"), bench.text(each.get("content"), "prompts")
        if role == "system":
            system.append(content)
        else:
            turns.append({"role": "assistant" if role == "assistant" else "user", "content": content})
    if not prompts:
        if values.get("systemPrompt"):
            system.append(bench.text(values["systemPrompt"], "systemPrompt"))
        if values.get("promptTemplate"):
            turns.append({"role": "user", "content": bench.text(values["promptTemplate"], "promptTemplate")})
    if memories := _extra(bench, values.get("memories"), "memories"):
        system.append(f"What is remembered:\n{memories}")
    history = _history(bench, values.get("messages"))
    made: dict[str, Json] = {"system": "\n\n".join(system)} if any(system) else {}
    prompt = turns.pop()["content"] if turns and turns[-1]["role"] == "user" else None
    if isinstance(history, str) and turns:
        raise Unsayable("a conversation that is given, and turns of its own", "Put the turns into its system prompt.")
    if turns or history:
        made["messages"] = history if isinstance(history, str) else [*(history or ()), *turns]
    if prompt is not None:
        made["prompt"] = prompt
    elif not made.get("messages"):
        if not made.get("system"):
            raise Unsayable("it has no prompt", "Write one.")
        made["prompt"] = made.pop("system")  # a system prompt alone is what is asked
    return made


def _extra(bench: Bench, said: object, what: str) -> str:
    return "" if said in (None, "", "[]", "{}", [], {}) else bench.text(said, what)


def _history(bench: Bench, said: object) -> Json:
    """A template, or a list of turns."""
    if said in (None, "", "[]", [], {}):
        return None
    if isinstance(said, str) and said.strip().startswith("{{") and said.strip().endswith("}}"):
        made = bench.value(said.strip(), "messages")
        if made.count("{{") == 1:
            return made
    try:
        found = bench.data(said, "messages")
    except Unsayable:
        found = None
    if isinstance(found, list) and all(isinstance(each, Mapping) for each in found):
        return [
            {
                "role": "assistant" if str(each.get("role")) == "assistant" else "user",
                "content": bench.text(each.get("content"), "messages"),
            }
            for each in found
        ]
    if isinstance(said, str):
        bench.note("its `messages` are no conversation, and stand before its prompt", "See that they fit.")
        return [{"role": "user", "content": bench.text(said, "messages")}]
    raise Unsayable("`messages` is no conversation", "Give a list of turns, each with its role and content.")


# ---- text and JSON --------------------------------------------------------------------------------------------------


def _text_shape(bench: Bench, box: Box) -> Shape:
    id = bench.name(box.id)
    gone = {**META, "images": "It gives words only.", "tool_calls": "An agent node calls tools itself."}
    return Shape("", {"generatedResponse": f"{id}.text"}, texts=frozenset({"generatedResponse"}), gone=gone)


def _ask(bench: Bench, box: Box) -> Made:
    tools = bench.data(box.values.get("tools"), "tools") or []
    parameters, words = asked(bench, box), said(bench, box)
    pictures = _extra(bench, box.values.get("attachments"), "attachments")
    if tools:
        return _with_tools(bench, box, tools, parameters, words)
    if pictures:
        _show(bench, words, pictures)
    return Made({bench.name(box.id): {"kind": "ask", **parameters, **words}})


def _with_tools(bench: Bench, box: Box, tools: Json, parameters: dict[str, Json], words: dict[str, Json]) -> Made:
    names = [_tool_name(each) for each in tools] if isinstance(tools, list) else []
    if not names or not all(names):
        raise Unsayable("its tools are none that we could name", "Declare them ([mcp.NAME]) and take an agent node.")
    if "messages" in words:
        raise Unsayable("tools and a conversation in one node", "Put the conversation into an agent's task.")
    bench.note(f"its tools ({', '.join(names)[:120]}) must be there", "Declare them: [mcp.NAME] in sizewise.toml.")
    for each in parameters.keys() - {"model"}:
        bench.note(f"its {each} has nothing here", "An agent asks as its policy says.")
    made: dict[str, Json] = {"kind": "agent", "task": words["prompt"], "model": parameters["model"], "tools": names}
    if "system" in words:
        made["system"] = words["system"]
    return Made({bench.name(box.id): made})


def _tool_name(tool: Json) -> str:
    if isinstance(tool, Mapping):
        tool = tool.get("name") or tool.get("toolName") or tool.get("function", {})
        tool = tool.get("name") if isinstance(tool, Mapping) else tool
    return plain(tool[:100]) if isinstance(tool, str) else ""


def _show(bench: Bench, words: dict[str, Json], pictures: str) -> None:
    """Puts pictures beside the prompt."""
    bench.note("its attachments are sent as pictures", "Each is the address of one, or a data: URL.")
    parts = [{"type": "text", "text": words.pop("prompt", "")}, {"type": "image_url", "image_url": {"url": pictures}}]
    earlier = words.get("messages", [])
    if isinstance(earlier, str):
        raise Unsayable("pictures, and a conversation that is given", "Put the picture into the conversation.")
    words["messages"] = [*earlier, {"role": "user", "content": parts}]


def schema_of(bench: Bench, box: Box) -> dict[str, Json]:
    """The JSON Schema of what it gives. Raises Unsayable."""
    found = bench.data(box.values.get("schema"), "schema")
    if not isinstance(found, dict) or not found:
        raise Unsayable("it has no schema", "Write the JSON Schema of its answer.")
    made: dict[str, Json] = tidy(found if "type" in found or "properties" in found else {"properties": found})
    return made


def tidy(schema: Json) -> Json:
    """The same as JSON Schema has it: `required: true` of a field goes to its object, `int` is an integer."""
    if isinstance(schema, str):
        return {"type": _TYPES.get(schema, "string")}
    if not isinstance(schema, dict):
        return {}
    made = {name: each for name, each in schema.items() if name != "required" and not isinstance(each, Unread)}
    if isinstance(made.get("type"), str):
        made["type"] = _TYPES.get(made["type"], made["type"])
    fields = schema.get("properties")
    if isinstance(fields, dict):
        made["type"] = "object"
        made["properties"] = {str(name): tidy(each) for name, each in fields.items()}
        wanted = [name for name, each in fields.items() if isinstance(each, dict) and each.get("required") is True]
        listed = schema.get("required")
        listed = [each for each in listed if each in fields] if isinstance(listed, list) else wanted
        if listed:
            made["required"] = listed
    if isinstance(schema.get("items"), (dict, str)):
        made["items"] = tidy(schema["items"])
    return made


_TYPES: Mapping[str, str] = {
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "text": "string",
    "list": "array",
    "json": "object",
}


def _json_shape(bench: Bench, box: Box) -> Shape:
    return Shape(bench.name(box.id), open=True, gone={**META, "tool_calls": "An agent node calls tools itself."})


def _json(bench: Bench, box: Box) -> Made:
    if bench.data(box.values.get("tools"), "tools"):
        bench.note("its tools are left out", "Take an agent node before it.")
    words = said(bench, box)
    if pictures := _extra(bench, box.values.get("attachments"), "attachments"):
        _show(bench, words, pictures)
    return Made({bench.name(box.id): {"kind": "json", **asked(bench, box), **words, "schema": schema_of(bench, box)}})


# ---- classifier and supervisor --------------------------------------------------------------------------------------


def _class_shape(bench: Bench, box: Box) -> Shape:
    id = bench.name(box.id)
    fields = {"class": f"{id}.label", "condition": f"{id}.label"}
    return Shape("", fields, texts=frozenset(fields), gone=META)


def _classify(bench: Bench, box: Box) -> Made:
    listed = bench.data(box.values.get("classifier"), "classifier") or []
    labels = {
        str(each["label"])[:100].replace("{{", "{ {"): plain(str(each.get("description") or ""))
        for each in listed
        if isinstance(each, Mapping) and each.get("label")
    }
    if len(labels) < 2:
        raise Unsayable("it has fewer than two classes", "Give it two or more.")
    words = said(bench, box)
    if isinstance(words.get("messages"), (str, list)):
        raise Unsayable("a classifier with a conversation", "Put what it looks at into its prompt.")
    id, way = bench.name(box.id), bench.fresh(f"{bench.name(box.id)}_way")
    parameters = asked(bench, box)
    if parameters["model"] == "auto":
        del parameters["model"]
    shown: Json = labels if any(labels.values()) else list(labels)
    chosen: dict[str, Json] = {"kind": "classify", **parameters, "text": words["prompt"], "labels": shown}
    if "system" in words:
        chosen["system"] = words["system"]
    branch = {"kind": "branch", "value": "{{ " + id + ".label }}", "cases": list(labels)}
    return Made({id: chosen, way: branch}, {label: (way, label) for label in labels})


def _mcp(bench: Bench, box: Box) -> Made:
    tools = bench.data(box.values.get("selectedTools"), "selectedTools") or []
    words = said(bench, box)
    return _with_tools(bench, box, tools, asked(bench, box), words)


DECIDES = "\n".join(
    (
        "You lead the agents below. Say which one goes next and what it is given, or say done.",
        "",
        "Agents:",
        "{agents}",
        "",
        "Until now:",
    )
)
DONE = "done"


def supervised(bench: Bench, box: Box, paths: Mapping[str, str], inner: dict[str, dict[str, Json]]) -> Made:
    """A supervisor with what its paths hold, as a loop that decides, goes one way, and remembers.

    `paths`: for each agent the node of ours that ends its path; `inner`: the nodes of all paths, by id.
    """
    names = list(paths)
    id, decides, way, heard = (bench.name(box.id), *(supervisor_names(bench, box)))
    words = said(bench, box)
    if "messages" in words:
        raise Unsayable("a supervisor with a conversation", "Put what it needs to know into its prompts.")
    told = "\n".join(f"- {name}: {about}" for name, (about, _) in agents(bench, box).items())
    system = "\n\n".join(filter(None, (words.get("system", ""), DECIDES.replace("{agents}", told))))
    schema = {
        "type": "object",
        "properties": {
            "next": {"type": "string", "enum": [*names, DONE]},
            "arguments": {"type": "object"},
            "answer": {"type": "string"},
        },
        "required": ["next", "arguments", "answer"],
    }
    schema["properties"]["arguments"] = {  # type: ignore[index]  # what every agent takes, in one
        "type": "object",
        "properties": {name: each for _, fields in agents(bench, box).values() for name, each in fields.items()},
    }
    results = {name: "{{ " + f"{end} or loop[{json.dumps(name)}]" + " }}" for name, end in paths.items()}
    said_now = "\n".join("{{ " + f'{end} | default("")' + " }}" for end in paths.values())
    nodes = {
        decides: {"kind": "json", **asked(bench, box), "system": system,
                  "prompt": words["prompt"] + "\n\n{{ loop.heard }}", "schema": schema},
        way: {"kind": "branch", "value": "{{ " + decides + ".next }}", "cases": names},
        **inner,
        heard: {"kind": "template", "text": "{{ loop.heard }}\n{{ " + decides + ".next }}:\n" + said_now},
    }  # fmt: skip
    times = box.values.get("maxIterations")
    loop = {
        "kind": "loop",
        "times": times if isinstance(times, int) and 1 <= times <= 100 else 5,
        "until": "{{ loop.next == " + json.dumps(DONE) + " }}",
        "start": {"heard": "", "next": "", "answer": "", **dict.fromkeys(names)},
        "nodes": nodes,
        "outputs": {
            "heard": "{{ " + heard + ".text }}",
            "next": "{{ " + decides + ".next }}",
            "answer": "{{ " + decides + ".answer }}",
            **results,
        },
    }
    bench.note("its loop is written out: who goes next is decided by a json node", "Read it through once.")
    if box.values.get("stopWord"):
        bench.note("its stop word has nothing here", "It says `done` instead.")
    return Made({id: loop})


def supervisor_names(bench: Bench, box: Box) -> tuple[str, str, str]:
    """Of the nodes that decide, branch and remember, the same each time they are asked for."""
    found = bench.whole.get(f"{box.id}\0")
    if found is None:
        id = bench.name(box.id)
        found = " ".join(bench.fresh(f"{id}_{each}") for each in ("decides", "way", "heard"))
        bench.whole[f"{box.id}\0"] = found
    decides, way, heard = found.split(" ")
    return decides, way, heard


def agents(bench: Bench, box: Box) -> dict[str, tuple[str, dict[str, Json]]]:
    """Its agents: what each is for, and the fields that it is given."""
    made: dict[str, tuple[str, dict[str, Json]]] = {}
    for each in bench.data(box.values.get("agents"), "agents") or []:
        if isinstance(each, Mapping) and each.get("name"):
            schema = bench.data(each.get("schema"), "schema")
            fields = schema.get("properties", schema) if isinstance(schema, dict) else {}
            fields = {name: tidy(field) for name, field in fields.items()} if isinstance(fields, dict) else {}
            made[str(each["name"])[:60].replace("{{", "{ {")] = (plain(str(each.get("description") or "")), fields)
    return made


SORTS: Mapping[str, Sort] = {
    "LLMNode": Sort("`ask`; with tools, `agent`", _text_shape, _ask),
    "multiModalLLMNode": Sort("`ask`, with pictures", _text_shape, _ask),
    "InstructorLLMNode": Sort("`json`", _json_shape, _json),
    "JSONAgent": Sort("`json`", _json_shape, _json),
    "agentClassifierNode": Sort("`classify` and `branch`", _class_shape, _classify),
    "mcpNode": Sort("`agent`", _text_shape, _mcp),
}
