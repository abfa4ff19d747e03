"""Tool choice of the echo model: which offered tool it calls without a cue, and with which arguments."""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from sizewise.messages import ChatRequest
from sizewise.providers.echo_schema import fill_schema


class FunctionDefinition(Struct, frozen=True):
    name: str = ""
    parameters: object = None


class ToolDefinition(Struct, frozen=True):
    """An offered tool. Only function tools are called."""

    function: FunctionDefinition = FunctionDefinition()


class FunctionName(Struct, frozen=True):
    name: str = ""


class NamedToolChoice(Struct, frozen=True):
    """A `tool_choice` that names a function."""

    function: FunctionName = FunctionName()


def calls_forbidden(chat: ChatRequest) -> bool:
    """Whether the reply may not call a tool: none is offered, or `tool_choice` is "none"."""
    return not chat.tools or _choice(chat) == "none"


def choose_call(chat: ChatRequest, words: str, calls_tools: bool) -> str:
    """The call as "name {arguments}"; "" for no call.

    A call that `tool_choice` requires is made. Otherwise a tool is called only with `calls_tools`, once per question.
    """
    choice = _choice(chat)
    tools = _offered_functions(chat)
    if isinstance(choice, NamedToolChoice):
        tools = [tool for tool in tools if tool.name == choice.function.name]
    elif choice not in ("required", "any") and not (calls_tools and chat.messages[-1].role == "user"):
        return ""
    if not tools:
        return ""
    made = _called_names(chat)
    tool = _best([tool for tool in tools if tool.name not in made] or tools[-1:], words)
    return f"{tool.name} {msgspec.json.encode(fill_schema(tool.parameters, words)).decode()}"


def _choice(chat: ChatRequest) -> str | NamedToolChoice:
    raw = chat.fields.get("tool_choice")
    try:
        return msgspec.json.decode(raw, type=str | NamedToolChoice) if raw is not None else "auto"
    except msgspec.ValidationError:
        return "auto"


def _offered_functions(chat: ChatRequest) -> list[FunctionDefinition]:
    try:
        tools = msgspec.json.decode(chat.fields.get("tools", b"[]"), type=list[ToolDefinition])
    except msgspec.ValidationError:  # the API accepts any shape
        return []
    return [tool.function for tool in tools if tool.function.name]


def _called_names(chat: ChatRequest) -> set[str]:
    """Names of the tools called since the last user message."""
    found: set[str] = set()
    for message in reversed(chat.messages):
        if message.role == "user":
            break
        found.update(call.function.name for call in message.tool_calls or () if call.function)
    return found


def _best(tools: list[FunctionDefinition], words: str) -> FunctionDefinition:
    """The tool whose name shares the most words with `words`; the first on a tie."""
    said = set(re.findall(r"[^\W_]+", words.casefold()))
    return max(tools, key=lambda tool: len(said & set(re.findall(r"[^\W_]+", tool.name.casefold()))))
