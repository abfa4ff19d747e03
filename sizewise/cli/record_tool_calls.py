"""Tool calls that a stored chat request brings the results of: those behind the last words in it; asks no server."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from sizewise.cli import operations


class _Function(Struct):
    name: str = ""
    arguments: str = ""


class _Call(Struct):
    id: str = ""
    function: _Function = msgspec.field(default_factory=_Function)


class _Message(Struct):
    role: str = ""
    content: object = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str = ""


class _Chat(Struct):
    messages: list[_Message] = []


def newest_tool_calls(request: str) -> list[operations.AgentToolCall]:
    """`request`: JSON of a chat request. Empty if it ends otherwise, is of another API, or was cut off."""
    try:
        messages = msgspec.json.decode(request, type=_Chat).messages
    except (msgspec.DecodeError, UnicodeEncodeError):
        return []
    if len(messages) > 1 and (messages[-1].role, messages[-2].role) == ("user", "tool"):
        messages.pop()  # an agent's last step is told to answer
    start = next((place for place in range(len(messages) - 1, -1, -1) if messages[place].role != "tool"), -1)
    if start < 0 or not messages[start].tool_calls:
        return []
    results = {each.tool_call_id: each.content for each in messages[start + 1 :]}
    return [_tool_call(call, results.get(call.id)) for call in messages[start].tool_calls or ()]


def _tool_call(call: _Call, content: object) -> operations.AgentToolCall:
    result = content if isinstance(content, str) or content is None else msgspec.json.encode(content).decode()
    return operations.AgentToolCall(
        key=call.id, tool=call.function.name, arguments=call.function.arguments, result=result, failed=False
    )
