"""What a measured flow reaches outside itself: a base that finds one passage, a memory, an API; all in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sizewise.data_class import DataClass, Place
from sizewise.errors import PathNotFound
from sizewise.flows.compiled_flow import CompiledFlow
from sizewise.flows.node import HttpResponse
from sizewise.flows.node_registry import NodeRegistry
from sizewise.flows.validator import SignatureLookup, validate_flow
from sizewise.handler import Request
from sizewise.knowledge.results import SearchMode, SearchResponse, SearchResult
from sizewise.knowledge.upload import DocumentUpload, IngestionResult
from sizewise.knowledge.vector_store import TagFilter
from sizewise.principal import Principal

PASSAGE = SearchResult(
    id="p1", document="d1", source="tea.md", title="Tea", text="Tea is hot.", score=0.9, page=1, pages=(1,),
    headings=(), start=0, end=11, data_class="internal",
)  # fmt: skip


class StandInKnowledge:
    async def search(
        self,
        request: Request,
        name: str,
        query: str,
        *,
        limit: int = 5,
        mode: SearchMode = "hybrid",
        where: TagFilter | None = None,
    ) -> SearchResponse:
        return SearchResponse((PASSAGE,))

    async def ingest(self, request: Request, name: str, documents: Sequence[DocumentUpload]) -> list[IngestionResult]:
        return [IngestionResult(each.source, each.source, "added", 1) for each in documents]


class StandInMemory:
    async def recall(self, request: Request, subject: str, query: str, limit: int) -> list[Any]:
        return [{"id": "m1", "text": "likes tea"}]

    async def remember(self, request: Request, subject: str, text: str, *, key: str) -> list[Any]:
        return [{"id": "m1", "text": text}]

    async def forget(self, request: Request, subject: str, query: str) -> list[Any]:
        return []


class StandInHttp:
    """Answers every call with the same object."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self._body = json.dumps(answer).encode()

    def match_url(self, url: str) -> tuple[str, str]:
        return "any", "/"

    async def __call__(
        self,
        principal: Principal,
        method: str,
        host: str,
        target: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        data_class: DataClass,
        limit: Place,
        max_bytes: int,
    ) -> HttpResponse:
        return HttpResponse(200, {"content-type": "application/json"}, self._body)


class StandInLibrary:
    """The other flows of the same kit."""

    def __init__(self, texts: Mapping[str, str], signatures: SignatureLookup) -> None:
        self._texts = texts
        self._signatures = signatures

    async def resolve_version(self, request: Request, name: str) -> str:
        return "1"

    async def load_flow(self, request: Request, name: str, version: str) -> CompiledFlow:
        found = validate_flow(self._texts.get(name, ""), NodeRegistry(), self._signatures).flow
        if found is None:
            raise PathNotFound(f"there is no flow {name!r}", "import it too")
        return found
