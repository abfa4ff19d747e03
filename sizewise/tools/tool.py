"""What a tool is: a name, words, a JSON Schema and something to do; bounded in size and time, knows no model.

Where a tool comes from (a function, an MCP server, a flow, a knowledge base) is the business of whoever makes it. What
comes back is text for a model and never an instruction to us; `foreign` says that others wrote it.
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
from sizewise.guardrails.untrusted_content import objection
from sizewise.handler import Wishes
from sizewise.messages import ToolCall
from sizewise.principal import Caller

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
"""What models and every wire take for a tool's name."""
DESCRIPTION = 4_096
"""Characters of a description that a model is shown."""
ARGUMENTS = 262_144
"""Bytes of a call's arguments."""

_encode = msgspec.json.Encoder().encode


class Call(Struct, frozen=True):
    """One call, on somebody's behalf. `key` is the same when the same call is made again (run, node and step): a tool
    that changes something does so once a key. Data of `data_class` goes no further than `limit`; unsaid: no further
    than this machine."""

    arguments: Mapping[str, object]
    caller: Caller
    key: str = ""
    trace: str = ""
    wishes: Wishes = Wishes()
    data_class: DataClass = "confidential"
    limit: Place = "machine"


class Result(Struct, frozen=True):
    """What came of a call. `text` is what a model reads; `data` the same as JSON, where it is more than a text.

    `failed`: it is the tool's own "no", for the model to mend. `cut`: characters that were left out of `text`.
    `data_class`: how closely whatever uses it must be kept; None where it is no stricter than the call.
    """

    text: str
    failed: bool = False
    foreign: bool = False
    data: Raw | None = None
    cut: int = 0
    data_class: DataClass | None = None


Do = Callable[[Call], Awaitable[Result]]


class Tool(Struct, frozen=True):
    """Something that can be called. `parameters` is a JSON Schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, object]
    do: Do
    source: str = "function"  # function | mcp:<server> | flow | knowledge
    foreign: bool = False  # its results are words of others
    dangerous: bool = False  # a person is asked before each call
    alone: bool = False  # never beside another call
    timeout_s: float = 60.0
    result_chars: int = 65_536

    async def call(self, call: Call) -> Result:
        """Within its time and size. A refusal of ours (egress, rights, budgets) is raised; what only says that this
        call was wrong, or took too long, is a failed Result, for whoever asked for it to mend."""
        if len(_encode(call.arguments)) > ARGUMENTS:
            return Result(f"the arguments are longer than {ARGUMENTS} bytes", failed=True)
        try:
            async with asyncio.timeout(self.timeout_s):
                result = await self.do(call)
        except TimeoutError:
            return Result(f"the tool had not answered after {self.timeout_s:g} s and was stopped", failed=True)
        except BadRequest as error:
            return Result(said(error), failed=True)
        return self._bounded(result)

    def offered(self) -> dict[str, object]:
        """As a chat request offers it."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}

    def _bounded(self, result: Result) -> Result:
        over = len(result.text) - self.result_chars
        foreign = result.foreign or self.foreign
        if over > 0:
            text = f"{result.text[: self.result_chars]}\n[{over} more characters were left out]"
            return msgspec.structs.replace(result, text=text, data=None, cut=over, foreign=foreign)
        return result if foreign is result.foreign else msgspec.structs.replace(result, foreign=foreign)


def said(error: SizewiseError) -> str:
    return f"{error.message}: {error.hint}" if error.hint else error.message


class Offering(Protocol):
    """Whoever has tools: a flow store, a knowledge room, an MCP server, the functions of this installation."""

    async def tools(self, caller: Caller) -> Sequence[Tool]:
        """Those that this caller may use, as they are now; never another tenant's or project's."""


class Shelf:
    """All that is offered, in one list. Of two tools with one name the first offering's counts. Immutable."""

    def __init__(self, offerings: Sequence[Offering] = (), allowed: Sequence[str] | None = None) -> None:
        """`allowed`: names, or beginnings with a * behind them (`guardrails.allowed_tools`); None: all."""
        self._offerings = tuple(offerings)
        self._allowed = None if allowed is None else tuple(allowed)

    async def tools(self, caller: Caller) -> Sequence[Tool]:
        found: dict[str, Tool] = {}
        for offering in self._offerings:
            for tool in await offering.tools(caller):
                if not objection(tool.name, (tool.name,), self._allowed):
                    found.setdefault(tool.name, tool)
        return tuple(found.values())

    async def chosen(self, names: Sequence[str], caller: Caller) -> tuple[Tool, ...]:
        """The tools called `names`, or beginning as one that ends with a *, in that order. Raises BadRequest for a name
        that means nothing here."""
        there = await self.tools(caller)
        found: dict[str, Tool] = {}
        for name in names:
            fits = [each for each in there if not objection(each.name, (each.name,), (name,))]
            if not fits and not name.endswith("*"):
                known = ", ".join(sorted(each.name for each in there)[:20]) or "none"
                raise BadRequest(f"there is no tool {name[:100]!r} that may be called", f"known here: {known}")
            found.update((each.name, each) for each in fits)
        return tuple(found.values())


def arguments(call: ToolCall) -> dict[str, object]:
    """What a model wants a tool called with. Raises BadRequest for what is no JSON object, in words for the model."""
    text = call.function.arguments if call.function is not None else ""
    if len(text) > ARGUMENTS:
        raise BadRequest(f"the arguments are longer than {ARGUMENTS} bytes", "send less")
    try:
        return msgspec.json.decode(text.strip() or "{}", type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest("the arguments are no JSON object", "call it again with a JSON object") from error
