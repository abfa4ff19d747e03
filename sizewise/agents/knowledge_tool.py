"""Tool provider that exposes each knowledge base of a project as a search tool; knows no vector store."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Protocol

import msgspec
from msgspec import Raw

from sizewise.errors import BadRequest
from sizewise.handler import Request
from sizewise.knowledge.base_summary import BaseSummary
from sizewise.knowledge.results import SearchResponse, strictest_data_class
from sizewise.messages import ChatRequest
from sizewise.principal import Principal
from sizewise.tools.tool import NAME_PATTERN, Tool, ToolInvocation, ToolOutput

EMPTY_CHAT = ChatRequest("", [], {})
TOOL_PREFIX = "search_"
DEFAULT_LIMIT = 5
MAX_LIMIT = 50

_encode = msgspec.json.Encoder().encode


class KnowledgeSearch(Protocol):
    async def bases(self, principal: Principal) -> list[BaseSummary]: ...
    async def search(self, request: Request, name: str, query: str, *, limit: int = 5) -> SearchResponse: ...


class KnowledgeTool:
    """A ToolProvider: each knowledge base of the caller's project as the tool `search_<base>`."""

    def __init__(self, knowledge: KnowledgeSearch, endpoint: str = "knowledge") -> None:
        self._knowledge = knowledge
        self._endpoint = endpoint

    async def tools(self, principal: Principal) -> Sequence[Tool]:
        if "ask" not in principal.permissions:
            return ()
        mine = [base for base in await self._knowledge.bases(principal) if base.project == principal.project]
        return [self._tool(base.name) for base in mine if NAME_PATTERN.match(tool_name(base.name))]

    def _tool(self, base: str) -> Tool:
        async def do(call: ToolInvocation) -> ToolOutput:
            query, limit = call.arguments.get("query"), call.arguments.get("limit", DEFAULT_LIMIT)
            if not isinstance(query, str) or not isinstance(limit, int) or not 1 <= limit <= MAX_LIMIT:
                raise BadRequest(
                    f"the tool needs a `query` and accepts a `limit` from 1 to {MAX_LIMIT}",
                    "correct the arguments and call it again",
                )
            request = Request(
                payload=EMPTY_CHAT,
                principal=call.principal,
                trace_id=call.trace,
                started_at=perf_counter(),
                options=call.options,
                endpoint=self._endpoint,
                origin=call.origin,
            )
            found = await self._knowledge.search(request, base, query, limit=limit)
            shown = [{"text": each.text, "source": each.cited, "score": round(each.score, 4)} for each in found.results]
            return ToolOutput(
                _text(found),
                untrusted=True,
                data=Raw(_encode(shown)),
                data_class=strictest_data_class(found.results),
            )

        properties = {
            "query": {"type": "string", "description": "What is looked for, in words."},
            "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        }
        schema = {"type": "object", "properties": properties, "required": ["query"], "additionalProperties": False}
        says = f"Finds passages in the knowledge base {base}, each with the place it is from."
        return Tool(tool_name(base), says, schema, do, source="knowledge", untrusted=True)


def tool_name(base: str) -> str:
    """The tool name, at most 64 characters; dots, allowed in a base's name only, become underscores."""
    return f"{TOOL_PREFIX}{base.replace('.', '_')}"[:64]


def _text(found: SearchResponse) -> str:
    said = [f"[{number}] {each.cited_to_model}\n{each.text}" for number, each in enumerate(found.results, 1)]
    return "\n\n".join([*(said or ["(no passage was found)"]), *(f"(warning: {each})" for each in found.warnings)])
