"""Reads the error of an upstream's response whose status is not 200, whatever its wire."""

from __future__ import annotations

from sizewise.errors import SizewiseError, UpstreamProtocolError
from sizewise.http.client import ClientResponse
from sizewise.providers.retry_after import retry_after_seconds
from sizewise.providers.wires.sse import BYTE_ORDER_MARK
from sizewise.providers.wires.wire import Wire

MAX_ERROR = 64 * 1024
"""Bytes of an error body; of a longer one the status alone is used."""


async def read_error(response: ClientResponse, wire: Wire) -> SizewiseError:
    try:
        body = await response.read(MAX_ERROR)
    except UpstreamProtocolError:  # too long or cut off
        body = b""
    body = body.removeprefix(BYTE_ORDER_MARK).decode(errors="replace").encode()
    wait = retry_after_seconds(response.header("retry-after"), response.header("date"))
    return wire.read_error(response.status, wait, body)
