"""The tool interface: a name, a description, a JSON Schema and a handler, bounded in time and size.

Functions, MCP servers, flows and knowledge bases all provide tools of this shape. A result is text for a model, never
an instruction to Sizewise; `untrusted` marks text from third parties.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec
from msgspec import Raw, Struct

from sizewise.data_class import DataClass, Place
from sizewise.errors import BadRequest, SizewiseError
from sizewise.guardrails.untrusted_content import tool_denial_reason
from sizewise.handler import RequestOptions
from sizewise.messages import ToolCall
from sizewise.principal import Principal
from sizewise.request_origin import RequestOrigin

NAME_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
"""Tool names that every wire accepts."""
MAX_DESCRIPTION_CHARS = 4_096
MAX_ARGUMENT_BYTES = 262_144

_encode = msgspec.json.Encoder().encode


class ToolInvocation(Struct, frozen=True):
    """One call on behalf of `principal`.

    `idempotency_key` is the same when a call is repeated (same run, node and step): a tool that changes something does
    it once per key. Data of `data_class` may reach no further than `limit`.
    """

    arguments: Mapping[str, object]
    principal: Principal
    idempotency_key: str = ""
    trace: str = ""
    options: RequestOptions = RequestOptions()
    data_class: DataClass = "confidential"
    limit: Place = "machine"
    origin: RequestOrigin | None = None  # the span of the call


class ToolOutput(Struct, frozen=True):
    """The result of a call. `text` is what a model reads; `data` is the same as JSON, if it is structured.

    `failed`: the tool reports an error, which the model may correct. `truncated_chars`: characters cut from `text`.
    `data_class`: of the result; None if it is no stricter than that of the call.
    """

    text: str
    failed: bool = False
    untrusted: bool = False
    data: Raw | None = None
    truncated_chars: int = 0
    data_class: DataClass | None = None


ToolHandler = Callable[[ToolInvocation], Awaitable[ToolOutput]]


class Tool(Struct, frozen=True):
    """A tool. `parameters` is a JSON Schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, object]
    handler: ToolHandler
    source: str = "function"  # function | mcp:<server> | flow | knowledge
    untrusted: bool = False  # its results are text of third parties
    needs_approval: bool = False  # a person approves each call
    approvers: tuple[str, ...] = ()  # who can: APPROVER_PATTERN of principal.py; empty: all with the permission
    exclusive: bool = False  # never runs concurrently with another call
    timeout_s: float | None = 60.0  # None: the handler has limits of its own
    max_result_chars: int = 65_536

    async def call(self, invocation: ToolInvocation) -> ToolOutput:
        """Calls the handler within the time and size limits. Refusals (egress, permissions, budgets) are raised.

        Bad arguments and timeouts are returned as a failed ToolOutput, which the caller can correct.
        """
        if len(_encode(invocation.arguments)) > MAX_ARGUMENT_BYTES:
            return ToolOutput(f"the arguments are longer than {MAX_ARGUMENT_BYTES} bytes", failed=True)
        try:
            async with asyncio.timeout(self.timeout_s):
                result = await self.handler(invocation)
        except TimeoutError:
            limit = "in time" if self.timeout_s is None else f"within {self.timeout_s:g} s"
            return ToolOutput(f"the tool did not respond {limit} and was stopped", failed=True)
        except BadRequest as error:
            return ToolOutput(error_text(error), failed=True)
        return self._truncate(result)

    def to_openai(self) -> dict[str, object]:
        """The entry for `tools` of a chat request."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}

    def _truncate(self, result: ToolOutput) -> ToolOutput:
        over = len(result.text) - self.max_result_chars
        foreign = result.untrusted or self.untrusted
        if over > 0:
            text = f"{result.text[: self.max_result_chars]}\n[{over} more characters were left out]"
            return msgspec.structs.replace(result, text=text, data=None, truncated_chars=over, untrusted=foreign)
        return result if foreign is result.untrusted else msgspec.structs.replace(result, untrusted=foreign)


def error_text(error: SizewiseError) -> str:
    return f"{error.message}: {error.hint}" if error.hint else error.message


class ToolProvider(Protocol):
    """A source of tools: flows, knowledge bases, MCP servers, installed functions."""

    async def tools(self, principal: Principal) -> Sequence[Tool]:
        """The tools that this caller may use now; never another tenant's or project's."""


class ToolAccess(Protocol):
    """The part of a Toolset that agents and flows use."""

    async def select(self, names: Sequence[str], principal: Principal) -> tuple[Tool, ...]:
        """The named tools that this caller may use. Raises BadRequest for an unknown name."""
        ...


class Toolset:
    """The tools of all providers. If two have the same name, the first provider's is used. Immutable."""

    def __init__(self, providers: Sequence[ToolProvider] = (), allowed: Sequence[str] | None = None) -> None:
        """`allowed`: names, or prefixes that end in `*` (`guardrails.allowed_tools`); None: all."""
        self._providers = tuple(providers)
        self._allowed = None if allowed is None else tuple(allowed)

    async def tools(self, principal: Principal) -> Sequence[Tool]:
        found: dict[str, Tool] = {}
        for offering in self._providers:
            for tool in await offering.tools(principal):
                if not tool_denial_reason(tool.name, (tool.name,), self._allowed):
                    found.setdefault(tool.name, tool)
        return tuple(found.values())

    async def select(self, names: Sequence[str], principal: Principal) -> tuple[Tool, ...]:
        """The tools that match `names` (names, or prefixes that end in `*`), in that order.

        Raises BadRequest for a name without a tool; a prefix may match none.
        """
        there = await self.tools(principal)
        found: dict[str, Tool] = {}
        for name in names:
            fits = [each for each in there if not tool_denial_reason(each.name, (each.name,), (name,))]
            if not fits and not name.endswith("*"):
                known = ", ".join(sorted(each.name for each in there)[:20]) or "none"
                raise BadRequest(f"there is no tool {name[:100]!r} that may be called", f"known here: {known}")
            found.update((each.name, each) for each in fits)
        return tuple(found.values())


def parse_arguments(call: ToolCall) -> dict[str, object]:
    """The arguments of a model's tool call. Raises BadRequest, worded for the model, unless they are a JSON object."""
    text = call.function.arguments if call.function is not None else ""
    if len(text) > MAX_ARGUMENT_BYTES:
        raise BadRequest(f"the arguments are longer than {MAX_ARGUMENT_BYTES} bytes", "shorten them")
    try:
        return msgspec.json.decode(text.strip() or "{}", type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest("the arguments are not a JSON object", "call it again with a JSON object") from error
