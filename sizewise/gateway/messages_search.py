"""The tool `web_search_20250305` of /v1/messages, and of later days: one search before any model is called, by a grant.

The pages are put in front of the user's last words; the model is not offered the tool. The answer has the blocks, the
citations and the count of the API.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.errors import BadBody, NotTranslatable, SizewiseError
from sizewise.gateway.file_citations import cited_numbers
from sizewise.gateway.question_turns import ends_with_question, question_of, with_text_before_question
from sizewise.gateway.web_query import WebSearchOutcome, search_unasked, search_web
from sizewise.gateway.web_search import UserLocation, checked_country, checked_domains, converted
from sizewise.gateway.web_search_grant import grant_of, search_refusal, searches_unasked
from sizewise.handler import Request
from sizewise.messages import ChatRequest, JsonFields, request_size
from sizewise.providers.wires.anthropic.request_in import WIRE_NAME, read_request
from sizewise.providers.wires.anthropic.search_blocks import (
    TOOL_NAME,
    citation,
    found_page,
    search_blocks,
    without_searches,
)
from sizewise.providers.wires.original_body import OriginalBody, original_body
from sizewise.web_search.search_engines import WebQuery

Json = dict[str, Any]
TOOL_TYPE = re.compile(r"web_search_20\d{6}")
CLAUDE_CODE_PREFIX = "Perform a web search for the query: "
"""How Claude Code's own tool WebSearch begins the request that it makes to search."""
DIRECT = "direct"
MAX_CITED_CHARS = 150  # as the API cites

_encode = msgspec.json.Encoder().encode


class MessagesSearchTool(Struct, forbid_unknown_fields=True):
    """The tool as a client describes it. Fields that say how the vendor's model is to call it are accepted."""

    type: str
    name: str = TOOL_NAME
    max_uses: int | None = None
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None
    user_location: UserLocation | None = None
    allowed_callers: list[str] | None = None
    cache_control: Any = None
    defer_loading: bool | None = None
    strict: bool | None = None
    response_inclusion: str | None = None

    def limits(self, at: str) -> WebQuery:
        """Raises BadBody."""
        if self.max_uses is not None and self.max_uses < 1:
            raise BadBody(f"`{at}.max_uses` is {self.max_uses}", "use 1 or more", param=f"{at}.max_uses")
        country = (self.user_location.country if self.user_location is not None else None) or ""
        return WebQuery(
            text="",
            allowed=checked_domains(self.allowed_domains, f"{at}.allowed_domains"),
            blocked=checked_domains(self.blocked_domains, f"{at}.blocked_domains"),
            country=checked_country(country, f"{at}.user_location.country"),
        )


class MessagesSearch(Struct, frozen=True):
    """A search that was done for a message. `has_tool`: the client asked for it, and reads its blocks."""

    outcome: WebSearchOutcome
    has_tool: bool

    @property
    def usage(self) -> Json:
        return {"web_search_requests": 1, "web_fetch_requests": 0}

    def blocks(self, answer_id: str) -> Sequence[Json]:
        """They come before the model's own."""
        if not self.has_tool:
            return ()
        pages = [found_page(each.url, each.title, each.age) for each in self.outcome.found]
        return search_blocks(answer_id, self.outcome.query, None if self.outcome.failed else pages)

    def citations(self, text: str) -> list[Json]:
        """Each page that a text cites, once, in the order of the text."""
        numbers = dict.fromkeys(number - self.outcome.first for number, _, _ in cited_numbers(text))
        pages = [self.outcome.found[at] for at in numbers if 0 <= at < len(self.outcome.found)]
        return [citation(each.url, each.title, each.text[:MAX_CITED_CHARS]) for each in pages]

    def complete(self, written: bytes, answer_id: str) -> bytes:
        """A whole message with the search."""
        message: Json = msgspec.json.decode(written)
        for block in message["content"]:
            if block["type"] == "text":
                block["citations"] = [*(block.get("citations") or ()), *self.citations(block["text"])]
        message["content"] = [*self.blocks(answer_id), *message["content"]]
        message["usage"] = {**message["usage"], "server_tool_use": self.usage}
        return _encode(message)


class _Conversation(Struct):
    """What a search needs of a body. `tool_at`: the place of the tool among `tools`; None: not there."""

    fields: JsonFields
    turns: list[Json]
    tools: list[Json]
    choice: Json
    tool_at: int | None

    def may_search(self) -> bool:
        """Not if the client forbids tools, or wants another one called."""
        kind = self.choice.get("type")
        return kind != "none" and (kind != "tool" or self.choice.get("name") == TOOL_NAME)


async def search_before_message(
    app: Application, request: Request, *, counting: bool = False
) -> tuple[Request, MessagesSearch | None]:
    """The request with what was found and without the tool; unchanged if this server has nothing to search for it.

    `counting`: of a token count, for which nothing is searched. Raises BadBody, and what `search_web` raises.
    """
    chat = request.payload
    if not isinstance(chat, ChatRequest) or grant_of(app, request.principal) == "deny":
        return request, None
    original = original_body(chat.fields, WIRE_NAME)
    if original is None or not (chat.tools or searches_unasked(app, request.principal)):
        return request, None
    run, size = app.resources.offload.run, request_size(chat)
    said = await run(size, _read, original)
    outcome = await _search(app, request, said, counting)
    if outcome is None and said.tool_at is None:
        return request, None
    payload = await run(size, _searched, said, original, outcome, counting)
    search = None if outcome is None else MessagesSearch(outcome, said.tool_at is not None)
    return replace(request, payload=payload), search


async def _search(app: Application, request: Request, said: _Conversation, counting: bool) -> WebSearchOutcome | None:
    question, model = question_of(said.turns).strip().removeprefix(CLAUDE_CODE_PREFIX), request.payload.model
    if said.tool_at is not None:
        at = f"tools[{said.tool_at}]"
        tool = converted(said.tools[said.tool_at], MessagesSearchTool, at)
        limits = tool.limits(at)
        wanted = question and said.may_search() and not tool.defer_loading and not counting
        return await search_web(app, request, model, question, limits) if wanted else None
    if counting or said.choice.get("type") == "none" or not ends_with_question(said.turns):
        return None
    return await search_unasked(app, request, model, question) if searches_unasked(app, request.principal) else None


def explained(error: SizewiseError, app: Application, request: Request) -> SizewiseError:
    """The error of a model whose API lacks the tool: why the search was not done here."""
    param = error.param or ""
    original = original_body(request.payload.fields, WIRE_NAME)
    if not isinstance(error, NotTranslatable) or not param.startswith("tools[") or original is None:
        return error
    tools = msgspec.json.decode(original.body, type=_Tools).tools or []
    if any(param == f"tools[{at}]" for at, tool in enumerate(tools) if is_search_tool(tool)):
        return search_refusal(app, request.principal, param)
    return error


def is_search_tool(tool: Json) -> bool:
    """Whether it is the tool, and not one that only code which the vendor runs may call."""
    kind, callers = tool.get("type"), tool.get("allowed_callers")
    is_direct = not isinstance(callers, list) or callers == [] or DIRECT in callers
    return isinstance(kind, str) and TOOL_TYPE.fullmatch(kind) is not None and is_direct


class _Tools(Struct):
    tools: list[Json] | None = None


def _read(original: OriginalBody) -> _Conversation:
    """Raises BadBody for two such tools."""
    fields = msgspec.json.decode(original.body, type=JsonFields)
    tools = msgspec.json.decode(fields["tools"]) if "tools" in fields else None
    choice = msgspec.json.decode(fields["tool_choice"]) if "tool_choice" in fields else None
    places = [at for at, tool in enumerate(tools or ()) if is_search_tool(tool)]
    if len(places) > 1:
        raise BadBody(f"there are {len(places)} tools for web search", "use one", param=f"tools[{places[1]}]")
    return _Conversation(
        fields=fields,
        turns=msgspec.json.decode(fields["messages"]),
        tools=tools or [],
        choice=choice or {},
        tool_at=places[0] if places else None,
    )


def _searched(
    said: _Conversation, original: OriginalBody, outcome: WebSearchOutcome | None, counting: bool
) -> ChatRequest:
    """The request for the model. A choice that the search has met is gone."""
    turns = said.turns if said.tool_at is None else without_searches(said.turns, own_alone=False)
    if outcome is not None:
        turns = with_text_before_question(turns, outcome.passages_text())
    fields: JsonFields = {**said.fields, "messages": Raw(_encode(turns))}
    if said.tool_at is not None:
        tools = [tool for at, tool in enumerate(said.tools) if at != said.tool_at]
        fields["tools"] = Raw(_encode(tools))
        is_met = outcome is not None and (said.choice.get("type") == "any" or said.choice.get("name") == TOOL_NAME)
        if not tools:
            del fields["tools"]
        if not tools or is_met or said.choice.get("name") == TOOL_NAME:
            fields.pop("tool_choice", None)
    body = _encode(fields)
    return read_request(body, original.headers, counting=counting, is_checked=True)[0]
