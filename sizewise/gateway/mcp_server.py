"""MCP server at /mcp: published flows and knowledge bases as tools over stateless HTTP.

Every POST is independent; there are no sessions. Each message is authorized by API key as in every API. Clients of the
newer, stateless protocol version fall back to this handshake. What is a message is decided by mcp_message.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw

from sizewise import __version__
from sizewise.app.application import Application
from sizewise.app.routing_config import build_data_policy
from sizewise.auth.browser_security import check_origin
from sizewise.auth.revocation import stopped_with_server
from sizewise.errors import SizewiseError
from sizewise.gateway.cors import is_allowed
from sizewise.gateway.error_response import ErrorFormat
from sizewise.gateway.mcp_message import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    JsonRpcRequest,
    McpError,
    check_protocol_version,
    read_message,
)
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.request_options import parse_options
from sizewise.gateway.response_writer import JSON, ResponseWriter, trace_headers
from sizewise.messages import ChatRequest
from sizewise.principal import Principal
from sizewise.tools.mcp.protocol import PROTOCOL_VERSION, PROTOCOL_VERSIONS
from sizewise.tools.tool import Tool, ToolInvocation, ToolOutput, error_text

ENDPOINT = "mcp"
PAGE_SIZE = 100
"""Tools on one page of the list."""
SERVER_ERROR = -32000
"""Code of an error that is not about the message, such as a wrong key; `data` has our own code."""
EMPTY_CHAT = ChatRequest("", [], {})

_encode = msgspec.json.Encoder().encode


def write_error(error: SizewiseError, trace: str) -> bytes:
    told = {"code": error.code, "hint": error.hint, "trace": trace}
    return _encode(
        {"jsonrpc": "2.0", "id": None, "error": {"code": SERVER_ERROR, "message": error.message, "data": told}},
    )


ERROR_FORMAT = ErrorFormat(write_error, lambda error, trace: b"data: " + write_error(error, trace) + b"\n\n")


async def handle_messages(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    if not is_allowed(head.headers, app.settings.server.cors_origins):
        check_origin(head.headers, head.host, (*app.allowed_hosts, *app.settings.server.allowed_hosts))
    principal = head.authorize(app, ENDPOINT)
    asked: JsonRpcRequest | None = None
    try:
        asked = await app.resources.offload.run(len(body), read_message, body)
        check_protocol_version(asked, head.headers)
        if not asked.is_request:
            return await writer.send_response(202, trace_headers(head.trace), b"")
        answer: dict[str, object] = {"result": await _answer(app, head, principal, asked)}
        status = 200
    except McpError as refusal:
        answer, status = {"error": refusal.json_object()}, refusal.status
        if status != 200:
            app.resources.metrics.count_rejection("bad_body")
    reply = {"jsonrpc": "2.0", "id": None if asked is None else asked.id, **answer}
    await writer.send_response(status, [JSON, *trace_headers(head.trace)], _encode(reply))


async def _answer(
    app: Application, head: RequestHead, principal: Principal, asked: JsonRpcRequest
) -> dict[str, object]:
    """The result of a request. Raises McpError."""
    if asked.method == "tools/call":
        return await _call(app, head, asked)
    if asked.method == "tools/list":
        return _tools_page(await app.mcp_toolset.tools(principal), asked)
    if asked.method == "initialize":
        return _initialize_result(asked)
    if asked.method == "ping":
        return {}
    raise McpError(METHOD_NOT_FOUND, f"this server has no method {asked.method!r}")


def _text(params: Mapping[str, Raw], name: str) -> str:
    """A text parameter; empty if missing. Raises McpError."""
    try:
        return msgspec.json.decode(params[name], type=str | None) or "" if name in params else ""
    except msgspec.DecodeError as error:
        raise McpError(INVALID_PARAMS, f"`{name}` is not a string") from error


def _initialize_result(message: JsonRpcRequest) -> dict[str, object]:
    wanted = _text(message.params, "protocolVersion")
    return {
        "protocolVersion": wanted if wanted in PROTOCOL_VERSIONS else PROTOCOL_VERSION,
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": "sizewise", "version": __version__},
    }


def _tools_page(tools: Sequence[Tool], message: JsonRpcRequest) -> dict[str, object]:
    """Sorted by name, so that the next page continues correctly if tools are added or removed meanwhile."""
    after = _text(message.params, "cursor")
    left = sorted((each for each in tools if each.name > after), key=lambda each: each.name)
    page = [
        {"name": each.name, "description": each.description, "inputSchema": each.parameters}
        for each in left[:PAGE_SIZE]
    ]
    return {"tools": page} | ({"nextCursor": left[PAGE_SIZE - 1].name} if len(left) > PAGE_SIZE else {})


async def _call(app: Application, head: RequestHead, message: JsonRpcRequest) -> dict[str, object]:
    principal = head.principal
    assert principal is not None  # set by `authorize`
    name = _text(message.params, "name")
    tool = next((each for each in await app.mcp_toolset.tools(principal) if each.name == name), None)
    if tool is None:
        raise McpError(INVALID_PARAMS, f"there is no tool {name!r} for this key")
    try:
        given = msgspec.json.decode(message.params.get("arguments", Raw(b"{}")), type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as error:
        raise McpError(INVALID_PARAMS, "`arguments` is not an object") from error
    wished = parse_options(head.options, None)
    request = head.request(EMPTY_CHAT, wished, ENDPOINT)
    its = build_data_policy(app.settings).decide(request)
    span = app.resources.services.spans.open("execute_tool", tool.name, request, kind=tool.source)
    key = wished.idempotency_key or ""
    call = ToolInvocation(
        arguments=given,
        principal=principal,
        idempotency_key=key and f"mcp/{key}",
        trace=head.trace,
        options=wished,
        data_class=its.data_class,
        limit=its.limit or "process",
        origin=span.origin,
    )
    try:
        with span, stopped_with_server(app.resources.services.api_keys.authenticator, principal.key_id):
            result = await tool.call(call)
            span.end_tool(result.text, result.failed)
            return _tool_result(result)
    except SizewiseError as error:
        app.resources.metrics.count_rejection(error.code)
        return _tool_result(ToolOutput(error_text(error), failed=True))


def _tool_result(result: ToolOutput) -> dict[str, object]:
    shown: dict[str, object] = {"content": [{"type": "text", "text": result.text}], "isError": result.failed}
    if result.data is not None and bytes(result.data).startswith(b"{"):  # the protocol allows only objects
        shown["structuredContent"] = result.data
    return shown
