"""Tool calls of an upstream: each gets an id and an index of its own, whatever the upstream leaves out; pure.

Some servers send no id, null, or the same id for each call; some send no index, or 0 for every call of a message.
Agents and clients need ids to say which result belongs to which call.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from sizewise.messages import FunctionCall, ToolCall

_encode = msgspec.json.Encoder().encode


class FunctionDelta(Struct):
    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(Struct):
    index: int | None = None
    id: str | None = None
    function: FunctionDelta | None = None

    @property
    def name(self) -> str:
        return (self.function and self.function.name) or ""

    @property
    def arguments(self) -> str:
        return (self.function and self.function.arguments) or ""


class NumberedDelta(Struct, frozen=True):
    """A delta with the index and id that the client sees; `id` is empty in all deltas of a call but the first."""

    index: int
    id: str
    name: str
    arguments: str


class _PartialCall(Struct):
    id: str
    upstream_id: str
    name: str
    arguments: list[str]


class ToolCallCollector:
    """The tool calls of one choice, as received so far."""

    __slots__ = ("_by_upstream_index", "_calls", "_choice", "_last")

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._calls: dict[int, _PartialCall] = {}  # by the index that the client sees
        self._by_upstream_index: dict[int, int] = {}
        self._last = -1

    def add(self, delta: ToolCallDelta, payload: bytes) -> tuple[NumberedDelta, bool]:
        """The delta as the client sees it, and whether that differs from what the upstream sent in `payload`."""
        sent_id, name, arguments = delta.id or "", delta.name, delta.arguments
        index = self._last if delta.index is None else self._by_upstream_index.get(delta.index, -1)
        call = self._calls.get(index)
        if call is None or self._begins_another(call, delta):
            index = self._new_index(delta.index)
            known = {each.id for each in self._calls.values()}
            id = sent_id if sent_id and sent_id not in known else _call_id(payload, self._choice, index)
            self._calls[index] = _PartialCall(id, sent_id, name, [arguments])
            self._last = index
            return NumberedDelta(index, id, name, arguments), (id, index) != (sent_id, delta.index)
        call.arguments.append(arguments)
        if call.name or not name:
            name = ""
        else:
            call.name = name
        repeats = sent_id not in ("", call.id)  # an id that comes late, after the client has seen ours
        return NumberedDelta(index, "", name, arguments), repeats or index != delta.index

    @staticmethod
    def _begins_another(call: _PartialCall, delta: ToolCallDelta) -> bool:
        if delta.id and call.upstream_id and delta.id != call.upstream_id:
            return bool(delta.name)
        return delta.index is None and not delta.id and bool(delta.name)

    def _new_index(self, wanted: int | None) -> int:
        index = wanted if wanted is not None and wanted not in self._calls else max(self._calls, default=-1) + 1
        if wanted is not None:
            self._by_upstream_index[wanted] = index
        return index

    def whole_calls(self) -> tuple[ToolCall, ...]:
        return tuple(
            ToolCall(FunctionCall(call.name, "".join(call.arguments)), call.id)
            for _, call in sorted(self._calls.items())
        )


def _call_id(payload: bytes, *place: int) -> str:
    """An id for the call at `place`. A payload has an id or a time of its own, so that later answers get other ids."""
    return f"call_{blake2b(payload + repr(place).encode(), digest_size=12).hexdigest()}"


def renumbered_chunk(payload: bytes, deltas: Sequence[NumberedDelta]) -> bytes:
    """The chunk of a stream with index and id of `deltas`, which are those of all its tool calls, in order."""
    chunk: dict[str, Any] = msgspec.json.decode(payload)
    left = iter(deltas)
    for choice in chunk["choices"]:
        for call in (choice.get("delta") or {}).get("tool_calls") or ():
            delta = next(left)
            call["index"] = delta.index
            call.pop("id", None)
            if delta.id:
                call |= {"id": delta.id, "type": call.get("type") or "function"}
    return _encode(chunk)


class CompletionToolCall(Struct, frozen=True):
    """A call in a whole completion, which may lack its id."""

    function: FunctionCall | None = None
    id: str | None = None
    type: str | None = None


def ids_are_unique(calls: Sequence[CompletionToolCall]) -> bool:
    """Whether each call has an id of its own, and a type."""
    return len({call.id for call in calls if call.id and call.type}) == len(calls)


def completion_with_call_ids(body: bytes) -> bytes:
    """The completion with an id and a type for each tool call."""
    completion: dict[str, Any] = msgspec.json.decode(body)
    for number, choice in enumerate(completion["choices"]):
        used: set[str] = set()
        for index, call in enumerate(choice["message"].get("tool_calls") or ()):
            if not call.get("id") or call["id"] in used:
                call["id"] = _call_id(body, number, index)
            used.add(call["id"])
            call["type"] = call.get("type") or "function"
    return _encode(completion)
