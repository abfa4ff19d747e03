"""Hosted search tools of /v1/responses: each searches once before the model is called, on any chat model.

The passages are put in front of the user's last message, between markers and numbered; the client's own conversation
stays as it is. No model has to call a tool for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.data_class import DataClass, strictest
from sizewise.errors import NotTranslatable, SizewiseError
from sizewise.gateway import file_search, web_search
from sizewise.gateway.web_search_grant import searches_unasked
from sizewise.guardrails.marker_cleanup import without_markers
from sizewise.handler import Handler, Request, RequestOptions
from sizewise.messages import JsonFields
from sizewise.providers.wires.responses.request_in import ResponsesRequest, read_request
from sizewise.providers.wires.responses.response_object import ResponseEnvelope

Json = dict[str, Any]
MAX_QUERY_CHARS = 8_000
"""Of a longer message, the beginning and the end are searched for."""
TEXT_PARTS = ("input_text", "text")
TOOLS = frozenset({file_search.TOOL, *web_search.TOOLS})
CALL_ITEMS = (file_search.CALL_ITEM, web_search.CALL_ITEM)
OWN_INCLUDES = frozenset({file_search.INCLUDE_RESULTS, *web_search.INCLUDES})

_encode = msgspec.json.Encoder().encode


class SearchCall(Protocol):
    """A search that was done for a request: its item in the response, and the citations in its text."""

    @property
    def passage_count(self) -> int: ...
    @property
    def data_classes(self) -> Sequence[DataClass]: ...
    def passages_text(self) -> str: ...
    def item(self, envelope: ResponseEnvelope) -> Json: ...
    def annotations(self, text: str) -> list[Json]: ...


class SearchPlan(Protocol):
    """A search that a request asks for. `tools`: types of the tool."""

    @property
    def tools(self) -> Sequence[str]: ...

    async def run(
        self, app: Application, request: Request, asked: ResponsesRequest, query: str, first: int
    ) -> SearchCall | None:
        """`first`: the number of the first passage. None: nothing was done, and nothing is said of it."""


class SearchCalls(Struct, frozen=True):
    """The searches of one request, in the order of their items."""

    calls: tuple[SearchCall, ...] = ()

    def wrap(self, handler: Handler) -> Handler:
        """`handler`, whose replies repeat no marker around what was found."""
        return without_markers(handler) if self.calls else handler

    def items(self, envelope: ResponseEnvelope) -> list[Json]:
        return [each.item(envelope) for each in self.calls]

    def annotations(self, text: str) -> list[Json]:
        return [annotation for each in self.calls for annotation in each.annotations(text)]

    def tighten(self, options: RequestOptions) -> RequestOptions:
        """The request is as confidential as what was found."""
        classes = [each for call in self.calls for each in call.data_classes]
        if options.data_class is not None:
            classes.append(options.data_class)
        if not classes or strictest(*classes) == options.data_class:
            return options
        return replace(options, data_class=strictest(*classes), constraint_source="the files that were found")

    def complete(self, response: Json, envelope: ResponseEnvelope) -> Json:
        """The response with the calls before the model's items, and with citations."""
        if not self.calls:
            return response
        for item in response["output"]:
            for part in item.get("content") or () if item.get("type") == "message" else ():
                if part.get("type") == "output_text":
                    part["annotations"] = [*(part.get("annotations") or ()), *self.annotations(part["text"])]
        return {**response, "output": [*self.items(envelope), *response["output"]]}


class SearchedRequest(Struct, frozen=True):
    """What the model gets: the request without the tools, and the items before it; one of them has the passages."""

    asked: ResponsesRequest
    before: list[Raw]
    calls: SearchCalls = SearchCalls()


async def search_before_answer(
    app: Application, request: Request, asked: ResponsesRequest, before: list[Raw]
) -> SearchedRequest:
    """The request with what its tools found; unchanged if this server has nothing to search for it.

    `request`: on whose behalf. Raises BadBody, PathNotFound, and the errors of search and embedding.
    """
    plans = await plan_searches(app, request, asked)
    if not plans:
        return SearchedRequest(asked, before)
    items = asked.input_items()
    place = _last_user_message(before, items)
    query = "" if place is None else _shortened(message_text(place[1]).strip())
    calls: list[SearchCall] = []
    for plan in plans if query else ():
        if _may_search(asked, plan.tools):
            first = 1 + sum(each.passage_count for each in calls)
            call = await plan.run(app, request, asked, query, first)
            calls += [] if call is None else [call]
    if calls and place is not None:
        number, message = place
        passages = "\n\n".join([each.passages_text() for each in calls])
        changed = Raw(_encode(with_text_before(message, passages)))
        at = number - len(before)
        if at < 0:
            before = [*before[:number], changed, *before[number + 1 :]]
        else:
            items = [*items[:at], changed, *items[at + 1 :]]
    done = frozenset(tool for plan in plans for tool in plan.tools)
    if not calls and not done:
        return SearchedRequest(asked, before)
    return SearchedRequest(_without_tools(asked, items, done), _without_calls(before), SearchCalls(tuple(calls)))


def asks_for_search(app: Application, request: Request, asked: ResponsesRequest) -> bool:
    """Whether anything may be searched for, with a tool or without."""
    has_tool = any(tool.get("type") in TOOLS for tool in asked.body.tools or ())
    return has_tool or searches_unasked(app, request.principal)


async def plan_searches(app: Application, request: Request, asked: ResponsesRequest) -> list[SearchPlan]:
    """The searches that this server does for the request. Raises BadBody, and PathNotFound."""
    files = await file_search.plan_file_search(file_search.vector_stores_of(app), request, asked)
    web: SearchPlan | None = web_search.plan_web_search(app, request, asked)
    has_tool = any(tool.get("type") in web_search.TOOLS for tool in asked.body.tools or ())
    if web is None and not has_tool and searches_unasked(app, request.principal):
        web = web_search.UnaskedWebSearch()
    return [each for each in (files, web) if each is not None]


def explained(error: SizewiseError, app: Application, request: Request, asked: ResponsesRequest) -> SizewiseError:
    """The error of a model whose API lacks a tool: why the search was not done here."""
    if not isinstance(error, NotTranslatable) or not (error.param or "").startswith("tools["):
        return error
    for n, tool in enumerate(asked.body.tools or ()):
        if error.param == f"tools[{n}]":
            return file_search.refusal(tool, n) or web_search.refusal(app, request.principal, tool, n) or error
    return error


def _may_search(asked: ResponsesRequest, tools: Sequence[str]) -> bool:
    """Not if the client forbids tools, or wants another one called."""
    choice = asked.body.tool_choice
    return choice != "none" and (not isinstance(choice, dict) or choice.get("type") in tools)


# ---- the user's message


def _last_user_message(before: Sequence[Raw], items: Sequence[Raw]) -> tuple[int, Json] | None:
    """Its place among both, and the message."""
    both = [*before, *items]
    for number in range(len(both) - 1, -1, -1):
        if b'"user"' in bytes(both[number]):
            item: Any = msgspec.json.decode(both[number])
            if isinstance(item, dict) and item.get("role") == "user" and (item.get("type") or "message") == "message":
                return number, item
    return None


def message_text(message: Json) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(
        str(each.get("text") or "") for each in parts if isinstance(each, dict) and each.get("type") in TEXT_PARTS
    )


def with_text_before(message: Json, text: str) -> Json:
    """The message with `text` first: in its own text if it has no other content, which every server accepts."""
    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": f"{text}\n\n{content}"}
    parts: list[Any] = content if isinstance(content, list) else []
    if len(parts) == 1 and isinstance(parts[0], dict) and parts[0].get("type") in TEXT_PARTS:
        return {**message, "content": [{**parts[0], "text": f"{text}\n\n{parts[0].get('text') or ''}"}]}
    return {**message, "content": [{"type": "input_text", "text": text}, *parts]}


def _shortened(query: str) -> str:
    half = MAX_QUERY_CHARS // 2
    return query if len(query) <= MAX_QUERY_CHARS else f"{query[:half]} {query[-half:]}"


# ---- the request for the model


def _without_tools(asked: ResponsesRequest, items: Sequence[Raw], done: frozenset[str]) -> ResponsesRequest:
    fields: JsonFields = {**asked.raw_fields, "input": Raw(_encode(_without_calls(items)))}
    body = asked.body
    tools = [tool for tool in body.tools or () if tool.get("type") not in done]
    fields["tools"] = Raw(_encode(tools))
    include = [each for each in body.include or () if each not in OWN_INCLUDES]
    fields["include"] = Raw(_encode(include))
    choice = body.tool_choice
    if not tools or (choice == "required" and done) or (isinstance(choice, dict) and choice.get("type") in done):
        fields.pop("tool_choice", None)  # it was called
    return read_request(
        _encode({name: raw for name, raw in fields.items() if name == "input" or bytes(raw) != b"[]"}), is_checked=True
    )


def _without_calls(items: Sequence[Raw]) -> list[Raw]:
    """Without searches of earlier turns: their passages are not part of the conversation."""
    return [each for each in items if b"_search_call" not in bytes(each) or not _is_call(each)]


def _is_call(item: Raw) -> bool:
    found: Any = msgspec.json.decode(item)
    return isinstance(found, dict) and found.get("type") in CALL_ITEMS
