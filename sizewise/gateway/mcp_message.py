"""One JSON-RPC 2.0 message of the Model Context Protocol, read and checked; knows no method and no tool.

Source: modelcontextprotocol.io, specification 2025-11-25 (an id is never null, no batches); jsonrpc.org for the codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from sizewise.errors import BadBody
from sizewise.interoperable_json import check_json
from sizewise.tools.mcp.protocol import PROTOCOL_VERSIONS

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
UNSUPPORTED_PROTOCOL_VERSION = -32022
"""Of the Model Context Protocol: clients choose another version from `data.supported`."""
VERSION_HEADER = b"mcp-protocol-version"
MAX_METHOD_CHARS = 200

T = TypeVar("T")
MessageId = int | str
_decode_id = msgspec.json.Decoder(int | Annotated[str, Meta(max_length=200)]).decode


class McpMessage(Struct, frozen=True):
    """The body of a request (with an id) or a notification (without), for the OpenAPI document."""

    jsonrpc: Literal["2.0"]
    method: Annotated[str, Meta(min_length=1, max_length=MAX_METHOD_CHARS)]
    id: int | Annotated[str, Meta(max_length=200)] | UnsetType = UNSET
    params: dict[str, Raw] = {}


class JsonRpcRequest(Struct, frozen=True):
    """`id`: None for a notification, and for a response, which has no `method`."""

    method: str
    id: MessageId | None = None
    params: Mapping[str, Raw] = {}

    @property
    def is_request(self) -> bool:
        """Whether the client expects an answer."""
        return self.id is not None and self.method != ""


class McpError(Exception):
    """A JSON-RPC error; `status` is 200 unless the body is no message that can be answered."""

    def __init__(self, code: int, message: str, *, status: int = 200, data: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.data = data

    def json_object(self) -> dict[str, object]:
        shown: dict[str, object] = {"code": self.code, "message": self.message}
        return shown if self.data is None else {**shown, "data": self.data}


def read_message(body: bytes) -> JsonRpcRequest:
    """Raises McpError with status 400 for what is no message."""
    try:
        check_json(body)
        fields = msgspec.json.decode(body, type=dict[str, Raw] | list[Raw])
    except BadBody as error:
        raise _invalid(f"{error.message}; {error.hint}") from error
    except (msgspec.ValidationError, RecursionError) as error:  # JSON, but neither an object nor a list
        raise _invalid("a message is an object") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise McpError(PARSE_ERROR, "the body is not JSON in UTF-8", status=400) from error
    if isinstance(fields, list):
        raise _invalid("a batch is not supported: send one message per POST")
    if _field(fields, "jsonrpc", str) != "2.0":
        raise _invalid('`jsonrpc` is not "2.0"')
    id = _id(fields)
    if "method" not in fields and ("result" in fields or "error" in fields):
        return JsonRpcRequest("", id)  # a response: we ask clients nothing, so it is accepted and dropped
    method = _field(fields, "method", str)
    if not method or len(method) > MAX_METHOD_CHARS:
        raise _invalid("`method` is not the name of a method")
    params = _field(fields, "params", dict[str, Raw]) if "params" in fields else {}
    if params is None:
        raise McpError(INVALID_PARAMS, "`params` is not an object", status=400)
    return JsonRpcRequest(method, id, params)


def check_protocol_version(message: JsonRpcRequest, headers: list[tuple[bytes, bytes]]) -> None:
    """Raises McpError for a version that this server does not speak; `initialize` negotiates one itself."""
    if message.method == "initialize":
        return
    for name, value in headers:
        if name == VERSION_HEADER and (wanted := value.decode("latin-1").strip()) not in PROTOCOL_VERSIONS:
            raise McpError(
                UNSUPPORTED_PROTOCOL_VERSION,
                f"unsupported protocol version {wanted[:100]!r}",
                status=400,
                data={"supported": PROTOCOL_VERSIONS, "requested": wanted[:100]},
            )


def _id(fields: Mapping[str, Raw]) -> MessageId | None:
    """None if there is none."""
    if "id" not in fields:
        return None
    try:
        id: MessageId = _decode_id(fields["id"])
        return id
    except msgspec.DecodeError as error:
        raise _invalid("`id` is not a string or a whole number; leave it out in a notification") from error


def _field(fields: Mapping[str, Raw], name: str, kind: type[T]) -> T | None:
    """The field as `kind`; None if it is missing or something else."""
    try:
        return msgspec.json.decode(fields[name], type=kind)
    except (KeyError, msgspec.DecodeError):
        return None


def _invalid(reason: str) -> McpError:
    return McpError(INVALID_REQUEST, f"not a JSON-RPC 2.0 message: {reason}", status=400)
