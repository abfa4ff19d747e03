"""A session with an MCP server that is a program of this machine, over its input and output; knows no tool.

Which programs those are stands in the settings and nowhere else: no request, flow or model ever names one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from sizewise.data_class import DataClass, Place
from sizewise.errors import UpstreamGarbled
from sizewise.process import Program, program
from sizewise.tools.mcp import protocol
from sizewise.tools.mcp.http_session import Lost, LostMeanwhile, result
from sizewise.tools.mcp.protocol import BYTES, Message

HINT = "see why it ends: run its `command` by hand"


class StdioSession:
    """`ask` in any order and side by side, once it was opened. The program lives as long as the session."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], timeout_s: float) -> None:
        self._argv = tuple(argv)
        self._env = dict(env)
        self._timeout_s = timeout_s
        self._number = 0
        self._program: Program | None = None
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._listening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Raises Outside where it cannot be started."""
        self._program = await program(self._argv, self._env, BYTES)
        self._listening = asyncio.create_task(self._listen(self._program))
        protocol.greeted(await self.ask("initialize", protocol.hello()))
        await self._say(protocol.notification("notifications/initialized"))

    async def ask(
        self, method: str, params: Mapping[str, object], data_class: DataClass = "public", limit: Place = "anyone"
    ) -> bytes:
        """The result. Raises Lost, Upstream, TimeoutError. How far its data may go was looked at before."""
        self._number += 1
        number = self._number
        self._waiting[number] = answer = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._say(protocol.request(number, method, params))
                return result(await answer)
        except (TimeoutError, asyncio.CancelledError):
            if self._program is not None:
                self._program.writer.write(
                    protocol.notification("notifications/cancelled", {"requestId": number}) + b"\n"
                )
            raise
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        if self._program is not None:
            await self._program.end()
            self._program = None

    async def _say(self, said: bytes) -> None:
        if self._program is None or self._listening is None or self._listening.done():
            raise Lost("the MCP server's program has ended", HINT)
        try:
            self._program.writer.write(said + b"\n")
            await self._program.writer.drain()
        except OSError as error:
            raise Lost("the MCP server's program has ended", HINT) from error

    async def _listen(self, running: Program) -> None:
        """Until it says something that is no message, or ends: then nobody waits for it any more."""
        trouble: Exception = LostMeanwhile("the MCP server's program ended meanwhile", HINT)
        try:
            while line := await running.reader.readline():
                for said in protocol.message(line) if line.strip() else ():
                    if said.method and said.id is not None:
                        running.writer.write(protocol.reply(said) + b"\n")
                    elif isinstance(said.id, int) and (waiting := self._waiting.get(said.id)) and not waiting.done():
                        waiting.set_result(said)
        except (ValueError, UpstreamGarbled):  # a line longer than BYTES, or no message
            trouble = UpstreamGarbled("the MCP server's program writes what is no message", "it may log to stderr only")
        except OSError:
            pass
        finally:
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(trouble)
