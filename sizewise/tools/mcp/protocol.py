"""The client side of the Model Context Protocol: JSON-RPC messages, tool lists, fingerprints; does no I/O.

Uses the handshake of versions 2024-11-05 to 2025-11-25, which servers of 2026-07-28 still accept. The client declares
no capabilities: no sampling, no roots, no elicitation. Source: modelcontextprotocol.io, specification 2025-11-25.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from sizewise import __version__
from sizewise.errors import UpstreamProtocolError
from sizewise.tools.tool import MAX_DESCRIPTION_CHARS, ToolOutput

T = TypeVar("T")

PROTOCOL_VERSION = "2025-11-25"
PROTOCOL_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", PROTOCOL_VERSION)

MAX_TOOLS = 500
"""Tools of one server."""
MAX_PAGES = 20
"""Pages of one server's tool list."""
MAX_SCHEMA_BYTES = 32_768
MAX_MESSAGE_BYTES = 8_388_608
NO_METHOD = -32601

NONE = Raw(b"")
_encode = msgspec.json.Encoder().encode
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e0fff]",
)
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")


class JsonRpcError(Struct, frozen=True):
    code: int = 0
    message: str = ""


class JsonRpcMessage(Struct, frozen=True):
    """A message from a server: a response has an id and a result or error, a request an id and a method."""

    id: int | str | None = None
    method: str = ""
    result: Raw = NONE
    error: JsonRpcError | None = None


class ToolDescription(Struct, frozen=True):
    name: str
    description: str = ""
    inputSchema: dict[str, object] = {}  # the protocol's spelling


class ToolPage(Struct, frozen=True):
    tools: list[Raw] = []
    nextCursor: str | None = None  # the protocol's spelling


class McpTool(Struct, frozen=True):
    """One tool as a server describes it. `fingerprint` is `sha256:` and the hash of the whole description."""

    name: str
    description: str
    parameters: Mapping[str, object]
    fingerprint: str


class ContentBlock(Struct, frozen=True):
    type: str = ""
    text: str = ""
    data: str = ""
    mimeType: str = ""  # the protocol's spelling
    uri: str = ""
    resource: Raw = NONE


class CallToolResult(Struct, frozen=True):
    content: list[ContentBlock] = []
    structuredContent: Raw = NONE  # the protocol's spelling
    isError: bool = False  # the protocol's spelling


def encode_request(id: int, method: str, params: Mapping[str, object] | None = None) -> bytes:
    return _encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}})


def encode_notification(method: str, params: Mapping[str, object] | None = None) -> bytes:
    return _encode({"jsonrpc": "2.0", "method": method, "params": params or {}})


def encode_reply(request: JsonRpcMessage) -> bytes:
    """The response to a server's request: a result for `ping`, else the error "method not found"."""
    said: dict[str, object] = {"jsonrpc": "2.0", "id": request.id}
    if request.method == "ping":
        return _encode(said | {"result": {}})
    return _encode(said | {"error": {"code": NO_METHOD, "message": "this client offers nothing"}})


def initialize_params() -> dict[str, object]:
    us = {"name": "sizewise", "version": __version__}
    return {"protocolVersion": PROTOCOL_VERSION, "capabilities": {}, "clientInfo": us}


class InitializeResult(Struct, frozen=True):
    protocolVersion: str = ""  # the protocol's spelling


def negotiated_version(result: bytes) -> str:
    """The version that the server chose. Raises UpstreamProtocolError if it is not supported."""
    version = decode_as(result, InitializeResult).protocolVersion
    if version not in PROTOCOL_VERSIONS:
        raise UpstreamProtocolError(
            f"the MCP server only supports version {version[:40]!r}",
            f"supported versions: {', '.join(PROTOCOL_VERSIONS)}",
        )
    return version


def decode_as(data: bytes | Raw, kind: type[T]) -> T:
    """Raises UpstreamProtocolError."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UpstreamProtocolError(
            "the MCP server's message violates the protocol",
            "check that it is an MCP server",
        ) from error


def decode_messages(data: bytes) -> list[JsonRpcMessage]:
    """One message, or a batch, as version 2025-03-26 allows. Raises UpstreamProtocolError."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise UpstreamProtocolError(
            f"the MCP server sent a message of more than {MAX_MESSAGE_BYTES} bytes",
            "check that it is an MCP server",
        )
    if data[:1] == b"[":
        return decode_as(data, list[JsonRpcMessage])
    return [decode_as(data, JsonRpcMessage)]


def usable_tools(page: ToolPage) -> list[McpTool]:
    """The tools of a page, without those that are malformed or have too large a schema."""
    return [tool for raw in page.tools if (tool := _usable_tool(raw)) is not None]


def _usable_tool(raw: Raw) -> McpTool | None:
    try:
        said = msgspec.json.decode(raw, type=ToolDescription)
        whole = msgspec.json.decode(raw)
        mark = hashlib.sha256(msgspec.json.encode(whole, order="deterministic")).hexdigest()
    except (msgspec.DecodeError, RecursionError):
        return None
    schema = said.inputSchema or {"type": "object", "properties": {}}
    if not said.name or schema.get("type", "object") != "object" or len(_encode(schema)) > MAX_SCHEMA_BYTES:
        return None
    words = _UNSEEN.sub("", said.description)[:MAX_DESCRIPTION_CHARS]
    return McpTool(said.name[:200], words, {"type": "object", **schema}, f"sha256:{mark}")


def model_tool_name(server: str, tool: str) -> str:
    """The name offered to models: `<server>__<tool>` of letters, digits, `_` and `-`, at most 64 characters."""
    return _UNFIT.sub("_", f"{server}__{tool}")[:64]


def tool_output(result: bytes) -> ToolOutput:
    """The result of `tools/call` as text for a model. Raises UpstreamProtocolError."""
    called = decode_as(result, CallToolResult)
    words = [_words(each) for each in called.content]
    structured = bytes(called.structuredContent)
    if structured and not any(words):
        words = [structured.decode("utf-8", "replace")]
    text = _UNSEEN.sub("", "\n".join(filter(None, words)))
    return ToolOutput(text, called.isError, untrusted=True, data=called.structuredContent if structured else None)


def _words(content: ContentBlock) -> str:
    if content.type == "text":
        return content.text
    if content.type == "resource" and bytes(content.resource):
        return decode_as(content.resource, ContentBlock).text or "[a resource that is no text]"
    if content.type == "resource_link":
        return f"[a resource: {content.uri[:500]}]"
    return f"[{content.type[:20] or 'something'} of {len(content.data)} characters, which is not shown]"


def unique_tools(tools: Sequence[McpTool]) -> tuple[McpTool, ...]:
    """The first tool of each name, at most MAX_TOOLS."""
    return tuple({each.name: each for each in reversed(tools)}.values())[::-1][:MAX_TOOLS]
