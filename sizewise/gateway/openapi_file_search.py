"""The part of the OpenAPI document for /v1/vector_stores: its paths and the schemas of answers; serves nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Json = Mapping[str, Any]
WORD: Mapping[str, Any] = {"type": "string"}
NUMBER_OR_NULL: Mapping[str, Any] = {"type": ["integer", "null"]}
COUNT: Mapping[str, Any] = {"type": "integer", "minimum": 0}
ATTRIBUTES: Mapping[str, Any] = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
LIST_QUERY: Mapping[str, Any] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100},
    "order": {"enum": ["asc", "desc"]},
    "after": WORD,
    "before": WORD,
}
FILE_STATUS: Mapping[str, Any] = {"enum": ["in_progress", "completed", "failed", "cancelled"]}
STORE = "vector store id"
BELOW: Mapping[str, str] = {"file": "file id", "batch": "batch id"}


def vector_store_paths(operation: Callable[..., Json], at: Callable[..., Json]) -> Json:
    """`operation` and `at` as in openapi.py."""
    write, files_query = ("write",), {**LIST_QUERY, "filter": FILE_STATUS}
    path = "/v1/vector_stores"
    file = at(
        STORE,
        get=operation("getVectorStoreFile", "Get a file of a vector store", "VectorStoreFile"),
        post=operation(
            "setFileAttributes", "Change a file's attributes", "VectorStoreFile", body="AttributeChange", tags=write
        ),
        delete=operation("detachFile", "Take a file out of a vector store", "DetachedFile", tags=write),
    )
    content = at(STORE, get=operation("getVectorStoreFileContent", "The text read from a file", "VectorStoreTexts"))
    batch = at(STORE, get=operation("getFileBatch", "Get a batch of files", "FileBatch"))
    cancel = at(STORE, post=operation("cancelFileBatch", "Give up what is in progress", "FileBatch", tags=write))
    batch_files = at(
        STORE, get=operation("listFileBatchFiles", "List a batch's files", "VectorStoreFiles", query=files_query)
    )
    return {
        path: {
            "get": operation(
                "listVectorStores", "List the vector stores of the project", "VectorStores", query=LIST_QUERY
            ),
            "post": operation(
                "createVectorStore", "Create a vector store", "VectorStore", body="VectorStoreCreation", tags=write
            ),
        },
        f"{path}/{{id}}": at(
            STORE,
            get=operation("getVectorStore", "Get a vector store", "VectorStore"),
            post=operation(
                "modifyVectorStore", "Change a vector store", "VectorStore", body="VectorStoreChange", tags=write
            ),
            delete=operation("deleteVectorStore", "Delete a vector store", "DeletedVectorStore", tags=write),
        ),
        f"{path}/{{id}}/search": at(
            STORE,
            post=operation(
                "searchVectorStore", "Search a vector store", "VectorStoreResults", body="VectorStoreSearch"
            ),
        ),
        f"{path}/{{id}}/files": at(
            STORE,
            get=operation("listVectorStoreFiles", "List its files", "VectorStoreFiles", query=files_query),
            post=operation(
                "attachFile", "Put a file into a vector store", "VectorStoreFile", body="FileAttachment", tags=write
            ),
        ),
        f"{path}/{{id}}/files/{{file}}": _below("file", file),
        f"{path}/{{id}}/files/{{file}}/content": _below("file", content),
        f"{path}/{{id}}/file_batches": at(
            STORE,
            post=operation(
                "createFileBatch",
                "Put several files into a vector store",
                "FileBatch",
                body="FileBatchCreation",
                tags=write,
            ),
        ),
        f"{path}/{{id}}/file_batches/{{batch}}": _below("batch", batch),
        f"{path}/{{id}}/file_batches/{{batch}}/cancel": _below("batch", cancel),
        f"{path}/{{id}}/file_batches/{{batch}}/files": _below("batch", batch_files),
    }


def _below(name: str, item: Json) -> Json:
    """The item of a path with a second id."""
    second = {"name": name, "in": "path", "required": True, "schema": WORD, "description": BELOW[name]}
    return {**item, "parameters": [*item["parameters"], second]}


def vector_store_answers(reference: Callable[[str], Json], make: Callable[..., Json]) -> Json:
    """`reference` and `make`: `_ref` and `_object` of openapi.py."""
    counts = make(**dict.fromkeys(("in_progress", "completed", "failed", "cancelled", "total"), COUNT))
    listed = {"object": {"const": "list"}, "has_more": {"type": "boolean"}}
    text = make(type={"const": "text"}, text=WORD)
    page = {"has_more": {"const": False}, "next_page": {"type": "null"}}
    return {
        "VectorStore": make(
            "id object created_at name status file_counts usage_bytes last_active_at",
            id=WORD,
            object={"const": "vector_store"},
            created_at=COUNT,
            name=WORD,
            description={"type": ["string", "null"]},
            usage_bytes=COUNT,
            file_counts=counts,
            status={"enum": ["expired", "in_progress", "completed"]},
            expires_after={"type": ["object", "null"]},
            expires_at=NUMBER_OR_NULL,
            last_active_at=COUNT,
            metadata={"type": ["object", "null"]},
        ),
        "VectorStores": make(**listed, data={"type": "array", "items": reference("VectorStore")}),
        "DeletedVectorStore": make(id=WORD, object={"const": "vector_store.deleted"}, deleted={"const": True}),
        "VectorStoreFile": make(
            id=WORD,
            object={"const": "vector_store.file"},
            created_at=COUNT,
            vector_store_id=WORD,
            usage_bytes=COUNT,
            status=FILE_STATUS,
            last_error={"type": ["object", "null"]},
            attributes=ATTRIBUTES,
            chunking_strategy={"type": "object"},
        ),
        "VectorStoreFiles": make(**listed, data={"type": "array", "items": reference("VectorStoreFile")}),
        "DetachedFile": make(id=WORD, object={"const": "vector_store.file.deleted"}, deleted={"const": True}),
        "VectorStoreTexts": make(
            object={"const": "vector_store.file_content.page"}, data={"type": "array", "items": text}, **page
        ),
        "FileBatch": make(
            id=WORD,
            object={"const": "vector_store.files_batch"},
            created_at=COUNT,
            vector_store_id=WORD,
            status=FILE_STATUS,
            file_counts=counts,
        ),
        "VectorStoreResults": make(
            object={"const": "vector_store.search_results.page"},
            search_query={"type": "array", "items": WORD},
            data={
                "type": "array",
                "items": make(
                    file_id=WORD,
                    filename=WORD,
                    score={"type": "number", "minimum": 0, "maximum": 1},
                    attributes=ATTRIBUTES,
                    content={"type": "array", "items": text},
                ),
            },
            **page,
        ),
    }
