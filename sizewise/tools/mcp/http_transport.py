"""An MCP session over streamable HTTP, on Sizewise's own HTTP client; knows no tool.

Each message is one POST; the response is JSON, or an event stream that is read up to the answer. Redirects are not
followed, and the stream for the server's own messages (GET) is not opened.
"""

from __future__ import annotations

from collections.abc import Mapping

from sizewise.data_class import DataClass, Place
from sizewise.errors import UpstreamError, UpstreamOverloaded, UpstreamProtocolError, UpstreamRejected
from sizewise.guardrails.upstream_error_text import client_text
from sizewise.http.client import ClientResponse, HttpEndpoint, HttpTimeouts
from sizewise.providers.wires.sse import SseDecoder
from sizewise.tools.mcp import protocol
from sizewise.tools.mcp.protocol import MAX_MESSAGE_BYTES, JsonRpcMessage

JSON = ("content-type", "application/json")
ACCEPT = ("accept", "application/json, text/event-stream")
SESSION = "mcp-session-id"
MAX_SESSION_ID_CHARS = 1_024


class HttpMcpSession:
    """After `open`, `request` may be called concurrently."""

    def __init__(self, endpoint: HttpEndpoint, path: str, timeout_s: float) -> None:
        self._endpoint = endpoint
        self._path = path
        self._timeouts = HttpTimeouts(connect=5, first_byte=timeout_s, between_bytes=timeout_s, total=timeout_s)
        self._last_id = 0
        self._id = ""
        self._version = ""

    async def open(self) -> None:
        result = await self.request("initialize", protocol.initialize_params())
        self._version = protocol.negotiated_version(result)
        await self._notify(protocol.encode_notification("notifications/initialized"))

    async def request(
        self,
        method: str,
        params: Mapping[str, object],
        data_class: DataClass = "public",
        limit: Place = "anyone",
    ) -> bytes:
        """The result, as JSON. Raises EgressDenied, SessionLost (open a new session), UpstreamError."""
        self._last_id += 1
        number = self._last_id
        response = await self._post(protocol.encode_request(number, method, params), data_class, limit)
        async with response:
            if response.status != 200:
                raise _refused(response.status, bool(self._id))
            if session := response.header(SESSION):
                self._id = session if len(session) <= MAX_SESSION_ID_CHARS and session.isprintable() else ""
            if (response.header("content-type") or "").partition(";")[0].strip().lower() == "text/event-stream":
                return await self._streamed(response, number)
            for said in protocol.decode_messages(await response.read(MAX_MESSAGE_BYTES)):
                if said.id == number:
                    return result_of(said)
        raise UpstreamProtocolError("the MCP server did not respond to the request", "check that it is an MCP server")

    async def close(self) -> None:
        if self._id:
            try:
                response = await self._endpoint.request(
                    "DELETE",
                    self._path,
                    headers=self._headers(),
                    purpose="end a tool session",
                    data_class="public",
                )
                response.close()
            except UpstreamError:
                pass  # the server will expire the session

    async def _streamed(self, response: ClientResponse, number: int) -> bytes:
        frames, size = SseDecoder(), 0
        while chunk := await response.read_chunk():
            size += len(chunk)
            if size > MAX_MESSAGE_BYTES:
                break
            for frame in frames.feed(chunk):
                for said in protocol.decode_messages(frame):
                    if said.id == number and not said.method:
                        return result_of(said)
        raise UpstreamProtocolError("the MCP server's stream ended without a response", "see the server's log")

    async def _notify(self, said: bytes) -> None:
        (await self._post(said, "public", "anyone")).close()

    async def _post(self, said: bytes, data_class: DataClass, limit: Place) -> ClientResponse:
        return await self._endpoint.request(
            "POST",
            self._path,
            said,
            self._headers(),
            purpose="call a tool",
            data_class=data_class,
            max_place=limit,
            timeouts=self._timeouts,
        )

    def _headers(self) -> list[tuple[str, str]]:
        named = [JSON, ACCEPT]
        if self._version:
            named.append(("mcp-protocol-version", self._version))
        if self._id:
            named.append((SESSION, self._id))
        return named


class SessionLost(UpstreamError):
    """The session no longer exists. `in_flight`: the request may have been executed."""

    in_flight = False


class SessionLostInFlight(SessionLost):
    in_flight = True


def result_of(said: JsonRpcMessage) -> bytes:
    """Raises UpstreamRejected with up to 300 characters of the server's error message, without secrets."""
    if said.error is not None:
        words = "".join(each for each in client_text(said.error.message)[:300] if each.isprintable())
        raise UpstreamRejected(
            f"the MCP server rejected the request ({said.error.code}): {words}", "check the tool's arguments"
        )
    return bytes(said.result) or b"{}"


def _refused(status: int, held: bool) -> UpstreamError:
    if status == 404 and held:
        return SessionLost("the MCP server no longer knows the session", "try again")
    if status in (401, 403):
        return UpstreamError(f"the MCP server rejected the credentials ({status})", "check its `key` in [mcp.NAME]")
    if status in (429, 503):
        return UpstreamOverloaded(f"the MCP server is busy ({status})", "try again in a moment")
    return UpstreamError(
        f"the MCP server responded with status {status}",
        "check its `url` in [mcp.NAME]; redirects are not followed",
    )
