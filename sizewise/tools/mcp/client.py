"""Another server's tools as ours, by the Model Context Protocol: pinned as first seen, bounded, held to places.

What a server says of a tool is a stranger's text that a model reads, so it is taken once: a tool that says something
else later is not called until an administrator approves its new mark. Sessions are an organisation's and project's own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from msgspec import Struct

from sizewise.data_class import DataClass, Place, reaches
from sizewise.errors import ConfigError, EgressDenied, SizewiseError, Upstream
from sizewise.guardrails.untrusted_content import objection
from sizewise.http.client import Client
from sizewise.http.egress import origin
from sizewise.principal import Caller
from sizewise.settings.load import secret
from sizewise.settings.tools import McpServer
from sizewise.tools.mcp import protocol
from sizewise.tools.mcp.http_session import HttpSession, Lost
from sizewise.tools.mcp.protocol import PAGES, Offered, Page
from sizewise.tools.mcp.stdio_session import StdioSession
from sizewise.tools.tool import Call, Result, Tool

log = logging.getLogger("sizewise.tools")

FRESH_S = 60.0
"""How long a list of tools is believed."""
AGAIN_S = 10.0
"""How long a server that failed is left alone."""
SESSIONS = 32
"""Sessions with one server; the one longest unused ends first."""


class Session(Protocol):
    async def open(self) -> None: ...
    async def ask(
        self, method: str, params: Mapping[str, object], data_class: DataClass = "public", limit: Place = "anyone"
    ) -> bytes: ...
    async def close(self) -> None: ...


class Pinned(Protocol):
    async def known(self, server: str) -> Mapping[str, str]: ...
    async def pin(self, server: str, marks: Mapping[str, str]) -> None: ...


class Changed(Struct, frozen=True):
    """A tool that is not what it was: it is offered to nobody until `mark` is among the server's `approved_hashes`."""

    server: str
    name: str
    mark: str


class _Listed(Struct, frozen=True):
    at: float
    tools: tuple[Offered, ...]
    changed: tuple[Changed, ...]


class Server:
    """One MCP server of the settings."""

    def __init__(self, name: str, row: McpServer, open: Callable[[], Session], pins: Pinned) -> None:
        self._name = name
        self._row = row
        self._open = open
        self._pins = pins
        self._sessions: OrderedDict[tuple[str, str], Session] = OrderedDict()
        self._opening = asyncio.Lock()
        self._listed: _Listed | None = None
        self._failed = float("-inf")
        self.trouble = ""

    @property
    def changed(self) -> tuple[Changed, ...]:
        return self._listed.changed if self._listed is not None else ()

    def admits(self, caller: Caller) -> bool:
        row = self._row
        return caller.tenant in row.organizations and (not row.projects or caller.project in row.projects)

    async def tools(self, caller: Caller) -> Sequence[Tool]:
        """None where it cannot be reached: then it limps, and others go on."""
        if not self.admits(caller):
            return ()
        try:
            listed = await self._list(caller)
        except (SizewiseError, TimeoutError) as error:
            self._failed = asyncio.get_running_loop().time()
            said = error.message if isinstance(error, SizewiseError) else "it took too long"
            if not self.trouble:
                log.warning("the tools of the MCP server %s cannot be had: %s", self._name, said)
            self.trouble = f"the MCP server {self._name!r}: {said}"
            return ()
        self.trouble = ""
        row = self._row
        return [
            Tool(
                protocol.named(self._name, each.name),
                each.description,
                each.parameters,
                _Doing(self, each),
                source=f"mcp:{self._name}",
                foreign=True,
                dangerous=not objection(each.name, (each.name,), row.require_approval),
                timeout_s=row.timeout_s,
                result_chars=row.max_result_chars,
            )
            for each in listed.tools
        ]

    async def call(self, tool: Offered, call: Call) -> Result:
        """Raises EgressDenied, Upstream."""
        row = self._row
        if not reaches(call.limit, row.place):
            raise EgressDenied(
                f"this call may go no further than {call.limit!r}, and the MCP server {self._name!r} is declared"
                f" {row.place!r}",
                "use a tool that runs nearer, or declare the data less confidential",
            )
        params = {"name": tool.name, "arguments": call.arguments, "_meta": {"sizewise/key": call.key}}
        return protocol.told(await self._ask(call.caller, "tools/call", params, call.data_class, call.limit))

    async def close(self) -> None:
        while self._sessions:
            await self._sessions.popitem()[1].close()

    async def _list(self, caller: Caller) -> _Listed:
        now = asyncio.get_running_loop().time()
        if self._listed is not None and now - self._listed.at < FRESH_S:
            return self._listed
        if now - self._failed < AGAIN_S:
            raise Upstream(self.trouble.partition(": ")[2] or "it failed just now")
        found: list[Offered] = []
        async with asyncio.timeout(self._row.timeout_s):
            cursor: str | None = None
            for _ in range(PAGES):
                said = await self._ask(caller, "tools/list", {"cursor": cursor} if cursor else {})
                page = protocol.decoded(said, Page)
                found += protocol.offered(page)
                cursor = page.nextCursor
                if not cursor:
                    break
        self._listed = await self._compared(protocol.pages(found), now)
        return self._listed

    async def _compared(self, found: Sequence[Offered], now: float) -> _Listed:
        """Against what was first seen, which is now where nothing was."""
        row, known = self._row, dict(await self._pins.known(self._name))
        mine = [
            each for each in found if not row.allowed_tools or not objection(each.name, (each.name,), row.allowed_tools)
        ]
        fresh = {each.name: each.mark for each in mine if each.name not in known}
        if fresh:
            await self._pins.pin(self._name, fresh)
        known |= fresh
        good = [each for each in mine if known[each.name] == each.mark or each.mark in row.approved_hashes]
        bad = [Changed(self._name, each.name, each.mark) for each in mine if each not in good]
        for each in bad:
            log.warning("the tool %s of the MCP server %s has changed: it is %s now", each.name, self._name, each.mark)
        return _Listed(now, tuple(good), tuple(bad))

    async def _ask(
        self,
        caller: Caller,
        method: str,
        params: Mapping[str, object],
        data_class: DataClass = "public",
        limit: Place = "anyone",
    ) -> bytes:
        """A session that was lost before anything was done is opened anew, once."""
        session = await self._session(caller)
        try:
            return await session.ask(method, params, data_class, limit)
        except Lost as error:
            await self._forget(caller, session)
            if error.begun:
                raise
        return await (await self._session(caller)).ask(method, params, data_class, limit)

    async def _session(self, caller: Caller) -> Session:
        whose = (caller.tenant, caller.project)
        async with self._opening:
            if whose in self._sessions:
                self._sessions.move_to_end(whose)
                return self._sessions[whose]
            session = self._open()
            try:
                async with asyncio.timeout(self._row.timeout_s):
                    await session.open()
            except BaseException:
                await asyncio.shield(session.close())
                raise
            self._sessions[whose] = session
            gone = self._sessions.popitem(last=False)[1] if len(self._sessions) > SESSIONS else None
        if gone is not None:
            await gone.close()
        return session

    async def _forget(self, caller: Caller, session: Session) -> None:
        whose = (caller.tenant, caller.project)
        if self._sessions.get(whose) is session:
            del self._sessions[whose]
        await session.close()


class _Doing:
    def __init__(self, server: Server, tool: Offered) -> None:
        self._server = server
        self._tool = tool

    async def __call__(self, call: Call) -> Result:
        try:
            return await self._server.call(self._tool, call)
        except Upstream as error:
            return Result(f"the tool failed: {error.message}", failed=True)


class Servers:
    """All MCP servers of the settings, as one Offering. Lives as long as the process."""

    def __init__(self, pins: Pinned) -> None:
        self._pins = pins
        self._servers: dict[str, tuple[McpServer, Server]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def prepare(self, wanted: Mapping[str, McpServer], client: Client) -> Callable[[], None]:
        """The change to these servers, by this client. Raises ConfigError."""
        servers = {
            name: (row, Server(name, row, _opening(name, row, client), self._pins)) for name, row in wanted.items()
        }

        def apply() -> None:
            before, self._servers = self._servers, servers
            for _, server in before.values():
                self._end(server)

        return apply

    @property
    def changed(self) -> list[Changed]:
        return [each for _, server in self._servers.values() for each in server.changed]

    def limps(self) -> list[str]:
        """What cannot be reached, and what has changed, in words."""
        said = [server.trouble for _, server in self._servers.values() if server.trouble]
        return said + [
            f"the tool {each.name!r} of the MCP server {each.server!r} has changed: read it, and add {each.mark!r} to"
            f" `approved_hashes` in [mcp.{each.server}]"
            for each in self.changed
        ]

    async def tools(self, caller: Caller) -> Sequence[Tool]:
        found = await asyncio.gather(*(server.tools(caller) for _, server in self._servers.values()))
        return [tool for tools in found for tool in tools]

    async def close(self) -> None:
        for _, server in self._servers.values():
            self._end(server)
        self._servers = {}
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _end(self, server: Server) -> None:
        try:
            task = asyncio.get_running_loop().create_task(server.close())
        except RuntimeError:
            return  # a house that is built without a loop has opened none
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


def _opening(name: str, row: McpServer, client: Client) -> Callable[[], Session]:
    """Raises ConfigError where it says neither or both of URL and program, or a key that is not there."""
    if bool(row.url) is bool(row.command):
        raise ConfigError(f"mcp.{name}: it has a `url` or a `command`, and not both", "say where it answers")
    if row.command:
        env = {key: secret(value) for key, value in row.env.items()}
        return lambda: StdioSession(row.command, env, row.timeout_s)
    key = secret(row.key)
    headers = [
        (title, secret(value) if value.startswith(("env:", "file:")) else value) for title, value in row.headers.items()
    ]
    if key:
        headers.append(("authorization", f"Bearer {key}") if row.auth == "bearer" else (row.auth, key))
    endpoint = client.endpoint(origin(row.url), headers, pool=64)
    path = urlsplit(row.url).path or "/"
    return lambda: HttpSession(endpoint, path, row.timeout_s)
