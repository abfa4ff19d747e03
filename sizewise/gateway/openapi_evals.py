"""The part of the OpenAPI document for /v1/evals: its paths and the schemas of answers; serves nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Json = Mapping[str, Any]
WORD: Mapping[str, Any] = {"type": "string"}
COUNT: Mapping[str, Any] = {"type": "integer", "minimum": 0}
OBJECT: Mapping[str, Any] = {"type": "object"}
ERROR: Mapping[str, Any] = {"type": ["object", "null"]}
RUN_STATUS: Mapping[str, Any] = {"enum": ["queued", "in_progress", "completed", "failed", "canceled"]}
LIST_QUERY: Mapping[str, Any] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100},
    "order": {"enum": ["asc", "desc"]},
    "after": WORD,
}
EVAL = "eval id"
BELOW: Mapping[str, str] = {"run": "run id", "item": "output item id"}


def eval_paths(operation: Callable[..., Json], at: Callable[..., Json]) -> Json:
    """`operation` and `at` as in openapi.py."""
    write, path = ("write",), "/v1/evals"
    run = at(
        EVAL,
        get=operation("getEvalRun", "Get a run of an eval", "EvalRun"),
        post=operation("stopEvalRun", "Cancel a run", "EvalRun", tags=write),
        delete=operation("deleteEvalRun", "Delete a run and its output items", "DeletedEvalRun", tags=write),
    )
    cancel = at(EVAL, post=operation("cancelEvalRun", "Cancel a run", "EvalRun", tags=write))
    items_query = {**LIST_QUERY, "status": WORD}
    items = at(EVAL, get=operation("listEvalOutputItems", "List its results", "EvalOutputItems", query=items_query))
    item = at(EVAL, get=operation("getEvalOutputItem", "Get one result", "EvalOutputItem"))
    return {
        path: {
            "get": operation("listEvals", "List the evals of the project", "Evals", query=LIST_QUERY),
            "post": operation("createEval", "Create an eval", "Eval", body="EvalCreation", tags=write),
        },
        f"{path}/{{id}}": at(
            EVAL,
            get=operation("getEval", "Get an eval", "Eval"),
            post=operation("modifyEval", "Change its name or metadata", "Eval", body="EvalChange", tags=write),
            delete=operation("deleteEval", "Delete an eval and its runs", "DeletedEval", tags=write),
        ),
        f"{path}/{{id}}/runs": at(
            EVAL,
            get=operation("listEvalRuns", "List its runs", "EvalRuns", query={**LIST_QUERY, "status": WORD}),
            post=operation("createEvalRun", "Start a run", "EvalRun", body="EvalRunCreation", tags=write),
        ),
        f"{path}/{{id}}/runs/{{run}}": _below(run, "run"),
        f"{path}/{{id}}/runs/{{run}}/cancel": _below(cancel, "run"),
        f"{path}/{{id}}/runs/{{run}}/output_items": _below(items, "run"),
        f"{path}/{{id}}/runs/{{run}}/output_items/{{item}}": _below(item, "run", "item"),
    }


def _below(path: Json, *names: str) -> Json:
    """The operations of a path with further ids."""
    more = [
        {"name": name, "in": "path", "required": True, "schema": WORD, "description": BELOW[name]} for name in names
    ]
    return {**path, "parameters": [*path["parameters"], *more]}


def eval_answers(reference: Callable[[str], Json], make: Callable[..., Json]) -> Json:
    """`reference` and `make`: `_ref` and `_object` of openapi.py."""
    listed = {"object": {"const": "list"}, "has_more": {"type": "boolean"}}
    counts = make(**dict.fromkeys(("total", "passed", "failed", "errored"), COUNT))
    criterion = make("testing_criteria passed failed", testing_criteria=WORD, passed=COUNT, failed=COUNT)
    result = make("name score passed", name=WORD, type=WORD, score={"type": "number"}, passed={"type": "boolean"})
    return {
        "Eval": make(
            id=WORD,
            object={"const": "eval"},
            created_at=COUNT,
            name=WORD,
            metadata=OBJECT,
            data_source_config=OBJECT,
            testing_criteria={"type": "array", "items": OBJECT},
        ),
        "Evals": make(**listed, data={"type": "array", "items": reference("Eval")}),
        "DeletedEval": make(object={"const": "eval.deleted"}, deleted={"const": True}, eval_id=WORD),
        "EvalRun": make(
            id=WORD,
            object={"const": "eval.run"},
            eval_id=WORD,
            created_at=COUNT,
            status=RUN_STATUS,
            name=WORD,
            model=WORD,
            metadata=OBJECT,
            data_source=OBJECT,
            error=ERROR,
            report_url=WORD,
            result_counts=counts,
            per_testing_criteria_results={"type": "array", "items": criterion},
            per_model_usage={"type": "array", "items": OBJECT},
        ),
        "EvalRuns": make(**listed, data={"type": "array", "items": reference("EvalRun")}),
        "DeletedEvalRun": make(object={"const": "eval.run.deleted"}, deleted={"const": True}, run_id=WORD),
        "EvalOutputItem": make(
            id=WORD,
            object={"const": "eval.run.output_item"},
            eval_id=WORD,
            run_id=WORD,
            created_at=COUNT,
            status={"enum": ["pass", "fail", "error"]},
            datasource_item_id=COUNT,
            datasource_item=OBJECT,
            results={"type": "array", "items": result},
            sample=OBJECT,
        ),
        "EvalOutputItems": make(**listed, data={"type": "array", "items": reference("EvalOutputItem")}),
    }
