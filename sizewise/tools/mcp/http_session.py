"""A session with an MCP server over streamable HTTP, by our own client and its one way out; knows no tool.

One POST for each message; the answer comes as JSON or as a stream of events, which is read up to our answer. No
redirect is followed, and no stream of the server's own is opened.
"""

from __future__ import annotations

from collections.abc import Mapping

from sizewise.data_class import DataClass, Place
from sizewise.errors import Upstream, UpstreamBusy, UpstreamGarbled, UpstreamRefused
from sizewise.http.client import Endpoint, Response, Timeouts
from sizewise.providers.wires.sse import Frames
from sizewise.tools.mcp import protocol
from sizewise.tools.mcp.protocol import BYTES, Message

JSON = ("content-type", "application/json")
ACCEPT = ("accept", "application/json, text/event-stream")
SESSION = "mcp-session-id"
LONGEST = 1_024
"""Characters of a session's id."""


class HttpSession:
    """`ask` in any order and side by side, once it was opened."""

    def __init__(self, endpoint: Endpoint, path: str, timeout_s: float) -> None:
        self._endpoint = endpoint
        self._path = path
        self._timeouts = Timeouts(connect=5, first_byte=timeout_s, between_bytes=timeout_s, total=timeout_s)
        self._number = 0
        self._id = ""
        self._version = ""

    async def open(self) -> None:
        result = await self.ask("initialize", protocol.hello())
        self._version = protocol.greeted(result)
        await self._tell(protocol.notification("notifications/initialized"))

    async def ask(
        self,
        method: str,
        params: Mapping[str, object],
        data_class: DataClass = "public",
        limit: Place = "anyone",
    ) -> bytes:
        """The result. Raises EgressDenied, Lost (open it anew), Upstream."""
        self._number += 1
        number = self._number
        response = await self._post(protocol.request(number, method, params), data_class, limit)
        async with response:
            if response.status != 200:
                raise _refused(response.status, bool(self._id))
            if session := response.get(SESSION):
                self._id = session if len(session) <= LONGEST and session.isprintable() else ""
            if (response.get("content-type") or "").partition(";")[0].strip().lower() == "text/event-stream":
                return await self._streamed(response, number)
            for said in protocol.message(await response.read(BYTES)):
                if said.id == number:
                    return result(said)
        raise UpstreamGarbled("the MCP server did not answer what it was asked", "is this an MCP server?")

    async def close(self) -> None:
        if self._id:
            try:
                response = await self._endpoint.request(
                    "DELETE", self._path, headers=self._headers(), why="end a session with tools", data_class="public"
                )
                response.close()
            except Upstream:
                pass  # it will forget us by itself

    async def _streamed(self, response: Response, number: int) -> bytes:
        frames, size = Frames(), 0
        while chunk := await response.chunk():
            size += len(chunk)
            if size > BYTES:
                break
            for frame in frames.feed(chunk):
                for said in protocol.message(frame):
                    if said.id == number and not said.method:
                        return result(said)
        raise UpstreamGarbled("the MCP server's stream ended without an answer", "see what the server writes")

    async def _tell(self, said: bytes) -> None:
        (await self._post(said, "public", "anyone")).close()

    async def _post(self, said: bytes, data_class: DataClass, limit: Place) -> Response:
        return await self._endpoint.request(
            "POST",
            self._path,
            said,
            self._headers(),
            why="call a tool",
            data_class=data_class,
            limit=limit,
            timeouts=self._timeouts,
        )

    def _headers(self) -> list[tuple[str, str]]:
        named = [JSON, ACCEPT]
        if self._version:
            named.append(("mcp-protocol-version", self._version))
        if self._id:
            named.append((SESSION, self._id))
        return named


class Lost(Upstream):
    """There is no such session any more. `begun`: what was asked may have been done."""

    begun = False


class LostMeanwhile(Lost):
    begun = True


def result(said: Message) -> bytes:
    """Raises UpstreamRefused with the server's own words, bounded."""
    if said.error is not None:
        words = "".join(each for each in said.error.message[:300] if each.isprintable())
        raise UpstreamRefused(f"the MCP server refuses ({said.error.code}): {words}", "see what the tool takes")
    return bytes(said.result) or b"{}"


def _refused(status: int, held: bool) -> Upstream:
    if status == 404 and held:
        return Lost("the MCP server has forgotten our session", "ask again")
    if status in (401, 403):
        return Upstream(f"the MCP server does not let us in ({status})", "check its `key` in [mcp.NAME]")
    if status in (429, 503):
        return UpstreamBusy(f"the MCP server has no time ({status})", "try again in a moment")
    return Upstream(f"the MCP server answered {status}", "check its `url` in [mcp.NAME]; redirects are not followed")
