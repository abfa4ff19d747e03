"""The Model Context Protocol as a client speaks it: JSON-RPC messages, a server's tools, their marks; pure.

The handshake of 2024-11-05 to 2025-11-25, which servers of 2026-07-28 still take. We offer a server nothing: it may not
ask our models, see our files or ask our people. Source: modelcontextprotocol.io, specification 2025-11-25.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from sizewise import __version__
from sizewise.errors import UpstreamGarbled
from sizewise.tools.tool import DESCRIPTION, Result

T = TypeVar("T")

VERSION = "2025-11-25"
VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", VERSION)

TOOLS = 500
"""Tools of one server, and pages of their list, at most."""
PAGES = 20
SCHEMA = 32_768
"""Bytes of one tool's schema."""
BYTES = 8_388_608
"""Of one message."""
NO_METHOD = -32601

NONE = Raw(b"")
_encode = msgspec.json.Encoder().encode
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e0fff]"
)
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")


class Failure(Struct, frozen=True):
    code: int = 0
    message: str = ""


class Message(Struct, frozen=True):
    """Whatever a server says: an answer has an id and a result or error, a request a method and an id."""

    id: int | str | None = None
    method: str = ""
    result: Raw = NONE
    error: Failure | None = None


class Described(Struct, frozen=True):
    name: str
    description: str = ""
    inputSchema: dict[str, object] = {}  # as the wire calls it


class Page(Struct, frozen=True):
    tools: list[Raw] = []
    nextCursor: str | None = None  # as the wire calls it


class Offered(Struct, frozen=True):
    """One tool as a server describes it. `mark` is the hash of all it says of it."""

    name: str
    description: str
    parameters: Mapping[str, object]
    mark: str


class Content(Struct, frozen=True):
    type: str = ""
    text: str = ""
    data: str = ""
    mimeType: str = ""  # as the wire calls it
    uri: str = ""
    resource: Raw = NONE


class Called(Struct, frozen=True):
    content: list[Content] = []
    structuredContent: Raw = NONE  # as the wire calls it
    isError: bool = False  # as the wire calls it


def request(id: int, method: str, params: Mapping[str, object] | None = None) -> bytes:
    return _encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}})


def notification(method: str, params: Mapping[str, object] | None = None) -> bytes:
    return _encode({"jsonrpc": "2.0", "method": method, "params": params or {}})


def reply(asked: Message) -> bytes:
    """What we say to a server's own request: that we are there, and to all else that we do not do it."""
    said: dict[str, object] = {"jsonrpc": "2.0", "id": asked.id}
    if asked.method == "ping":
        return _encode(said | {"result": {}})
    return _encode(said | {"error": {"code": NO_METHOD, "message": "this client offers nothing"}})


def hello() -> dict[str, object]:
    us = {"name": "sizewise", "version": __version__}
    return {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": us}


class Greeted(Struct, frozen=True):
    protocolVersion: str = ""  # as the wire calls it


def greeted(result: bytes) -> str:
    """The version that the server wants to speak. Raises UpstreamGarbled."""
    version = decoded(result, Greeted).protocolVersion
    if version not in VERSIONS:
        raise UpstreamGarbled(f"the MCP server speaks version {version[:40]!r} only", f"we speak {', '.join(VERSIONS)}")
    return version


def decoded(data: bytes | Raw, kind: type[T]) -> T:
    """Raises UpstreamGarbled."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UpstreamGarbled("what the MCP server sent is not of the protocol", "is this an MCP server?") from error


def message(data: bytes) -> list[Message]:
    """One message, or several in a list, as servers of 2025-03-26 may send them. Raises UpstreamGarbled."""
    if len(data) > BYTES:
        raise UpstreamGarbled(f"the MCP server sent more than {BYTES} bytes at once", "is this an MCP server?")
    if data[:1] == b"[":
        return decoded(data, list[Message])
    return [decoded(data, Message)]


def offered(page: Page) -> list[Offered]:
    """The tools of a page; one that cannot be used is left out."""
    return [tool for raw in page.tools if (tool := _offered(raw)) is not None]


def _offered(raw: Raw) -> Offered | None:
    try:
        said = msgspec.json.decode(raw, type=Described)
        whole = msgspec.json.decode(raw)
        mark = hashlib.sha256(msgspec.json.encode(whole, order="deterministic")).hexdigest()
    except (msgspec.DecodeError, RecursionError):
        return None
    schema = said.inputSchema or {"type": "object", "properties": {}}
    if not said.name or schema.get("type", "object") != "object" or len(_encode(schema)) > SCHEMA:
        return None
    words = _UNSEEN.sub("", said.description)[:DESCRIPTION]
    return Offered(said.name[:200], words, {"type": "object", **schema}, f"sha256:{mark}")


def named(server: str, tool: str) -> str:
    """How models call it: letters, digits, _ and -, at most 64."""
    return _UNFIT.sub("_", f"{server}__{tool}")[:64]


def told(result: bytes) -> Result:
    """What a model reads of what came. Raises UpstreamGarbled."""
    called = decoded(result, Called)
    words = [_words(each) for each in called.content]
    structured = bytes(called.structuredContent)
    if structured and not any(words):
        words = [structured.decode("utf-8", "replace")]
    text = _UNSEEN.sub("", "\n".join(filter(None, words)))
    return Result(text, called.isError, foreign=True, data=called.structuredContent if structured else None)


def _words(content: Content) -> str:
    if content.type == "text":
        return content.text
    if content.type == "resource" and bytes(content.resource):
        return decoded(content.resource, Content).text or "[a resource that is no text]"
    if content.type == "resource_link":
        return f"[a resource: {content.uri[:500]}]"
    return f"[{content.type[:20] or 'something'} of {len(content.data)} characters, which is not shown]"


def pages(found: Sequence[Offered]) -> tuple[Offered, ...]:
    """Each name once, so many at most."""
    return tuple({each.name: each for each in reversed(found)}.values())[::-1][:TOOLS]
