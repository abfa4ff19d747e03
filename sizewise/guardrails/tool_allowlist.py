"""Which tools a model may call: what is not listed is not offered, and a call of what was not offered goes no further.

Names are the functions'; a vendor's own tool goes by its `name`, else its `type`. What a vendor's tools do on the
vendor's side is not seen here: only whether they are offered.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterable, Iterator

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from sizewise.errors import Blocked
from sizewise.guardrails.json_text import read
from sizewise.guardrails.pseudonymization import ORIGIN
from sizewise.guardrails.untrusted_content import objection
from sizewise.handler import Answerer, Ask, Chosen, Event, Extra, Guarded, Send, ToolDelta, Tried
from sizewise.messages import Chat, Choice, Embed, Fields, Reply, Usage

NAME = "tools"
LISTS = ("tools", "functions", "mcp_servers")
"""Fields of a body that offer something to call."""
CHOICES = ("tool_choice", "function_call")
"""Fields that say whether something shall be called, and have no meaning where nothing is offered."""
MUST = ("required", "any")
BESIDE = (Tried, Chosen, Guarded)
"""Events of the books, which are told whatever is done."""
LONGEST = 64
"""Characters of a tool's name that are told; a longer one is no name."""

_PLAIN = re.compile(rf"[A-Za-z0-9_.:-]{{1,{LONGEST}}}\Z")
_PATH = re.compile(r"(tools|mcp_servers)\[([0-9]+)\](.*)", re.DOTALL)
_encode = msgspec.json.Encoder().encode


class _Function(Struct, frozen=True):
    name: str = ""


class _Tool(Struct):
    """A tool as some wire offers it, or a call as some wire makes it."""

    name: str = ""
    type: str = ""
    function: _Function | None = None
    custom: _Function | None = None
    mcp_server_name: str = ""
    server_label: str = ""

    @property
    def called(self) -> str:
        if inner := self.function or self.custom:
            return inner.name
        return self.name or self.mcp_server_name or self.server_label or self.type


class _Said(Struct, frozen=True):
    """What a message or a piece of one calls."""

    tool_calls: list[_Tool] | None = None
    function_call: _Function | None = None

    def names(self) -> Iterator[str]:
        for each in self.tool_calls or ():
            if (inner := each.function or each.custom) and inner.name:
                yield inner.name
        if self.function_call is not None:
            yield self.function_call.name


class _Piece(Struct):
    delta: _Said = _Said()


class _Frame(Struct):
    choices: list[_Piece] = []


_tool = msgspec.json.Decoder(_Tool)
_list = msgspec.json.Decoder(list[Raw])


class Toolbox(Struct, frozen=True):
    """The tools that one policy allows: names, or beginnings with a * behind them. None: whatever is offered."""

    allowed: tuple[str, ...] | None = None

    def offered(self, chat: Chat) -> tuple[Chat, int]:
        """The request without the tools that are not on the list, and how many those were.

        Raises Blocked where the request demands a call of one of them, and BadBody where it cannot be gone through.
        """
        if self.allowed is None or not any(name in chat.fields for name in (*LISTS, ORIGIN)):
            return chat, 0
        fields, gone = self._kept(chat.fields)
        if ORIGIN in fields:
            fields[ORIGIN], more = self._original(fields[ORIGIN])
            gone = max(gone, more)
        self._demanded(fields, chat.fields)
        if not gone:
            return chat, 0
        return replace(chat, fields=fields, tools="tools" in fields), gone

    def objection(self, name: str, chat: Chat) -> str:
        """Why a call of `name` may not go out; empty when it may."""
        try:
            offered = frozenset(_called(raw) for raw in _offered(chat.fields))
        except msgspec.DecodeError:
            offered = frozenset()
        why = objection(name, offered, self.allowed)
        return why if not why or _PLAIN.match(name) else "the request offers no tool of that name"

    def _kept(self, fields: Fields) -> tuple[Fields, int]:
        kept, gone = {**fields}, 0
        for field in LISTS:
            if field not in fields or bytes(fields[field]) == b"null":
                continue
            tools = _tools(fields[field], field)
            left = [raw for raw in tools if self._fits(raw)]
            gone += len(tools) - len(left)
            if left and len(left) < len(tools):
                kept[field] = Raw(_encode(left))
            elif not left and tools:
                del kept[field]
        if gone and not any(name in kept for name in LISTS):
            for name in (*CHOICES, "parallel_tool_calls"):
                kept.pop(name, None)
        return kept, gone

    def _fits(self, raw: Raw) -> bool:
        try:
            name = _called(raw)
        except msgspec.DecodeError:
            return False
        return bool(name) and not objection(name, (name,), self.allowed)

    def _original(self, raw: Raw) -> tuple[Raw, int]:
        """The request as its client wrote it, without the same tools."""
        origin = msgspec.json.decode(raw, type=Fields)
        body = msgspec.json.decode(origin["body"], type=Fields)
        kept, gone = self._kept(body)
        if not gone:
            return raw, 0
        fits = {
            name: [self._fits(each) for each in _tools(body[name], name)]
            for name in LISTS
            if name in body and bytes(body[name]) != b"null"
        }
        untold = _renumbered(msgspec.json.decode(origin.get("untold", Raw(b"[]")), type=list[str]), fits)
        return Raw(_encode(origin | {"body": Raw(_encode(kept)), "untold": Raw(_encode(untold))})), gone

    def _demanded(self, fields: Fields, before: Fields) -> None:
        for field in CHOICES:
            if field not in before:
                continue
            choice = read(before[field], field)
            for name in _names(choice):
                if objection(name, (name,), self.allowed):
                    raise _refused("demands a tool that is not on the list of tools that may be called", field)
            if choice in MUST and field not in fields:
                raise _refused(
                    "demands a call, and none of its tools is on the list of those that may be called", field
                )


def _refused(why: str, param: str) -> Blocked:
    return Blocked(
        f"the request {why}",
        "let the model choose, or add it to `guardrails.allowed_tools` in sizewise.toml",
        param=param,
    )


def _tools(raw: Raw, field: str) -> list[Raw]:
    value = read(raw, field)
    return _list.decode(raw) if isinstance(value, list) else [raw]


def _called(raw: Raw) -> str:
    return _tool.decode(raw).called


def _offered(fields: Fields) -> Iterator[Raw]:
    for field in LISTS:
        if field in fields and bytes(fields[field]) != b"null":
            yield from _list.decode(fields[field])


def _names(choice: object) -> Iterator[str]:
    """What a choice names, however deep."""
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
    """The paths of what another wire cannot say, without those of tools that are gone."""
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


class Boxed:
    """An Answerer around an Answerer. Where there is a list, models call only what is on it and was offered."""

    def __init__(self, answer: Answerer, box: Callable[[Ask], Toolbox]) -> None:
        self._answer = answer
        self._box = box

    def __call__(self, ask: Ask, send: Send) -> Coroutine[object, object, Reply]:
        box = self._box(ask)
        if box.allowed is None or isinstance(ask.what, Embed):
            return self._answer(ask, send)
        return self._checked(ask, ask.what, box, send)

    async def _checked(self, ask: Ask, chat: Chat, box: Toolbox, send: Send) -> Reply:
        watch = Watch(send, lambda name: box.objection(name, chat))
        if not chat.stream:
            reply = await self._answer(ask, send)
            watch.names(name for choice in reply.choices for name in calls(choice))
        else:
            reply = await self._watched(ask, watch)
        if watch.why:
            await send(Guarded(((NAME, "CALL", 1),), "blocked"))
            raise Blocked(
                f"the model made a call that is not passed on: {watch.why}",
                "offer the tool in the request, or add it to `guardrails.allowed_tools` in sizewise.toml",
            )
        return reply

    async def _watched(self, ask: Ask, watch: Watch) -> Reply:
        """What is called off is cancelled as if the client had left: the model stops, and it is booked as that."""
        task = asyncio.current_task()
        assert task is not None  # an answer is awaited in one
        before = task.cancelling()
        watch.stop = task.cancel
        try:
            reply = await self._answer(ask, watch)
            if watch.why:
                await asyncio.sleep(0)  # nobody has waited for anything since, so it is cancelled here
            return reply
        except asyncio.CancelledError:
            if not watch.why or task.uncancel() > before:
                raise
            return Reply((), Usage())  # never seen: it is refused
        finally:
            watch.stop, task = bool, None  # a traceback would keep the task, and the task the traceback


class Watch:
    """The `send` of a stream. `why` says what is wrong with a call, and nothing is sent from then on; `stop` was
    called."""

    __slots__ = ("_object", "_send", "stop", "why")

    def __init__(self, send: Send, object_: Callable[[str], str]) -> None:
        self._send = send
        self._object = object_
        self.stop: Callable[[], object] = bool
        self.why = ""

    def __call__(self, event: Event) -> Coroutine[object, object, None]:
        kind = event.__class__
        if kind is ToolDelta or kind is Extra or self.why:
            return self._looked(event)
        return self._send(event)  # type: ignore[return-value]  # every `send` is a coroutine function

    async def _looked(self, event: Event) -> None:
        if not self.why:
            self.names(called(event))
            if self.why:
                self.stop()
        if not self.why or isinstance(event, BESIDE):
            await self._send(event)

    def names(self, names: Iterable[str]) -> None:
        self.why = next((why for name in names if (why := self._object(name))), "")


def called(event: Event) -> Iterator[str]:
    """What one event of a stream calls."""
    if isinstance(event, ToolDelta):
        if event.name:
            yield event.name
        elif event.id and event.frame:  # some calls are no function's, and only the frame says whose
            yield from _framed(event.frame)
    elif isinstance(event, Extra) and "function_call" in event.fields:
        yield from _said(Raw(_encode({"function_call": event.fields["function_call"]})))


def calls(choice: Choice) -> Iterator[str]:
    """What a whole answer calls."""
    for call in choice.tool_calls:
        if call.function is not None:
            yield call.function.name
    message = choice.message
    if message is not None and (
        b'"function_call"' in bytes(message) or any(c.function is None for c in choice.tool_calls)
    ):
        yield from _said(message)


def _said(raw: Raw) -> Iterator[str]:
    try:
        yield from msgspec.json.decode(raw, type=_Said).names()
    except msgspec.DecodeError:
        return  # nor can whoever gets it read a call there


def _framed(frame: bytes) -> Iterator[str]:
    for line in frame.split(b"\n\ndata: "):
        try:
            for piece in msgspec.json.decode(line, type=_Frame).choices:
                yield from piece.delta.names()
        except msgspec.DecodeError:
            continue
