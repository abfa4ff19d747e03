"""MCP client: offers the tools of configured MCP servers, pinned at first use and limited in reach.

A model reads tool descriptions, so each tool is pinned by the hash of its description: if that changes, the tool is not
offered until an administrator approves the new fingerprint. Sessions are separate per organization and project.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from msgspec import Struct

from sizewise.data_class import DataClass, Place, is_within
from sizewise.errors import ConfigError, EgressDenied, SizewiseError, UpstreamError
from sizewise.guardrails.untrusted_content import tool_denial_reason
from sizewise.http.client import HttpClient
from sizewise.http.egress import origin
from sizewise.principal import Principal
from sizewise.settings.load import resolve_secret
from sizewise.settings.tools import McpServerSettings
from sizewise.tools.mcp import protocol
from sizewise.tools.mcp.http_transport import HttpMcpSession, SessionLost
from sizewise.tools.mcp.protocol import MAX_PAGES, McpTool, ToolPage
from sizewise.tools.mcp.stdio_transport import StdioMcpSession
from sizewise.tools.tool import Tool, ToolInvocation, ToolOutput

log = logging.getLogger("sizewise.tools")

TOOL_LIST_TTL_S = 60.0
"""How long a tool list is cached."""
RETRY_AFTER_S = 10.0
"""How long a server is not asked for its tools after a failure."""
MAX_SESSIONS = 32
"""Sessions with one server; beyond that the least recently used is closed."""


class McpSession(Protocol):
    async def open(self) -> None: ...
    async def request(
        self,
        method: str,
        params: Mapping[str, object],
        data_class: DataClass = "public",
        limit: Place = "anyone",
    ) -> bytes: ...
    async def close(self) -> None: ...


class PinStore(Protocol):
    async def pinned(self, server: str) -> Mapping[str, str]: ...
    async def pin(self, server: str, fingerprints: Mapping[str, str]) -> None: ...


class ChangedTool(Struct, frozen=True):
    """A tool whose description changed: not offered until `fingerprint` is in the server's `approved_hashes`."""

    server: str
    name: str
    fingerprint: str


class _ToolList(Struct, frozen=True):
    at: float
    tools: tuple[McpTool, ...]
    changed: tuple[ChangedTool, ...]


class McpServerClient:
    """One configured MCP server."""

    def __init__(
        self,
        name: str,
        settings: McpServerSettings,
        open_session: Callable[[], McpSession],
        pins: PinStore,
    ) -> None:
        self._name = name
        self._settings = settings
        self._open = open_session
        self._pins = pins
        self._sessions: OrderedDict[tuple[str, str], McpSession] = OrderedDict()
        self._opening = asyncio.Lock()
        self._tool_list: _ToolList | None = None
        self._failed = float("-inf")
        self.last_error = ""

    @property
    def changed_tools(self) -> tuple[ChangedTool, ...]:
        return self._tool_list.changed if self._tool_list is not None else ()

    def allows(self, principal: Principal) -> bool:
        row = self._settings
        return principal.tenant in row.organizations and (not row.projects or principal.project in row.projects)

    async def tools(self, principal: Principal) -> Sequence[Tool]:
        """The server's tools; none if it cannot be reached, which sets `last_error` instead of raising."""
        if not self.allows(principal):
            return ()
        try:
            listed = await self._list(principal)
        except (SizewiseError, TimeoutError) as error:
            self._failed = asyncio.get_running_loop().time()
            said = error.message if isinstance(error, SizewiseError) else "timed out"
            if not self.last_error:
                log.warning("cannot list the tools of the MCP server %s: %s", self._name, said)
            self.last_error = f"the MCP server {self._name!r}: {said}"
            return ()
        self.last_error = ""
        row = self._settings
        return [
            Tool(
                protocol.model_tool_name(self._name, each.name),
                each.description,
                each.parameters,
                _McpToolRunner(self, each),
                source=f"mcp:{self._name}",
                untrusted=True,
                needs_approval=not tool_denial_reason(each.name, (each.name,), row.require_approval),
                approvers=row.approvers,
                timeout_s=row.timeout_s,
                max_result_chars=row.max_result_chars,
            )
            for each in listed.tools
        ]

    async def call_tool(self, tool: McpTool, invocation: ToolInvocation) -> ToolOutput:
        """Raises EgressDenied, UpstreamError."""
        row = self._settings
        if not is_within(invocation.limit, row.place):
            raise EgressDenied(
                f"this call may go no further than {invocation.limit!r}, and the MCP server {self._name!r} is "
                f"declared {row.place!r}",
                "use a tool that runs nearer, or a less strict data class",
            )
        params = {
            "name": tool.name,
            "arguments": invocation.arguments,
            "_meta": {"sizewise/key": invocation.idempotency_key},
        }
        return protocol.tool_output(
            await self._request(invocation.principal, "tools/call", params, invocation.data_class, invocation.limit),
        )

    async def close(self) -> None:
        while self._sessions:
            await self._sessions.popitem()[1].close()

    async def _list(self, principal: Principal) -> _ToolList:
        now = asyncio.get_running_loop().time()
        if self._tool_list is not None and now - self._tool_list.at < TOOL_LIST_TTL_S:
            return self._tool_list
        if now - self._failed < RETRY_AFTER_S:
            raise UpstreamError(self.last_error.partition(": ")[2] or "the server failed moments ago")
        found: list[McpTool] = []
        async with asyncio.timeout(self._settings.timeout_s):
            cursor: str | None = None
            for _ in range(MAX_PAGES):
                said = await self._request(principal, "tools/list", {"cursor": cursor} if cursor else {})
                page = protocol.decode_as(said, ToolPage)
                found += protocol.usable_tools(page)
                cursor = page.nextCursor
                if not cursor:
                    break
        self._tool_list = await self._check_pins(protocol.unique_tools(found), now)
        return self._tool_list

    async def _check_pins(self, found: Sequence[McpTool], now: float) -> _ToolList:
        """Compares the allowed tools with their pins; a tool seen for the first time is pinned."""
        row, known = self._settings, dict(await self._pins.pinned(self._name))
        mine = [
            each
            for each in found
            if not row.allowed_tools or not tool_denial_reason(each.name, (each.name,), row.allowed_tools)
        ]
        fresh = {each.name: each.fingerprint for each in mine if each.name not in known}
        if fresh:
            await self._pins.pin(self._name, fresh)
        known |= fresh
        good = [
            each for each in mine if known[each.name] == each.fingerprint or each.fingerprint in row.approved_hashes
        ]
        bad = [ChangedTool(self._name, each.name, each.fingerprint) for each in mine if each not in good]
        for each in bad:
            log.warning(
                "the tool %s of the MCP server %s has changed; its new hash is %s",
                each.name,
                self._name,
                each.fingerprint,
            )
        return _ToolList(now, tuple(good), tuple(bad))

    async def _request(
        self,
        principal: Principal,
        method: str,
        params: Mapping[str, object],
        data_class: DataClass = "public",
        limit: Place = "anyone",
    ) -> bytes:
        """Reopens the session and retries once if it was lost before the request reached the server."""
        session = await self._session_for(principal)
        try:
            return await session.request(method, params, data_class, limit)
        except SessionLost as error:
            await self._drop_session(principal, session)
            if error.in_flight:
                raise
        return await (await self._session_for(principal)).request(method, params, data_class, limit)

    async def _session_for(self, principal: Principal) -> McpSession:
        whose = (principal.tenant, principal.project)
        async with self._opening:
            if whose in self._sessions:
                self._sessions.move_to_end(whose)
                return self._sessions[whose]
            session = self._open()
            try:
                async with asyncio.timeout(self._settings.timeout_s):
                    await session.open()
            except BaseException:
                await asyncio.shield(session.close())
                raise
            self._sessions[whose] = session
            gone = self._sessions.popitem(last=False)[1] if len(self._sessions) > MAX_SESSIONS else None
        if gone is not None:
            await gone.close()
        return session

    async def _drop_session(self, principal: Principal, session: McpSession) -> None:
        whose = (principal.tenant, principal.project)
        if self._sessions.get(whose) is session:
            del self._sessions[whose]
        await session.close()


class _McpToolRunner:
    def __init__(self, server: McpServerClient, tool: McpTool) -> None:
        self._server = server
        self._tool = tool

    async def __call__(self, invocation: ToolInvocation) -> ToolOutput:
        try:
            return await self._server.call_tool(self._tool, invocation)
        except UpstreamError as error:
            return ToolOutput(f"the tool failed: {error.message}", failed=True)


class McpServers:
    """All configured MCP servers as one ToolProvider. Lives as long as the process."""

    def __init__(self, pins: PinStore) -> None:
        self._pins = pins
        self._servers: dict[str, tuple[McpServerSettings, McpServerClient]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def prepare(self, wanted: Mapping[str, McpServerSettings], client: HttpClient) -> Callable[[], None]:
        """Returns the function that switches to the servers `wanted`, reached with `client`. Raises ConfigError."""
        servers = {
            name: (row, McpServerClient(name, row, _opening(name, row, client), self._pins))
            for name, row in wanted.items()
        }

        def apply() -> None:
            before, self._servers = self._servers, servers
            for _, server in before.values():
                self._end(server)

        return apply

    @property
    def changed_tools(self) -> list[ChangedTool]:
        return [each for _, server in self._servers.values() for each in server.changed_tools]

    def impaired(self) -> list[str]:
        """Messages for `/readyz`: servers that cannot be reached, and tools that have changed."""
        said = [server.last_error for _, server in self._servers.values() if server.last_error]
        return said + [
            f"the tool {each.name!r} of the MCP server {each.server!r} has changed: review it, and add "
            f"{each.fingerprint!r} to `approved_hashes` in [mcp.{each.server}]"
            for each in self.changed_tools
        ]

    async def tools(self, principal: Principal) -> Sequence[Tool]:
        found = await asyncio.gather(*(server.tools(principal) for _, server in self._servers.values()))
        return [tool for tools in found for tool in tools]

    async def close(self) -> None:
        for _, server in self._servers.values():
            self._end(server)
        self._servers = {}
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _end(self, server: McpServerClient) -> None:
        try:
            task = asyncio.get_running_loop().create_task(server.close())
        except RuntimeError:
            return  # no event loop, so no session was opened
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


def _opening(name: str, row: McpServerSettings, client: HttpClient) -> Callable[[], McpSession]:
    """Raises ConfigError unless exactly one of `url` and `command` is set, or if a secret is missing."""
    if bool(row.url) is bool(row.command):
        raise ConfigError(
            f"mcp.{name}: set either `url` or `command`", "`url` is a server's address; `command` starts a program"
        )
    if row.command:
        env = {key: resolve_secret(value) for key, value in row.env.items()}
        return lambda: StdioMcpSession(row.command, env, row.timeout_s)
    key = resolve_secret(row.key)
    headers = [
        (title, resolve_secret(value) if value.startswith(("env:", "file:")) else value)
        for title, value in row.headers.items()
    ]
    if key:
        headers.append(("authorization", f"Bearer {key}") if row.auth == "bearer" else (row.auth, key))
    endpoint = client.endpoint(origin(row.url), headers, max_connections=64)
    path = urlsplit(row.url).path or "/"
    return lambda: HttpMcpSession(endpoint, path, row.timeout_s)
