"""Client tools of the Responses API as functions of other APIs, and their calls back; runs none.

Source: the OpenAI API reference, Responses. A custom tool takes text instead of JSON; a grammar for that text is
described to the model and not enforced. A namespace groups tools, whose functions are named NAMESPACE__NAME. The client
runs them and the local shell, so any model that calls functions can use them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from sizewise.messages import JsonFields

Json = dict[str, Any]
CallKind = Literal["function", "custom", "local_shell"]

LOCAL_SHELL = "local_shell"
"""The function that stands for the local shell."""

_TEXT: Mapping[str, object] = {"type": "string"}
CUSTOM_PARAMETERS: Mapping[str, object] = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input of the tool, as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}
SHELL_PARAMETERS: Mapping[str, object] = {
    "type": "object",
    "properties": {
        "command": {"type": "array", "items": _TEXT, "description": "The program and its arguments."},
        "env": {"type": "object", "additionalProperties": _TEXT, "description": "Environment variables to set."},
        "timeout_ms": {"type": "integer", "description": "Timeout in milliseconds."},
        "user": {"type": "string", "description": "The user to run the command as."},
        "working_directory": {"type": "string", "description": "The folder to run the command in."},
    },
    "required": ["command"],
    "additionalProperties": False,
}

_encode = msgspec.json.Encoder().encode


class CustomFormat(Struct):
    """The format of a custom tool's input: any text, or a grammar."""

    type: str = "text"
    syntax: str = ""
    definition: str = ""


class CustomTool(Struct):
    name: str
    description: str | None = None
    format: CustomFormat | None = None

    def to_function(self) -> Json:
        words = [self.description] if self.description else []
        if self.format is not None and self.format.type == "grammar":
            words.append(f"The input must match this {self.format.syntax} grammar:\n{self.format.definition}")
        described = {"description": "\n\n".join(words)} if words else {}
        return {"name": self.name, **described, "parameters": CUSTOM_PARAMETERS}


def shell_function() -> Json:
    return {
        "name": LOCAL_SHELL,
        "description": "Runs a command on the user's machine and returns its output.",
        "parameters": SHELL_PARAMETERS,
    }


# ---- calls of the client's history, as calls of functions


class CustomToolCallItem(Struct):
    call_id: str
    name: str
    input: str
    namespace: str | None = None

    def to_function_call(self) -> Json:
        name = function_name(self.name, self.namespace)
        return {"name": name, "arguments": _encode({"input": self.input}).decode()}


class LocalShellCallItem(Struct):
    action: Json
    call_id: str | None = None
    id: str | None = None

    def to_function_call(self) -> Json:
        asked = {name: value for name, value in self.action.items() if name != "type" and value is not None}
        return {"name": LOCAL_SHELL, "arguments": _encode(asked).decode()}


# ---- calls of functions, as the calls that the client knows


class ClientTool(Struct, frozen=True):
    """The tool that a function stands for, as its client names it."""

    kind: CallKind
    name: str
    namespace: str | None = None

    def call_item(self, id: str, call_id: str) -> Json:
        """A call of the tool, without its arguments."""
        shown = {"id": id, "type": ITEM_TYPES[self.kind], "status": "in_progress", "call_id": call_id}
        if self.kind == "local_shell":
            return {**shown, "action": {"type": "exec", "command": [], "env": {}}}
        named = {"name": self.name} | ({"namespace": self.namespace} if self.namespace else {})
        return {**shown, **named, "input" if self.kind == "custom" else "arguments": ""}


ITEM_TYPES: Mapping[CallKind, str] = {
    "function": "function_call",
    "custom": "custom_tool_call",
    "local_shell": "local_shell_call",
}
ID_PREFIXES: Mapping[CallKind, str] = {"function": "fc", "custom": "ctc", "local_shell": "lsh"}


def function_name(name: str, namespace: str | None) -> str:
    """The name of the function that stands for a tool in a namespace."""
    return f"{namespace.rstrip('_')}__{name}" if namespace else name


def client_tools(raw_fields: JsonFields) -> Mapping[str, ClientTool]:
    """The tools of a request that other APIs know as functions of another form, by the function's name.

    Those of a namespace also by their own name, which an upstream of this wire and forgetful models use, if it is free.
    """
    raw = bytes(raw_fields.get("tools", b"null"))
    if not any(kind in raw for kind in (b"custom", b"local_shell", b"namespace")):
        return {}
    found: dict[str, ClientTool] = {}
    inner: dict[str, ClientTool] = {}
    tools = msgspec.json.decode(raw, type=list[Json] | None) or []
    for tool in tools:
        if tool.get("type") == LOCAL_SHELL:
            found[LOCAL_SHELL] = ClientTool("local_shell", LOCAL_SHELL)
        elif tool.get("type") == "custom":
            found[str(tool.get("name"))] = ClientTool("custom", str(tool.get("name")))
        elif tool.get("type") == "namespace":
            for each in _tools_in(tool):
                found[function_name(each.name, each.namespace)] = each
                inner.setdefault(each.name, each)
    return {name: tool for name, tool in inner.items() if name not in {each.get("name") for each in tools}} | found


def _tools_in(namespace: Json) -> Iterator[ClientTool]:
    for tool in namespace.get("tools") or ():
        kind: CallKind = "custom" if tool.get("type") == "custom" else "function"
        yield ClientTool(kind, str(tool.get("name")), str(namespace.get("name")))


def custom_input(arguments: str) -> str:
    """The input in the arguments of a call; the arguments themselves if the model wrote the input alone."""
    found = _object(arguments).get("input")
    return found if isinstance(found, str) else arguments


def shell_action(arguments: str) -> Json:
    """The action in the arguments of a call. A command in one text is for bash; one that is neither a text nor a list,
    and arguments that are no JSON, become an empty command, so that the client runs nothing.
    """
    said = _object(arguments)
    command = said.get("command")
    words = [str(each) for each in command] if isinstance(command, list) else []
    words = ["bash", "-lc", command] if isinstance(command, str) else words
    more = {name: said[name] for name in ("timeout_ms", "user", "working_directory") if said.get(name) is not None}
    env = said.get("env")
    return {"type": "exec", "command": words, "env": env if isinstance(env, dict) else {}, **more}


def _object(text: str) -> Json:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
