"""Parses a GraphQL request from HTTP or WebSocket and formats errors; does no I/O."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Mapping
from random import getrandbits
from typing import Protocol

import msgspec
from msgspec import Struct

from sizewise.errors import BadBody, SizewiseError
from sizewise.graphql.context import RequestContext
from sizewise.interoperable_json import check_json

log = logging.getLogger("sizewise.graphql")

OperationResult = Mapping[str, object]


class PersistedQueryExtension(Struct, rename="camel"):
    """The hash of a persisted query, as Apollo's clients send it."""

    sha256_hash: str
    version: int = 1


class RequestExtensions(Struct, rename="camel"):
    persisted_query: PersistedQueryExtension | None = None


class OperationRequest(Struct, rename="camel"):
    """The request body of GraphQL over HTTP; unknown keys are ignored."""

    query: str | None = None
    variables: dict[str, object] | None = None
    operation_name: str | None = None
    extensions: RequestExtensions | None = None


class ResponseStream(Struct):
    """The responses of a subscription. Its reader must close it, which stops the work."""

    events: AsyncGenerator[OperationResult, None]


OperationResponse = tuple[int, OperationResult] | ResponseStream
"""An HTTP status and a body, or a stream. The status is an error's only if there is no data."""


class ExecuteQuery(Protocol):
    """Implemented by execute.QueryExecutor; reports errors in the response. `streams`: whether the client accepts a
    stream. `reads_only`: whether the request may only read, as a GET."""

    async def __call__(
        self,
        request: OperationRequest,
        context: RequestContext,
        *,
        streams: bool,
        reads_only: bool = False,
    ) -> OperationResponse: ...


def new_trace_id() -> str:
    """A W3C trace id that starts with the time, so that the index of records grows at its end."""
    return f"{int(time.time()):08x}{getrandbits(96):024x}"


def parse_request(body: bytes | msgspec.Raw) -> OperationRequest:
    """Raises BadBody."""
    try:
        parsed = msgspec.json.decode(body, type=OperationRequest)
        check_json(bytes(body))
        return parsed
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = 'send {"query": "...", "variables": {...}}, one operation per request'
        raise BadBody(f"the body is not a GraphQL request: {error}", hint) from error
    except RecursionError as error:
        raise BadBody("the body is nested too deeply", "flatten the variables") from error


def format_error(error: SizewiseError) -> OperationResult:
    """An error in GraphQL's format, which the CLI converts back to the same exception."""
    docs = f"docs/errors/{error.code}.md"
    extensions = {"code": error.code, "status": error.status, "hint": error.hint, "docs": docs}
    return {"message": error.message, "extensions": extensions}


def format_exception(cause: BaseException, trace: str) -> OperationResult:
    """Like `format_error`, for any exception. Hides an unexpected one and logs only its type and location."""
    if isinstance(cause, SizewiseError):
        return format_error(cause)
    place = cause.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
    log.error("unexpected %s at %s, trace %s", type(cause).__name__, where, trace)
    return format_error(SizewiseError("internal error", f"report it with the trace {trace}"))
