"""Which offered tool the echo calls when it has no cue for one, and with what; reads the request, says nothing."""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from sizewise.messages import Chat
from sizewise.providers.echo_schema import filled


class Described(Struct, frozen=True):
    name: str = ""
    parameters: object = None


class Tool(Struct, frozen=True):
    """An offered tool. Only functions have names here; others are not called."""

    function: Described = Described()


class Named(Struct, frozen=True):
    name: str = ""


class Chosen(Struct, frozen=True):
    """A `tool_choice` that is more than a word."""

    function: Named = Named()


def forbidden(chat: Chat) -> bool:
    """Whether this reply may not hold a call: nothing is offered, or the request says so."""
    return not chat.tools or _choice(chat) == "none"


def wanted(chat: Chat, words: str, eager: bool) -> str:
    """The call as "name {arguments}", or nothing.

    A call that `tool_choice` asks for is made; where the choice is the model's, only if it is `eager`, once a question.
    """
    choice = _choice(chat)
    tools = _offered(chat)
    if isinstance(choice, Chosen):
        tools = [tool for tool in tools if tool.name == choice.function.name]
    elif choice not in ("required", "any") and not (eager and chat.messages[-1].role == "user"):
        return ""
    if not tools:
        return ""
    made = _made(chat)
    tool = _best([tool for tool in tools if tool.name not in made] or tools[-1:], words)
    return f"{tool.name} {msgspec.json.encode(filled(tool.parameters, words)).decode()}"


def _choice(chat: Chat) -> str | Chosen:
    raw = chat.fields.get("tool_choice")
    try:
        return msgspec.json.decode(raw, type=str | Chosen) if raw is not None else "auto"
    except msgspec.ValidationError:
        return "auto"


def _offered(chat: Chat) -> list[Described]:
    try:
        tools = msgspec.json.decode(chat.fields.get("tools", b"[]"), type=list[Tool])
    except msgspec.ValidationError:  # the door lets any shape pass
        return []
    return [tool.function for tool in tools if tool.function.name]


def _made(chat: Chat) -> set[str]:
    """Names of the tools called since the person spoke."""
    found: set[str] = set()
    for message in reversed(chat.messages):
        if message.role == "user":
            break
        found.update(call.function.name for call in message.tool_calls or () if call.function)
    return found


def _best(tools: list[Described], words: str) -> Described:
    """The tool whose name the words say most of; the first of equals."""
    said = set(re.findall(r"[^\W_]+", words.casefold()))
    return max(tools, key=lambda tool: len(said & set(re.findall(r"[^\W_]+", tool.name.casefold()))))
