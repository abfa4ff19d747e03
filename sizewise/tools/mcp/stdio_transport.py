"""An MCP session with a local program over its stdin and stdout; knows no tool.

Only the settings name programs; no request, flow or model can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from sizewise.data_class import DataClass, Place
from sizewise.errors import UpstreamProtocolError
from sizewise.process import StdioProcess, start_program
from sizewise.tools.mcp import protocol
from sizewise.tools.mcp.http_transport import SessionLost, SessionLostInFlight, result_of
from sizewise.tools.mcp.protocol import MAX_MESSAGE_BYTES, JsonRpcMessage

HINT = "run its `command` by hand to see why it ends"


class StdioMcpSession:
    """After `open`, `request` may be called concurrently. The program lives as long as the session."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], timeout_s: float) -> None:
        self._argv = tuple(argv)
        self._env = dict(env)
        self._timeout_s = timeout_s
        self._last_id = 0
        self._program: StdioProcess | None = None
        self._waiting: dict[int, asyncio.Future[JsonRpcMessage]] = {}
        self._listening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Raises ExternalFailure if the program cannot be started."""
        self._program = await start_program(self._argv, self._env, MAX_MESSAGE_BYTES)
        self._listening = asyncio.create_task(self._listen(self._program))
        protocol.negotiated_version(await self.request("initialize", protocol.initialize_params()))
        await self._write(protocol.encode_notification("notifications/initialized"))

    async def request(
        self,
        method: str,
        params: Mapping[str, object],
        data_class: DataClass = "public",
        limit: Place = "anyone",
    ) -> bytes:
        """The result. Raises SessionLost, UpstreamError, TimeoutError. McpServerClient checks `limit` before."""
        self._last_id += 1
        number = self._last_id
        self._waiting[number] = answer = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._write(protocol.encode_request(number, method, params))
                return result_of(await answer)
        except (TimeoutError, asyncio.CancelledError):
            if self._program is not None:
                self._program.writer.write(
                    protocol.encode_notification("notifications/cancelled", {"requestId": number}) + b"\n",
                )
            raise
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        if self._program is not None:
            await self._program.terminate()
            self._program = None

    async def _write(self, said: bytes) -> None:
        if self._program is None or self._listening is None or self._listening.done():
            raise SessionLost("the MCP server's program has ended", HINT)
        try:
            self._program.writer.write(said + b"\n")
            await self._program.writer.drain()
        except OSError as error:
            raise SessionLost("the MCP server's program has ended", HINT) from error

    async def _listen(self, running: StdioProcess) -> None:
        """Reads messages until the program ends or writes an invalid one; then pending requests fail."""
        trouble: Exception = SessionLostInFlight("the MCP server's program ended meanwhile", HINT)
        try:
            while line := await running.reader.readline():
                for said in protocol.decode_messages(line) if line.strip() else ():
                    if said.method and said.id is not None:
                        running.writer.write(protocol.encode_reply(said) + b"\n")
                    elif isinstance(said.id, int) and (waiting := self._waiting.get(said.id)) and not waiting.done():
                        waiting.set_result(said)
        except (ValueError, UpstreamProtocolError):  # a line longer than MAX_MESSAGE_BYTES, or no message
            trouble = UpstreamProtocolError(
                'policies.{name}.guardrails.leakage: the action "local" is not possible for replies',
                "it may log to stderr only",
            )
        except OSError:
            pass
        finally:
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(trouble)
