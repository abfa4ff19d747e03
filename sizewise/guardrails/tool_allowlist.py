"""Tool allowlist: removes unlisted tools from requests and blocks calls of tools that were not offered.

A function goes by its name, a vendor's built-in tool by its `name`, else its `type`. Whether a vendor's tool is offered
is controlled; what it does on the vendor's side is not.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterable, Iterator

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from sizewise.errors import GuardrailBlocked
from sizewise.guardrails.json_text import decode_json
from sizewise.guardrails.pseudonymization import ORIGINAL_FIELD
from sizewise.guardrails.untrusted_content import tool_denial_reason
from sizewise.handler import (
    AttemptFinished,
    Event,
    GuardrailTriggered,
    Handler,
    ModelSelected,
    RawDelta,
    Request,
    Send,
    ToolDelta,
)
from sizewise.messages import ChatRequest, Choice, EmbeddingRequest, JsonFields, Reply, Usage

GUARD_NAME = "tools"
TOOL_FIELDS = ("tools", "functions", "mcp_servers")
"""Fields of a body that offer tools."""
TOOL_CHOICE_FIELDS = ("tool_choice", "function_call")
"""Fields that force or forbid a call; meaningless without tools."""
REQUIRED_CHOICES = ("required", "any")
SIDE_EVENTS = (AttemptFinished, ModelSelected, GuardrailTriggered)
"""Events for records, sent even after a denial."""
MAX_NAME_CHARS = 64
"""Longest name of a tool that is quoted in an error."""

_PLAIN = re.compile(rf"[A-Za-z0-9_.:-]{{1,{MAX_NAME_CHARS}}}\Z")
_PATH = re.compile(r"(tools|mcp_servers)\[([0-9]+)\](.*)", re.DOTALL)
_encode = msgspec.json.Encoder().encode


class _Function(Struct, frozen=True):
    name: str = ""


class _Tool(Struct):
    """A tool definition or call in any wire's format."""

    name: str = ""
    type: str = ""
    function: _Function | None = None
    custom: _Function | None = None
    mcp_server_name: str = ""
    server_label: str = ""

    @property
    def called_name(self) -> str:
        if inner := self.function or self.custom:
            return inner.name
        return self.name or self.mcp_server_name or self.server_label or self.type


class _CallHolder(Struct, frozen=True):
    """Calls in a message or a delta."""

    tool_calls: list[_Tool] | None = None
    function_call: _Function | None = None

    def names(self) -> Iterator[str]:
        for each in self.tool_calls or ():
            if (inner := each.function or each.custom) and inner.name:
                yield inner.name
        if self.function_call is not None:
            yield self.function_call.name


class _Piece(Struct):
    delta: _CallHolder = _CallHolder()


class _Frame(Struct):
    choices: list[_Piece] = []


_tool = msgspec.json.Decoder(_Tool)
_list = msgspec.json.Decoder(list[Raw])


class ToolAllowlist(Struct, frozen=True):
    """The tools that one policy allows: names, or prefixes followed by *. None allows all."""

    allowed: tuple[str, ...] | None = None

    def filter_tools(self, chat: ChatRequest) -> tuple[ChatRequest, int]:
        """The request without unlisted tools, and how many were removed.

        Raises GuardrailBlocked if the request forces a call of one of them, and BadBody if it cannot be decoded.
        """
        if self.allowed is None or not any(name in chat.fields for name in (*TOOL_FIELDS, ORIGINAL_FIELD)):
            return chat, 0
        fields, gone = self._filter_fields(chat.fields)
        if ORIGINAL_FIELD in fields:
            fields[ORIGINAL_FIELD], more = self._filter_original(fields[ORIGINAL_FIELD])
            gone = max(gone, more)
        self._check_tool_choice(fields, chat.fields)
        if not gone:
            return chat, 0
        return replace(chat, fields=fields, tools="tools" in fields), gone

    def denial_reason(self, name: str, chat: ChatRequest) -> str:
        """Why a call of `name` is denied; empty if it is allowed."""
        try:
            offered = frozenset(_tool_name(raw) for raw in _tool_definitions(chat.fields))
        except msgspec.DecodeError:
            offered = frozenset()
        why = tool_denial_reason(name, offered, self.allowed)
        return why if not why or _PLAIN.match(name) else "the request offers no tool of that name"

    def _filter_fields(self, fields: JsonFields) -> tuple[JsonFields, int]:
        kept, gone = {**fields}, 0
        for field in TOOL_FIELDS:
            if field not in fields or bytes(fields[field]) == b"null":
                continue
            tools = _tools(fields[field], field)
            left = [raw for raw in tools if self._is_allowed(raw)]
            gone += len(tools) - len(left)
            if left and len(left) < len(tools):
                kept[field] = Raw(_encode(left))
            elif not left and tools:
                del kept[field]
        if gone and not any(name in kept for name in TOOL_FIELDS):
            for name in (*TOOL_CHOICE_FIELDS, "parallel_tool_calls"):
                kept.pop(name, None)
        return kept, gone

    def _is_allowed(self, raw: Raw) -> bool:
        try:
            name = _tool_name(raw)
        except msgspec.DecodeError:
            return False
        return bool(name) and not tool_denial_reason(name, (name,), self.allowed)

    def _filter_original(self, raw: Raw) -> tuple[Raw, int]:
        """Removes the same tools from the client's original body, and how many."""
        origin = msgspec.json.decode(raw, type=JsonFields)
        body = msgspec.json.decode(origin["body"], type=JsonFields)
        kept, gone = self._filter_fields(body)
        if not gone:
            return raw, 0
        fits = {
            name: [self._is_allowed(each) for each in _tools(body[name], name)]
            for name in TOOL_FIELDS
            if name in body and bytes(body[name]) != b"null"
        }
        untold = _renumbered(msgspec.json.decode(origin.get("untranslated", Raw(b"[]")), type=list[str]), fits)
        return Raw(_encode(origin | {"body": Raw(_encode(kept)), "untranslated": Raw(_encode(untold))})), gone

    def _check_tool_choice(self, fields: JsonFields, before: JsonFields) -> None:
        for field in TOOL_CHOICE_FIELDS:
            if field not in before:
                continue
            choice = decode_json(before[field], field)
            for name in _names(choice):
                if tool_denial_reason(name, (name,), self.allowed):
                    raise _blocked("forces a tool that is not on the tool allowlist", field)
            if choice in REQUIRED_CHOICES and field not in fields:
                raise _blocked(
                    "forces a tool call, and none of its tools is on the tool allowlist",
                    field,
                )


def _blocked(why: str, param: str) -> GuardrailBlocked:
    return GuardrailBlocked(
        f"the request {why}",
        "let the model choose, or add the tool to `guardrails.allowed_tools` in sizewise.toml",
        param=param,
    )


def _tools(raw: Raw, field: str) -> list[Raw]:
    value = decode_json(raw, field)
    return _list.decode(raw) if isinstance(value, list) else [raw]


def _tool_name(raw: Raw) -> str:
    return _tool.decode(raw).called_name


def _tool_definitions(fields: JsonFields) -> Iterator[Raw]:
    for field in TOOL_FIELDS:
        if field in fields and bytes(fields[field]) != b"null":
            yield from _list.decode(fields[field])


def _names(choice: object) -> Iterator[str]:
    """Names in a tool choice, at any depth."""
    if isinstance(choice, dict):
        for key, value in choice.items():
            if key in ("name", "server_label") and isinstance(value, str) and value:
                yield value
            else:
                yield from _names(value)
    elif isinstance(choice, list):
        for each in choice:
            yield from _names(each)


def _renumbered(untold: list[str], fits: dict[str, list[bool]]) -> list[str]:
    """Paths of untranslatable fields, renumbered without the removed tools."""
    found: list[str] = []
    for path in untold:
        match = _PATH.match(path)
        kept = fits.get(match[1] if match else path, [])
        if match is None:
            if path not in fits or any(kept):
                found.append(path)
        elif (number := int(match[2])) < len(kept) and kept[number]:
            found.append(f"{match[1]}[{sum(kept[:number])}]{match[3]}")
    return found


class ToolAllowlistMiddleware:
    """With an allowlist, passes on only calls of tools that are listed and were offered."""

    def __init__(self, handler: Handler, allowlist_for: Callable[[Request], ToolAllowlist]) -> None:
        self._handler = handler
        self._allowlist_for = allowlist_for

    def __call__(self, request: Request, send: Send) -> Coroutine[object, object, Reply]:
        box = self._allowlist_for(request)
        if box.allowed is None or isinstance(request.payload, EmbeddingRequest):
            return self._handler(request, send)
        return self._handle_checked(request, request.payload, box, send)

    async def _handle_checked(self, request: Request, chat: ChatRequest, allowlist: ToolAllowlist, send: Send) -> Reply:
        watch = ToolCallFilter(send, lambda name: allowlist.denial_reason(name, chat))
        if not chat.stream:
            reply = await self._handler(request, send)
            watch.check(name for choice in reply.choices for name in choice_tool_names(choice))
        else:
            reply = await self._filter_stream(request, watch)
        if watch.denial:
            await send(GuardrailTriggered(((GUARD_NAME, "CALL", 1),), "blocked"))
            raise GuardrailBlocked(
                f"a tool call of the model was blocked: {watch.denial}",
                "offer the tool in the request, or add it to `guardrails.allowed_tools` in sizewise.toml",
            )
        return reply

    async def _filter_stream(self, request: Request, call_filter: ToolCallFilter) -> Reply:
        """A denied call cancels the handler as if the client had disconnected: the model stops and is recorded so."""
        task = asyncio.current_task()
        assert task is not None  # always within a task
        before = task.cancelling()
        call_filter.stop = task.cancel
        try:
            reply = await self._handler(request, call_filter)
            if call_filter.denial:
                await asyncio.sleep(0)  # deliver the pending cancellation here if the handler did not await again
            return reply
        except asyncio.CancelledError:
            if not call_filter.denial or task.uncancel() > before:
                raise
            return Reply((), Usage())  # never returned: the caller raises
        finally:
            call_filter.stop, task = bool, None  # break the cycle of task and traceback


class ToolCallFilter:
    """The `send` of a stream. At the first denied call it sets `denial`, calls `stop` and sends only SIDE_EVENTS from
    then on.
    """

    __slots__ = ("_denial_reason", "_send", "denial", "stop")

    def __init__(self, send: Send, denial_reason: Callable[[str], str]) -> None:
        self._send = send
        self._denial_reason = denial_reason
        self.stop: Callable[[], object] = bool
        self.denial = ""

    def __call__(self, event: Event) -> Coroutine[object, object, None]:
        kind = event.__class__
        if kind is ToolDelta or kind is RawDelta or self.denial:
            return self._filter_event(event)
        return self._send(event)  # type: ignore[return-value]  # every `send` is a coroutine function

    async def _filter_event(self, event: Event) -> None:
        if not self.denial:
            self.check(event_tool_names(event))
            if self.denial:
                self.stop()
        if not self.denial or isinstance(event, SIDE_EVENTS):
            await self._send(event)

    def check(self, names: Iterable[str]) -> None:
        self.denial = next((why for name in names if (why := self._denial_reason(name))), "")


def event_tool_names(event: Event) -> Iterator[str]:
    """Names that one event of a stream calls."""
    if isinstance(event, ToolDelta):
        if event.name:
            yield event.name
        elif event.id and event.frame:  # a call that is not of a function has its name only in the frame
            yield from _frame_tool_names(event.frame)
    elif isinstance(event, RawDelta) and "function_call" in event.fields:
        yield from _message_tool_names(Raw(_encode({"function_call": event.fields["function_call"]})))


def choice_tool_names(choice: Choice) -> Iterator[str]:
    """Names that a whole choice calls."""
    for call in choice.tool_calls:
        if call.function is not None:
            yield call.function.name
    message = choice.message
    if message is not None and (
        b'"function_call"' in bytes(message) or any(c.function is None for c in choice.tool_calls)
    ):
        yield from _message_tool_names(message)


def _message_tool_names(raw: Raw) -> Iterator[str]:
    try:
        yield from msgspec.json.decode(raw, type=_CallHolder).names()
    except msgspec.DecodeError:
        return  # the client cannot decode a call there either


def _frame_tool_names(frame: bytes) -> Iterator[str]:
    for line in frame.split(b"\n\ndata: "):
        try:
            for piece in msgspec.json.decode(line, type=_Frame).choices:
                yield from piece.delta.names()
        except msgspec.DecodeError:
            continue
