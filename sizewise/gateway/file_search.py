"""The tool `file_search` of /v1/responses: searches vector stores before the model is called, on any chat model.

The passages are put in front of the user's last message, between markers and numbered; the client's own conversation
stays as it is. No model has to call a tool for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.data_class import DataClass
from sizewise.errors import BadBody, PathNotFound, SizewiseError
from sizewise.file_search.file_search_service import FileSearch, FoundPassage, VectorStoreService
from sizewise.gateway.file_citations import CitedFile, file_citations
from sizewise.gateway.file_search_bodies import RankingOptions, file_search
from sizewise.guardrails.untrusted_content import ContentMarkers
from sizewise.handler import Request
from sizewise.messages import EmbeddingRequest
from sizewise.providers.wires.responses.request_in import ResponsesRequest
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

    @property
    def passage_count(self) -> int:
        return len(self.found)

    @property
    def data_classes(self) -> Sequence[DataClass]:
        return [each.passage.data_class for each in self.found]

    def passages_text(self) -> str:
        return passages_text(self.found)


def asks_for_file_search(asked: ResponsesRequest) -> bool:
    return any(tool.get("type") == TOOL for tool in asked.body.tools or ())


class FileSearchPlan(Struct, frozen=True):
    """A request with the tool, whose vector stores are on this server."""

    tool: FileSearchTool
    place: str  # such as `tools[0]`

    @property
    def tools(self) -> Sequence[str]:
        return (TOOL,)

    async def run(
        self, app: Application, request: Request, asked: ResponsesRequest, query: str, first: int
    ) -> FileSearchCall:
        wanted = self.tool.search(query, self.place)
        at = f"{self.place}.vector_store_ids"
        found = await vector_stores_of(app).search(request, self.tool.vector_store_ids, wanted, at)
        return FileSearchCall(list(wanted.queries), found, INCLUDE_RESULTS in (asked.body.include or ()))


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


def refusal(tool: Json, number: int) -> SizewiseError | None:
    """Why the tool was not done here: its vector stores are unknown. None if it is another tool."""
    if tool.get("type") != TOOL:
        return None
    ids = tool.get("vector_store_ids")
    first = str(ids[0])[:100] if isinstance(ids, list) and ids else ""
    hint = "create it with POST /v1/vector_stores; GET lists those of your project"
    return PathNotFound(f"there is no vector store {first!r}", hint, param=f"tools[{number}].vector_store_ids")


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


def _result(found: FoundPassage) -> Json:
    return {
        "attributes": dict(found.attributes),
        "file_id": found.file,
        "filename": found.filename,
        "score": found.score,
        "text": found.passage.text,
    }
