"""/mcp: published flows and knowledge bases as tools of the Model Context Protocol, over HTTP; keeps nothing.

Each POST is whole in itself: there is no session to steal or to lose. Who may use a tool is asked at every message, by
the same keys as everywhere. Clients of the protocol's newer, stateless form fall back to this handshake by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from sizewise import __version__
from sizewise.app.application import House
from sizewise.app.routing_config import terms
from sizewise.errors import BadBody, SizewiseError
from sizewise.gateway.request_context import JSON, Knock, Out, Voice, traced, wishes
from sizewise.handler import Ask
from sizewise.messages import Chat
from sizewise.tools.mcp.protocol import VERSION, VERSIONS
from sizewise.tools.tool import Call, Result, Tool, said

DOOR = "mcp"
PAGE = 100
"""Tools on one page of the list."""
NO_METHOD, BAD_PARAMS, OURS = -32601, -32602, -32000
NOBODYS = Chat("", [], {})

_encode = msgspec.json.Encoder().encode

Name = Annotated[str, Meta(max_length=200)]


class McpMessage(Struct, frozen=True):
    """A request (with an id) or a notification (without)."""

    jsonrpc: Literal["2.0"]
    method: Name
    id: int | Name | None = None
    params: dict[str, Raw] = {}


class Refused(Exception):
    """A message that is understood and not done, in the protocol's own words."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


def write_error(error: SizewiseError, trace: str) -> bytes:
    told = {"code": error.code, "hint": error.hint, "trace": trace}
    return _encode({"jsonrpc": "2.0", "id": None, "error": {"code": OURS, "message": error.message, "data": told}})


VOICE = Voice(write_error, lambda error, trace: b"data: " + write_error(error, trace) + b"\n\n")


async def messages(house: House, seen: Knock, body: bytes, out: Out) -> None:
    caller = seen.enter(house, DOOR)
    asked = _read(body)
    if asked.id is None:
        return await out.whole(202, traced(seen.trace), b"")
    reply: dict[str, object] = {"jsonrpc": "2.0", "id": asked.id}
    try:
        if asked.method == "tools/call":
            reply["result"] = await _call(house, seen, asked)
        elif asked.method == "tools/list":
            reply["result"] = _listed(await house.lent.tools(caller), asked)
        elif asked.method == "initialize":
            reply["result"] = _greeted(asked)
        elif asked.method == "ping":
            reply["result"] = {}
        else:
            raise Refused(NO_METHOD, f"there is no method {asked.method!r} here")
    except Refused as refusal:
        reply["error"] = {"code": refusal.code, "message": refusal.words}
    await out.whole(200, [JSON, *traced(seen.trace)], _encode(reply))


def _read(body: bytes) -> McpMessage:
    """Raises BadBody."""
    try:
        return msgspec.json.decode(body, type=McpMessage)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadBody("this is no message of JSON-RPC 2.0", "send one request or notification a POST") from error


def _text(params: Mapping[str, Raw], name: str) -> str:
    """Of a parameter; empty where it is not there. Raises Refused."""
    try:
        return msgspec.json.decode(params[name], type=str | None) or "" if name in params else ""
    except msgspec.DecodeError as error:
        raise Refused(BAD_PARAMS, f"`{name}` is a text") from error


def _greeted(asked: McpMessage) -> dict[str, object]:
    wanted = _text(asked.params, "protocolVersion")
    return {
        "protocolVersion": wanted if wanted in VERSIONS else VERSION,
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": "sizewise", "version": __version__},
    }


def _listed(tools: Sequence[Tool], asked: McpMessage) -> dict[str, object]:
    """By name, so that a page goes on where the last one ended whatever came or went meanwhile."""
    after = _text(asked.params, "cursor")
    left = sorted((each for each in tools if each.name > after), key=lambda each: each.name)
    page = [
        {"name": each.name, "description": each.description, "inputSchema": each.parameters} for each in left[:PAGE]
    ]
    return {"tools": page} | ({"nextCursor": left[PAGE - 1].name} if len(left) > PAGE else {})


async def _call(house: House, seen: Knock, asked: McpMessage) -> dict[str, object]:
    caller = seen.caller
    assert caller is not None  # it came in
    name = _text(asked.params, "name")
    tool = next((each for each in await house.lent.tools(caller) if each.name == name), None)
    if tool is None:
        raise Refused(BAD_PARAMS, f"there is no tool {name!r} that this key may use")
    try:
        given = msgspec.json.decode(asked.params.get("arguments", Raw(b"{}")), type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refused(BAD_PARAMS, "`arguments` is an object") from error
    wished = wishes(seen.wishes, None)
    its = terms(house.settings).of(Ask(NOBODYS, caller, seen.trace, perf_counter(), wished, DOOR))
    key = wished.idempotency_key or ""
    call = Call(given, caller, key and f"mcp/{key}", seen.trace, wished, its.data_class, its.limit or "process")
    try:
        return _shown(await tool.call(call))
    except SizewiseError as error:
        house.means.metrics.refused(error.code)
        return _shown(Result(said(error), failed=True))


def _shown(result: Result) -> dict[str, object]:
    shown: dict[str, object] = {"content": [{"type": "text", "text": result.text}], "isError": result.failed}
    if result.data is not None and bytes(result.data).startswith(b"{"):  # the protocol has objects only
        shown["structuredContent"] = result.data
    return shown
