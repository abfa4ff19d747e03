"""Knowledge bases as tools: passages with their place, as far as the caller may see them; knows no store."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Protocol

import msgspec
from msgspec import Raw

from sizewise.errors import BadRequest
from sizewise.handler import Ask
from sizewise.knowledge.knowledge_service import Told
from sizewise.knowledge.results import Found, tightest
from sizewise.messages import Chat
from sizewise.principal import Caller
from sizewise.tools.tool import NAME, Call, Result, Tool

NOBODYS = Chat("", [], {})
PREFIX = "search_"
LIMIT = 5
MOST = 50

_encode = msgspec.json.Encoder().encode


class Library(Protocol):
    async def bases(self, caller: Caller) -> list[Told]: ...
    async def search(self, ask: Ask, name: str, query: str, *, limit: int = 5) -> list[Found]: ...


class Looking:
    """Each base of the caller's project as `search_<base>`: an Offering."""

    def __init__(self, library: Library, door: str = "knowledge") -> None:
        self._library = library
        self._door = door

    async def tools(self, caller: Caller) -> Sequence[Tool]:
        if "ask" not in caller.may:
            return ()
        mine = [base for base in await self._library.bases(caller) if base.project == caller.project]
        return [self._tool(base.name) for base in mine if NAME.match(called(base.name))]

    def _tool(self, base: str) -> Tool:
        async def do(call: Call) -> Result:
            query, limit = call.arguments.get("query"), call.arguments.get("limit", LIMIT)
            if not isinstance(query, str) or not isinstance(limit, int) or not 1 <= limit <= MOST:
                raise BadRequest(f"it takes a `query`, and a `limit` from 1 to {MOST}", "call it again with both right")
            ask = Ask(NOBODYS, call.caller, call.trace, perf_counter(), call.wishes, self._door)
            found = await self._library.search(ask, base, query, limit=limit)
            shown = [{"text": each.text, "source": each.cited, "score": round(each.score, 4)} for each in found]
            return Result(_text(found), foreign=True, data=Raw(_encode(shown)), data_class=tightest(found))

        properties = {
            "query": {"type": "string", "description": "What is looked for, in words."},
            "limit": {"type": "integer", "minimum": 1, "maximum": MOST, "default": LIMIT},
        }
        schema = {"type": "object", "properties": properties, "required": ["query"], "additionalProperties": False}
        says = f"Finds passages in the knowledge base {base}, each with the place it is from."
        return Tool(called(base), says, schema, do, source="knowledge", foreign=True)


def called(base: str) -> str:
    """A base's name may hold dots, and a tool's may not."""
    return f"{PREFIX}{base.replace('.', '_')}"[:64]


def _text(found: Sequence[Found]) -> str:
    said = [f"[{number}] {each.cited}\n{each.text}" for number, each in enumerate(found, 1)]
    return "\n\n".join(said) or "(no passage was found)"
