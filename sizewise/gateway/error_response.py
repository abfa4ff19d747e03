"""Error responses: an error as the body, or the last event, of its API; decides no status."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from sizewise.errors import SizewiseError
from sizewise.gateway.response_writer import JSON, Headers, ResponseWriter
from sizewise.providers.wires.openai.request_response import write_error


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """How a wire writes errors: as a whole body, or as an event of a started stream; both receive the trace."""

    body: Callable[[SizewiseError, str], bytes]
    event: Callable[[SizewiseError, str], bytes]
    trace_header: bytes = b""  # additional header for the trace, where clients of this wire look for the request id


OPENAI_ERRORS = ErrorFormat(
    lambda error, trace: write_error(error),
    lambda error, trace: b"data: " + write_error(error) + b"\n\n",
)


async def send_error(
    writer: ResponseWriter,
    error: SizewiseError,
    headers: Headers,
    error_format: ErrorFormat = OPENAI_ERRORS,
    trace: str = "",
) -> None:
    more: Headers = [JSON, *headers]
    if error_format.trace_header:
        more.append((error_format.trace_header, trace.encode()))
    if error.retry_after is not None:  # rounded up: a client that is back too early is refused again
        more.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    if error.status == 401:
        more.append((b"www-authenticate", b'Bearer realm="sizewise"'))
    await writer.send_response(error.status, more, error_format.body(error, trace))
