"""Cut streams: closes a connection so that neither client nor proxy takes half a stream for a whole one."""

from __future__ import annotations

import asyncio
import socket
import struct

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

CUT_STREAM = "sizewise.cut"
"""Key of an ASGI message that ends a stream as `ResponseWriter.cut_stream` does. Other servers end it as usual."""
_RESET: bytes = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s


def reset_on_close(transport: asyncio.Transport) -> None:
    """For HTTP/1.0, which nginx speaks by default: without chunks, only a reset differs from the end of a body."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def with_cuts(app: ASGIApp, cycle: RequestResponseCycle) -> ASGIApp:
    """`app`, whose responses may end by CUT_STREAM: the connection is closed without the last chunk.

    These fields of `cycle` control the end.
    """

    async def cuttable(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_or_cut(message: Message) -> None:
            if CUT_STREAM in message:
                if scope["http_version"] == "1.0":
                    reset_on_close(cycle.transport)
                cycle.chunked_encoding, cycle.expected_content_length, cycle.keep_alive = False, 0, False
            await send(message)

        await app(scope, receive, send_or_cut)

    return cuttable
