"""Bodies of requests to /v1/evals, read and checked, and the objects that answer them; stores nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from sizewise.errors import BadBody, BadRequest, Conflict, PathNotFound
from sizewise.evals.hosted.data_sources import item_schema, shown_source
from sizewise.evals.hosted.eval_store import StoredEval, StoredItem, StoredRun
from sizewise.evals.hosted.graders import read_graders
from sizewise.evals.hosted.tables import RunRow
from sizewise.gateway.body_reading import read_known_body
from sizewise.money import format_dollars
from sizewise.principal import Principal

LEVEL = 0.95
"""Of the interval of a pass rate."""
EVAL_PREFIX, RUN_PREFIX, ITEM_PREFIX = "eval_", "evalrun_", "outputitem_"

Json = dict[str, Any]
T = TypeVar("T", bound="EvalBody")


class EvalBody(Struct, kw_only=True):
    """What every body may have: our options, which `parse_options` reads."""

    sizewise: Any = None


class EvalCreation(EvalBody, kw_only=True):
    data_source_config: Json
    testing_criteria: list[Json]
    name: Annotated[str, Meta(max_length=256)] | None = None
    metadata: dict[str, str] | None = None

    def config(self) -> Json:
        """Raises BadBody."""
        found = self.data_source_config
        kind = found.get("type")
        if kind not in ("custom", "logs", "stored_completions"):
            hint = "use custom with an item_schema, or logs"
            raise BadBody(f"there is no data source {str(kind)[:50]!r}", hint, param="data_source_config.type")
        if kind == "custom" and not isinstance(found.get("item_schema"), dict):
            hint = 'such as {"type": "object", "properties": {"question": {"type": "string"}}}'
            raise BadBody("`item_schema` is missing", hint, param="data_source_config.item_schema")
        try:
            item_schema(found)
        except BadRequest as error:
            raise BadBody(error.message, error.hint, param="data_source_config.item_schema") from error
        return found

    def criteria(self) -> list[Json]:
        """Raises BadBody."""
        read_graders(self.testing_criteria)
        return self.testing_criteria


class EvalChange(EvalBody, kw_only=True):
    """What is not there stays as it is."""

    name: Annotated[str, Meta(max_length=256)] | None = None
    metadata: dict[str, str] | UnsetType | None = UNSET


class EvalRunCreation(EvalBody, kw_only=True):
    data_source: Json
    name: Annotated[str, Meta(max_length=256)] | None = None
    metadata: dict[str, str] | None = None


_decoders: Mapping[type[EvalBody], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (EvalCreation, EvalChange, EvalRunCreation)
}


def read_eval_body(kind: type[T], body: bytes) -> tuple[T, dict[str, Raw]]:
    """The body and its raw fields. Raises BadBody."""
    return read_known_body(_decoders[kind], body)


def new_id(prefix: str, principal: Principal, key: str | None, random: str) -> str:
    """The same for the same idempotency key of one caller, so that a request that is sent twice makes one."""
    if key is None:
        return prefix + random
    if not key.strip():
        raise BadRequest(
            "the idempotency key is empty", "send a new key with each new request", param="idempotency_key"
        )
    whose = (principal.tenant, principal.project, principal.user_id or principal.key_id, prefix, key)
    return prefix + hashlib.sha256(msgspec.msgpack.encode(whose)).hexdigest()[:32]


def body_digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def check_same(stored: str, digest: str) -> None:
    """Raises Conflict if what was made under an idempotency key was made by another request."""
    if stored != digest:
        raise Conflict(
            "the idempotency key belongs to another request",
            "use a new key for a new request; a retry sends the same request unchanged",
            param="idempotency_key",
        )


# ---- answers


def eval_object(stored: StoredEval) -> Json:
    its = stored.definition
    return {
        "id": stored.row.id,
        "object": "eval",
        "created_at": stored.row.created // 1_000,
        "name": its.name,
        "metadata": its.metadata or {},
        "data_source_config": config_object(its.config),
        "testing_criteria": its.criteria,
    }


def config_object(config: Json) -> Json:
    """With the schema of what graders see."""
    item = config.get("item_schema") or {"type": "object"}
    properties: Json = {"item": item}
    if config.get("include_sample_schema", config["type"] != "custom"):
        properties["sample"] = {"type": "object", "properties": {"output_text": {"type": "string"}}}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "type": config["type"],
        "schema": schema,
        **({"metadata": config.get("metadata") or {}} if config["type"] != "custom" else {}),
    }


def run_object(stored: StoredRun, url: str) -> Json:
    """`url`: of this server."""
    row, its, found = stored.row, stored.content, stored.summary
    error = None if its.error is None else {"code": its.error[0], "message": its.error[1]}
    criteria = [
        {
            "testing_criteria": str(criterion.get("name", "")),
            "passed": result.passed,
            "failed": result.failed,
            "sizewise": {
                "missing": result.missing,
                "pass_rate": {"low": result.low, "high": result.high, "level": LEVEL, "method": result.method},
            },
        }
        for criterion, result in zip(its.criteria, found.criteria, strict=False)
    ]
    return {
        "id": row.id,
        "object": "eval.run",
        "eval_id": row.eval,
        "created_at": row.created // 1_000,
        "status": row.status,
        "name": its.name,
        "model": its.model,
        "metadata": its.metadata or {},
        "data_source": shown_source(its.source),
        "error": error,
        "report_url": f"{url}/v1/evals/{row.eval}/runs/{row.id}",
        "result_counts": {
            "total": found.total,
            "passed": found.passed,
            "failed": found.failed,
            "errored": found.errored,
        },
        "per_testing_criteria_results": criteria,
        "per_model_usage": [
            {
                "model_name": use.model,
                "invocation_count": use.calls,
                "prompt_tokens": use.input,
                "completion_tokens": use.output,
                "cached_tokens": use.cached,
                "total_tokens": use.input + use.output,
            }
            for use in found.uses
        ],
        "sizewise": {"cost_usd": format_dollars(found.cost), "unpriced_items": found.unpriced, "trace": its.trace},
    }


def item_id(run: RunRow, position: int) -> str:
    return f"{ITEM_PREFIX}{run.id.removeprefix(RUN_PREFIX)}_{position}"


def item_position(run: RunRow, id: str) -> int:
    """Raises PathNotFound."""
    start, _, number = id.rpartition("_")
    if start != f"{ITEM_PREFIX}{run.id.removeprefix(RUN_PREFIX)}" or not (number.isdecimal() and len(number) < 10):
        hint = f"list them with GET /v1/evals/{run.eval}/runs/{run.id}/output_items"
        raise PathNotFound(f"the run has no output item {id[:100]!r}", hint)
    return int(number)


def item_object(run: StoredRun, item: StoredItem) -> Json:
    outcome, row = item.outcome, run.row
    results = [
        {
            "name": str(criterion.get("name", "")),
            "type": str(criterion.get("type", "")),
            "score": grade.score,
            "passed": grade.passed,
            **({"sample": {"output_text": grade.said}} if grade.said else {}),
        }
        for criterion, grade in zip(run.content.criteria, outcome.grades, strict=False)
        if grade.score is not None
    ]
    error = None if outcome.error is None else {"code": outcome.error[0], "message": outcome.error[1]}
    return {
        "id": item_id(row, item.position),
        "object": "eval.run.output_item",
        "eval_id": row.eval,
        "run_id": row.id,
        "created_at": item.created // 1_000,
        "status": item.status,
        "datasource_item_id": item.position,
        "datasource_item": outcome.item,
        "results": results,
        "sample": {**outcome.sample, "error": error},
    }
