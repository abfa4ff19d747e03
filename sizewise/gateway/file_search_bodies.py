"""Bodies of requests to /v1/vector_stores, read and checked, and the objects that answer them; stores nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from sizewise.errors import BadBody
from sizewise.file_search.attribute_filter import check_attributes, read_filter
from sizewise.file_search.file_search_service import FileSearch, FoundPassage
from sizewise.file_search.store_records import AttachedFile, Attribute, FileToAttach, StoreRecord
from sizewise.gateway.body_reading import read_known_body
from sizewise.settings.knowledge import KnowledgeSettings

MAX_FILES = 2_000
"""Of one request."""
MAX_METADATA = 16
DEFAULT_RESULTS = 10
FILE_STATUSES = ("in_progress", "completed", "failed", "cancelled")

Json = dict[str, Any]
T = TypeVar("T", bound="VectorStoreBody")
Attributes = dict[str, str | int | float | bool]


class VectorStoreBody(Struct, kw_only=True):
    """What every body may have: our options, which `parse_options` reads."""

    sizewise: Any = None


class ExpiresAfter(Struct):
    """Days without a search or a new file."""

    anchor: Literal["last_active_at"]
    days: Annotated[int, Meta(ge=1, le=365)]


class StaticChunking(Struct):
    """In tokens."""

    max_chunk_size_tokens: Annotated[int, Meta(ge=100, le=4096)]
    chunk_overlap_tokens: Annotated[int, Meta(ge=0)]


class ChunkingStrategy(Struct):
    """How the text of a file is cut; `auto`: as the settings of the server say."""

    type: Literal["auto", "static"]
    static: StaticChunking | None = None

    def tokens(self) -> tuple[int, int]:
        """Size and overlap of chunks; 0 for `auto`. Raises BadBody."""
        if self.type == "auto":
            return 0, 0
        if self.static is None:
            hint = 'add "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}'
            raise BadBody("`chunking_strategy` is static, without its sizes", hint, param="chunking_strategy.static")
        size, overlap = self.static.max_chunk_size_tokens, self.static.chunk_overlap_tokens
        if 2 * overlap > size:
            message = f"`chunk_overlap_tokens` is {overlap}, more than half of {size}"
            raise BadBody(message, "lower it", param="chunking_strategy.static.chunk_overlap_tokens")
        return size, overlap


class VectorStoreCreation(VectorStoreBody, kw_only=True):
    name: Annotated[str, Meta(max_length=256)] | None = None
    description: Annotated[str, Meta(max_length=1_024)] | None = None
    file_ids: Annotated[list[str], Meta(max_length=MAX_FILES)] | None = None
    expires_after: ExpiresAfter | None = None
    chunking_strategy: ChunkingStrategy | None = None
    metadata: dict[str, str] | None = None

    def files(self) -> list[FileToAttach]:
        size, overlap = _tokens(self.chunking_strategy)
        return [FileToAttach(id, {}, size, overlap) for id in dict.fromkeys(self.file_ids or ())]


class VectorStoreChange(VectorStoreBody, kw_only=True):
    """What is not there stays as it is."""

    name: Annotated[str, Meta(max_length=256)] | None = None
    expires_after: ExpiresAfter | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET


class FileAttachment(VectorStoreBody, kw_only=True):
    file_id: str
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategy | None = None

    def file(self, at: str = "attributes") -> FileToAttach:
        size, overlap = _tokens(self.chunking_strategy)
        return FileToAttach(self.file_id, check_attributes(self.attributes or {}, at), size, overlap)


class FileBatchCreation(VectorStoreBody, kw_only=True):
    """`file_ids` with the same attributes for all, or `files` with their own."""

    file_ids: Annotated[list[str], Meta(max_length=MAX_FILES)] | None = None
    files: Annotated[list[FileAttachment], Meta(max_length=MAX_FILES)] | None = None
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategy | None = None

    def to_attach(self) -> list[FileToAttach]:
        """Raises BadBody."""
        if bool(self.file_ids) is bool(self.files):
            hint = "send a list of ids as `file_ids`, or of objects with `file_id` as `files`"
            raise BadBody("the batch has no files, or both `file_ids` and `files`", hint, param="file_ids")
        if self.files:
            found = [each.file(f"files[{n}].attributes") for n, each in enumerate(self.files)]
        else:
            size, overlap = _tokens(self.chunking_strategy)
            attributes = check_attributes(self.attributes or {})
            found = [FileToAttach(id, attributes, size, overlap) for id in self.file_ids or ()]
        return list({each.file: each for each in found}.values())


class AttributeChange(VectorStoreBody, kw_only=True):
    attributes: Attributes | None


class HybridWeights(Struct):
    """Weights of meaning and of words."""

    embedding_weight: Annotated[float, Meta(ge=0)]
    text_weight: Annotated[float, Meta(ge=0)]

    def alpha(self) -> float:
        """Raises BadBody."""
        total = self.embedding_weight + self.text_weight
        if not 0 < total < float("inf"):
            raise BadBody("the weights of `hybrid_search` are both 0", "use weights above 0", param="ranking_options")
        return self.embedding_weight / total


class RankingOptions(Struct):
    ranker: Literal["none", "auto", "default-2024-11-15"] | None = None
    score_threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    hybrid_search: HybridWeights | None = None


class VectorStoreSearch(VectorStoreBody, kw_only=True):
    query: Annotated[str, Meta(min_length=1)] | Annotated[list[str], Meta(min_length=1, max_length=16)]
    filters: Json | None = None
    max_num_results: Annotated[int, Meta(ge=1, le=50)] | None = None
    ranking_options: RankingOptions | None = None
    rewrite_query: bool | None = None

    def queries(self) -> list[str]:
        return [self.query] if isinstance(self.query, str) else self.query

    def search(self) -> FileSearch:
        """Raises BadBody."""
        if self.rewrite_query:
            hint = "leave it out: a query is searched for by its meaning and its words as it is"
            raise BadBody("`rewrite_query` is not supported", hint, param="rewrite_query")
        return file_search(self.queries(), self.filters, self.max_num_results, self.ranking_options)


def file_search(
    queries: Sequence[str], filters: Json | None, limit: int | None, ranking: RankingOptions | None, at: str = "filters"
) -> FileSearch:
    """Raises BadBody. The ranker is that of the server's settings, whatever is named."""
    weights = ranking.hybrid_search if ranking is not None else None
    return FileSearch(
        queries=queries,
        limit=limit or DEFAULT_RESULTS,
        where=read_filter(filters, at) if filters else None,
        min_score=(ranking.score_threshold or 0.0) if ranking is not None else 0.0,
        alpha=weights.alpha() if weights is not None else None,
    )


_decoders: Mapping[type[VectorStoreBody], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind)
    for kind in (
        *(VectorStoreCreation, VectorStoreChange, FileAttachment, FileBatchCreation, AttributeChange),
        VectorStoreSearch,
    )
}


def read_body(kind: type[T], body: bytes) -> tuple[T, Raw | None]:
    """The body and its `sizewise` object. Raises BadBody."""
    found, fields = read_known_body(_decoders[kind], body)
    return found, fields.get("sizewise")


def check_metadata(metadata: dict[str, str] | None) -> dict[str, str] | None:
    """Returns it unchanged. Raises BadBody."""
    for key, value in (metadata or {}).items():
        if not 0 < len(key) <= 64 or len(value) > 512:
            raise BadBody(
                "`metadata` has a key or value that is too long", "use 64 and 512 characters", param="metadata"
            )
    if len(metadata or {}) > MAX_METADATA:
        raise BadBody(f"`metadata` has more than {MAX_METADATA} keys", "use fewer", param="metadata")
    return metadata


def _tokens(strategy: ChunkingStrategy | None) -> tuple[int, int]:
    return (0, 0) if strategy is None else strategy.tokens()


# ---- answers


def store_object(store: StoreRecord) -> Json:
    usage = store.usage
    status = "expired" if store.has_expired else "in_progress" if usage.in_progress else "completed"
    return {
        "id": store.id,
        "object": "vector_store",
        "created_at": store.created // 1_000,
        "name": store.description.name,
        "description": store.description.description,
        "usage_bytes": usage.bytes,
        "file_counts": _counts({each: getattr(usage, each) for each in FILE_STATUSES}),
        "status": status,
        "expires_after": {"anchor": "last_active_at", "days": store.days} if store.days else None,
        "expires_at": None if store.expires is None else store.expires // 1_000,
        "last_active_at": store.active // 1_000,
        "metadata": store.description.metadata,
    }


def file_object(attached: AttachedFile, settings: KnowledgeSettings) -> Json:
    """`settings`: of the store, for the sizes of its chunks."""
    content = attached.content
    error = None
    if attached.status == "failed":
        message = content.error or "its document was removed from the knowledge base"
        error = {"code": content.error_code or "server_error", "message": message}
    return {
        "id": attached.file,
        "object": "vector_store.file",
        "created_at": attached.created // 1_000,
        "vector_store_id": attached.base.name,
        "usage_bytes": attached.usage if attached.status == "completed" else 0,
        "status": attached.status,
        "last_error": error,
        "attributes": content.attributes,
        "chunking_strategy": {
            "type": "static",
            "static": {
                "max_chunk_size_tokens": attached.chunk_tokens or settings.chunk_tokens,
                "chunk_overlap_tokens": attached.chunk_overlap if attached.chunk_tokens else settings.chunk_overlap,
            },
        },
    }


def batch_object(id: str, store: StoreRecord, counts: Mapping[str, int]) -> Json:
    """`counts`: as `tables.batch_counts`."""
    status = "in_progress" if counts.get("in_progress") else "cancelled" if counts.get("cancelled") else "completed"
    return {
        "id": id,
        "object": "vector_store.files_batch",
        "created_at": counts["created"] // 1_000,
        "vector_store_id": store.id,
        "status": status,
        "file_counts": _counts(counts),
    }


def _counts(counts: Mapping[str, int]) -> Json:
    shown = {each: counts.get(each, 0) for each in FILE_STATUSES}
    return {**shown, "total": sum(shown.values())}


def result_object(found: FoundPassage) -> Json:
    return {
        "file_id": found.file,
        "filename": found.filename,
        "score": found.score,
        "attributes": found.attributes,
        "content": [{"type": "text", "text": found.passage.text}],
    }


def attributes_of(attributes: Attributes | None) -> dict[str, Attribute]:
    """Raises BadBody."""
    return dict(check_attributes(attributes or {}))
