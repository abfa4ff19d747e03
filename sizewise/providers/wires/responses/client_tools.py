"""Custom tools and the local shell of the Responses API as functions of other APIs, and their calls back; runs none.

Source: the OpenAI API reference, Responses. A custom tool takes text instead of JSON; a grammar for that text is
described to the model and not enforced. The client runs both, so any model that calls functions can use them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from sizewise.messages import JsonFields

Json = dict[str, Any]
CallKind = Literal["custom", "local_shell"]

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

    def to_function_call(self) -> Json:
        return {"name": self.name, "arguments": _encode({"input": self.input}).decode()}


class LocalShellCallItem(Struct):
    action: Json
    call_id: str | None = None
    id: str | None = None

    def to_function_call(self) -> Json:
        asked = {name: value for name, value in self.action.items() if name != "type" and value is not None}
        return {"name": LOCAL_SHELL, "arguments": _encode(asked).decode()}


# ---- calls of functions, as the calls that the client knows


def call_kinds(raw_fields: JsonFields) -> Mapping[str, CallKind]:
    """The functions that stand for tools of other kinds in a request's `tools`, by name."""
    raw = bytes(raw_fields.get("tools", b"null"))
    if b"custom" not in raw and b"local_shell" not in raw:
        return {}
    kinds: dict[str, CallKind] = {}
    for tool in msgspec.json.decode(raw) or ():
        if tool.get("type") == "custom":
            kinds[str(tool.get("name"))] = "custom"
        elif tool.get("type") == "local_shell":
            kinds[LOCAL_SHELL] = "local_shell"
    return kinds


def custom_call_item(id: str, call_id: str, name: str) -> Json:
    """A call of a custom tool without its input."""
    shown = {"id": id, "type": "custom_tool_call", "status": "in_progress"}
    return {**shown, "call_id": call_id, "name": name, "input": ""}


def shell_call_item(id: str, call_id: str) -> Json:
    """A call of the local shell without its command."""
    action: Json = {"type": "exec", "command": [], "env": {}}
    return {"id": id, "type": "local_shell_call", "status": "in_progress", "call_id": call_id, "action": action}


def custom_input(arguments: str) -> str:
    """The input in the arguments of a call; the arguments themselves if the model wrote the input alone."""
    found = _object(arguments).get("input")
    return found if isinstance(found, str) else arguments


def shell_action(arguments: str) -> Json:
    """The action in the arguments of a call. A command in one text is for bash; one that is no JSON is left empty, so
    that the client runs nothing.
    """
    said = _object(arguments)
    command = said.get("command")
    words = ["bash", "-lc", command] if isinstance(command, str) else [str(each) for each in command or ()]
    more = {name: said[name] for name in ("timeout_ms", "user", "working_directory") if said.get(name) is not None}
    env = said.get("env")
    return {"type": "exec", "command": words, "env": env if isinstance(env, dict) else {}, **more}


def _object(text: str) -> Json:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
