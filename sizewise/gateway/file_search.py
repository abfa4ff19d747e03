"""The tool `file_search` of /v1/responses: searches vector stores before the model is called, on any chat model.

The passages are put in front of the user's last message, between markers and numbered; the client's own conversation
stays as it is. No model has to call a tool for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.data_class import strictest
from sizewise.errors import BadBody, NotTranslatable, PathNotFound, SizewiseError
from sizewise.file_search.file_search_service import FileSearch, FoundPassage, VectorStoreService
from sizewise.gateway.file_citations import CitedFile, file_citations
from sizewise.gateway.file_search_bodies import RankingOptions, file_search
from sizewise.guardrails.untrusted_content import ContentMarkers
from sizewise.handler import Request, RequestOptions
from sizewise.messages import EmbeddingRequest, JsonFields
from sizewise.providers.wires.responses.request_in import ResponsesRequest, read_request
from sizewise.providers.wires.responses.response_object import ResponseEnvelope

Json = dict[str, Any]
NO_PAYLOAD = EmbeddingRequest("", [], {})
"""Of a request that is not for a model yet."""
TOOL, CALL_ITEM, INCLUDE_RESULTS = "file_search", "file_search_call", "file_search_call.results"
MAX_QUERY_CHARS = 8_000
"""Of a longer message, the beginning and the end are searched for."""
INSTRUCTION = (
    "These passages were found in the user's files. Use them where they help to answer, and cite each one that you use"
    " by its number in brackets, such as [1]. Do not cite anything else in this way."
)
NOTHING_FOUND = "(A search of the user's files found nothing.)"
TEXT_PARTS = ("input_text", "text")

_encode = msgspec.json.Encoder().encode


def vector_stores_of(app: Application) -> VectorStoreService:
    services = app.resources.services
    return VectorStoreService(
        app.knowledge_base, services.files, services.vector_stores, app.resources.file_attachments
    )


class FileSearchTool(Struct):
    """The tool as a client describes it."""

    vector_store_ids: Annotated[list[str], Meta(min_length=1, max_length=20)]
    filters: Json | None = None
    max_num_results: Annotated[int, Meta(ge=1, le=50)] | None = None
    ranking_options: RankingOptions | None = None

    def search(self, query: str, at: str) -> FileSearch:
        """Raises BadBody."""
        return file_search([query], self.filters, self.max_num_results, self.ranking_options, f"{at}.filters")


class FileSearchCall(Struct, frozen=True):
    """A search that was done for a request: its item in the response, and the citations in its text."""

    queries: list[str]
    found: list[FoundPassage]
    shows_results: bool

    def item(self, envelope: ResponseEnvelope) -> Json:
        results = [_result(each) for each in self.found] if self.shows_results else None
        id = envelope.item_id("fs", 0)
        return {"id": id, "type": CALL_ITEM, "status": "completed", "queries": self.queries, "results": results}

    def annotations(self, text: str) -> list[Json]:
        return file_citations(text, [CitedFile(each.file, each.filename) for each in self.found])

    def tighten(self, options: RequestOptions) -> RequestOptions:
        """The request is as confidential as what was found."""
        classes = [each.passage.data_class for each in self.found]
        if options.data_class is not None:
            classes.append(options.data_class)
        if not classes or strictest(*classes) == options.data_class:
            return options
        return replace(options, data_class=strictest(*classes), constraint_source="the files that were found")

    def complete(self, response: Json, envelope: ResponseEnvelope) -> Json:
        """The response with the call before the model's items, and with citations."""
        for item in response["output"]:
            for part in item.get("content") or () if item.get("type") == "message" else ():
                if part.get("type") == "output_text":
                    part["annotations"] = [*(part.get("annotations") or ()), *self.annotations(part["text"])]
        return {**response, "output": [self.item(envelope), *response["output"]]}


class SearchedRequest(Struct, frozen=True):
    """What the model gets: the request without the tool, and the items before it; one of them has the passages."""

    asked: ResponsesRequest
    before: list[Raw]
    call: FileSearchCall | None


async def search_files(
    service: VectorStoreService, request: Request, asked: ResponsesRequest, before: list[Raw]
) -> SearchedRequest:
    """The request with the passages that its tool `file_search` found; unchanged if the stores are not of this server.

    `request`: on whose behalf. Raises BadBody, PathNotFound, and the errors of search and embedding.
    """
    plan = await plan_file_search(service, request, asked)
    return SearchedRequest(asked, before, None) if plan is None else await plan.run(service, request, asked, before)


def asks_for_file_search(asked: ResponsesRequest) -> bool:
    return any(tool.get("type") == TOOL for tool in asked.body.tools or ())


class FileSearchPlan(Struct, frozen=True):
    """A request with the tool, whose vector stores are on this server."""

    tool: FileSearchTool
    place: str  # such as `tools[0]`

    async def run(
        self, service: VectorStoreService, request: Request, asked: ResponsesRequest, before: list[Raw]
    ) -> SearchedRequest:
        items = asked.input_items()
        place = _last_user_message(before, items)
        query = "" if place is None else message_text(place[1]).strip()
        if not query or not _may_search(asked):
            return SearchedRequest(_without_tool(asked, items), _without_calls(before), None)
        wanted = self.tool.search(_shortened(query), self.place)
        found = await service.search(request, self.tool.vector_store_ids, wanted, f"{self.place}.vector_store_ids")
        call = FileSearchCall(list(wanted.queries), found, INCLUDE_RESULTS in (asked.body.include or ()))
        assert place is not None
        number, message = place
        changed = Raw(_encode(with_text_before(message, passages_text(found))))
        at = number - len(before)
        if at < 0:
            before = [*before[:number], changed, *before[number + 1 :]]
        else:
            items = [*items[:at], changed, *items[at + 1 :]]
        return SearchedRequest(_without_tool(asked, items), _without_calls(before), call)


async def plan_file_search(
    service: VectorStoreService, request: Request, asked: ResponsesRequest
) -> FileSearchPlan | None:
    """None without the tool, and if all its vector stores are unknown here: they may be those of the model's own API.

    Raises BadBody, and PathNotFound if some are known.
    """
    places = [n for n, tool in enumerate(asked.body.tools or ()) if tool.get("type") == TOOL]
    if not places:
        return None
    at = f"tools[{places[0]}]"
    if len(places) > 1:
        hint = "name all vector stores in the `vector_store_ids` of one"
        raise BadBody(f"there are {len(places)} tools of type {TOOL!r}", hint, param=f"tools[{places[1]}]")
    tool = _read_tool((asked.body.tools or [])[places[0]], at)
    principal = request.principal
    known = [id for id in tool.vector_store_ids if await service.is_known(principal, id)]
    if not known:
        return None
    for id in tool.vector_store_ids:
        if id not in known:
            await service.find(principal, id, f"{at}.vector_store_ids")
    return FileSearchPlan(tool, at)


def explained(error: SizewiseError, asked: ResponsesRequest) -> SizewiseError:
    """The error of a model whose API has no `file_search`: it was not done here, as the vector stores are unknown."""
    if not isinstance(error, NotTranslatable) or not (error.param or "").startswith("tools["):
        return error
    for n, tool in enumerate(asked.body.tools or ()):
        if tool.get("type") == TOOL and error.param == f"tools[{n}]":
            ids = tool.get("vector_store_ids")
            first = str(ids[0])[:100] if isinstance(ids, list) and ids else ""
            hint = "create it with POST /v1/vector_stores; GET lists those of your project"
            return PathNotFound(f"there is no vector store {first!r}", hint, param=f"tools[{n}].vector_store_ids")
    return error


def _read_tool(tool: Json, at: str) -> FileSearchTool:
    for name, value in tool.items():
        if name not in ("type", *FileSearchTool.__struct_fields__) and value not in (None, [], {}):
            raise BadBody(f"`{at}.{name[:100]}` is not supported", "remove it", param=f"{at}.{name[:100]}")
    try:
        return msgspec.convert(tool, FileSearchTool)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        where = f"{at}{path.rstrip('`')}"
        raise BadBody(f"`{where}`: {reason[:1].lower()}{reason[1:]}", "see the API reference", param=where) from error


def _may_search(asked: ResponsesRequest) -> bool:
    """Not if the client forbids tools, or wants another one called."""
    choice = asked.body.tool_choice
    return choice != "none" and (not isinstance(choice, dict) or choice.get("type") == TOOL)


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


def passages_text(found: Sequence[FoundPassage]) -> str:
    """Numbered passages between markers that no document can forge: they are derived from all of them."""
    if not found:
        return NOTHING_FOUND
    seed = _encode([each.passage.text for each in found])
    marks = ContentMarkers(blake2b(seed, digest_size=8).hexdigest())
    shown = [
        marks.wrap(each.passage.text, f"[{number}] {replace(each.passage, source=each.filename).cited_to_model}")
        for number, each in enumerate(found, 1)
    ]
    return "\n\n".join([f"{INSTRUCTION} {marks.instruction}", *shown])


def _shortened(query: str) -> str:
    half = MAX_QUERY_CHARS // 2
    return query if len(query) <= MAX_QUERY_CHARS else f"{query[:half]} {query[-half:]}"


# ---- the request for the model


def _without_tool(asked: ResponsesRequest, items: Sequence[Raw]) -> ResponsesRequest:
    fields: JsonFields = {**asked.raw_fields, "input": Raw(_encode(_without_calls(items)))}
    body = asked.body
    tools = [tool for tool in body.tools or () if tool.get("type") != TOOL]
    fields["tools"] = Raw(_encode(tools))
    include = [each for each in body.include or () if each != INCLUDE_RESULTS]
    fields["include"] = Raw(_encode(include))
    choice = body.tool_choice
    if not tools or choice == "required" or (isinstance(choice, dict) and choice.get("type") == TOOL):
        fields.pop("tool_choice", None)  # it was called
    return read_request(
        _encode({name: raw for name, raw in fields.items() if name == "input" or bytes(raw) != b"[]"}), is_checked=True
    )


def _without_calls(items: Sequence[Raw]) -> list[Raw]:
    """Without searches of earlier turns: their passages are not part of the conversation."""
    return [each for each in items if CALL_ITEM.encode() not in bytes(each) or not _is_call(each)]


def _is_call(item: Raw) -> bool:
    found: Any = msgspec.json.decode(item)
    return isinstance(found, dict) and found.get("type") == CALL_ITEM


def _result(found: FoundPassage) -> Json:
    return {
        "attributes": dict(found.attributes),
        "file_id": found.file,
        "filename": found.filename,
        "score": found.score,
        "text": found.passage.text,
    }
