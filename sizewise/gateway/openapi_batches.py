"""The part of the OpenAPI document for /v1/batches: its paths and the schemas of answers; serves nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from sizewise.batches.tables import BatchStatus
from sizewise.gateway.openapi_evals import COUNT, LIST_QUERY, OBJECT, WORD

Json = Mapping[str, Any]
NO_WORD: Mapping[str, Any] = {"type": ["string", "null"]}
NO_TIME: Mapping[str, Any] = {"type": ["integer", "null"]}
NO_OBJECT: Mapping[str, Any] = {"type": ["object", "null"]}


def batch_paths(operation: Callable[..., Json], at: Callable[..., Json]) -> Json:
    """`operation` and `at` as in openapi.py."""
    write, path, id = ("write",), "/v1/batches", "batch id"
    return {
        path: {
            "get": operation("listBatches", "List the batches of the project", "Batches", query=LIST_QUERY),
            "post": operation(
                "createBatch", "Have the requests of a file answered", "Batch", body="BatchCreation", tags=write
            ),
        },
        f"{path}/{{id}}": at(id, get=operation("getBatch", "Get a batch", "Batch")),
        f"{path}/{{id}}/cancel": at(
            id, post=operation("cancelBatch", "Begin no further request of a batch", "Batch", tags=write)
        ),
    }


def batch_answers(reference: Callable[[str], Json], make: Callable[..., Json]) -> Json:
    """`reference` and `make`: `_ref` and `_object` of openapi.py."""
    times = ("in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at")
    listed = {"object": {"const": "list"}, "has_more": {"type": "boolean"}}
    return {
        "Batch": make(
            id=WORD,
            object={"const": "batch"},
            endpoint=WORD,
            errors=NO_OBJECT,
            input_file_id=WORD,
            completion_window=WORD,
            status={"enum": list(get_args(BatchStatus))},
            output_file_id=NO_WORD,
            error_file_id=NO_WORD,
            created_at=COUNT,
            expires_at=COUNT,
            **dict.fromkeys((*times, "cancelling_at", "cancelled_at"), NO_TIME),
            request_counts=make(**dict.fromkeys(("total", "completed", "failed"), COUNT)),
            usage=OBJECT,
            metadata=NO_OBJECT,
            sizewise=make(cost_usd=WORD, max_cost_usd=NO_WORD, cut=NO_OBJECT),
        ),
        "Batches": make(**listed, data={"type": "array", "items": reference("Batch")}),
    }
