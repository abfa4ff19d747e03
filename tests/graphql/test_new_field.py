"""A GraphQL field costs two files: schema.graphql with its directives, and a module with its resolver."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest
from graphql import GraphQLError, GraphQLObjectType, graphql, graphql_sync, parse, validate
from graphql.language import OperationDefinitionNode

from sizewise.app.application import Application
from sizewise.app.services import Services
from sizewise.errors import BadRequest, Forbidden
from sizewise.graphql.context import RequestContext
from sizewise.graphql.query_cost import check_cost
from sizewise.graphql.schema import (
    EXTENSIONS,
    MODULES,
    SERVED,
    ServedSchema,
    build_served_schema,
    module_functions,
    schema_text,
)
from sizewise.graphql.schema_visibility import visible_fields
from sizewise.principal import Principal

FIELD = "  sealedEnvelopes(minRows: Int = 0): [Envelope!]! @permission(any: [read_audit]) @listSize(assumedSize: 300)\n"
TYPE = "type Envelope { name: String! rows: Int! }\n"
RESOLVER = """
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues

async def sealed_envelopes(context: RequestContext, min_rows: int) -> list[FieldValues]:
    return [{"name": context.principal.name, "rows": min_rows}]
"""
QUERY = "{ sealedEnvelopes(minRows: 7) { name rows } }"


def module(folder: Path, code: str = RESOLVER) -> ModuleType:
    path = folder / "envelopes.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location("envelopes", path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def served(*modules: ModuleType, field: str = FIELD) -> ServedSchema:
    text = schema_text().replace("type Query {\n", f"{TYPE}type Query {{\n{field}", 1)
    functions: list[Callable[..., object]] = [*module_functions((*MODULES, *modules))]
    return build_served_schema(text, [*functions, *(each for plugin in EXTENSIONS for each in plugin.resolvers)])


def context(*permissions: str) -> RequestContext:
    """Of a caller that may not run models: no field of this file needs the application."""
    app = cast(Application, None)

    async def reload() -> None: ...

    return RequestContext(
        get_app=lambda: app,
        reload=reload,
        app=app,
        services=cast(Services, None),
        principal=Principal(name="ada", permissions=frozenset(permissions)),
    )


async def test_a_field_in_the_schema_and_a_function_of_its_name_are_served(tmp_path: Path) -> None:
    made, auditor = served(module(tmp_path)), context("read_audit")
    result = await graphql(made.schema, QUERY, context_value=auditor)
    assert result.data == {"sealedEnvelopes": [{"name": "ada", "rows": 7}]}
    assert ("Query", "sealedEnvelopes") in visible_fields(auditor.principal, made.resolvers)


async def test_its_permission_is_enforced_and_hides_it(tmp_path: Path) -> None:
    made, stranger = served(module(tmp_path)), context("read_keys")
    result = await graphql(made.schema, QUERY, context_value=stranger)
    assert result.errors is not None and isinstance(result.errors[0].original_error, Forbidden)
    assert "`read_audit`" in result.errors[0].message
    seen = visible_fields(stranger.principal, made.resolvers)
    assert ("Query", "sealedEnvelopes") not in seen and ("Query", "keys") in seen


def test_its_list_size_counts_before_it_is_executed(tmp_path: Path) -> None:
    made, document = served(module(tmp_path)), parse(QUERY)
    (operation,) = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    check_cost(made.schema, document, operation, {}, max_cost=601)
    with pytest.raises(BadRequest, match="601 values"):
        check_cost(made.schema, document, operation, {}, max_cost=600)


@pytest.mark.parametrize(
    ("field", "code", "message"),
    [
        (FIELD.replace("@permission(any: [read_audit])", ""), RESOLVER, "Query.sealedEnvelopes has no @permission"),
        (FIELD, "", "'sealed_envelopes', and no module has it"),
        (FIELD.replace("sealedEnvelopes", "keyValues"), "def key_values(): ...", "keys, envelopes has it"),
    ],
)
def test_a_field_that_is_not_complete_is_refused(tmp_path: Path, field: str, code: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        served(module(tmp_path, code), field=field)


def test_a_permission_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises((GraphQLError, TypeError), match="read_envelopes"):
        served(module(tmp_path), field=FIELD.replace("read_audit", "read_envelopes"))


def test_no_client_sees_or_uses_the_directives() -> None:
    shown = graphql_sync(SERVED.schema, "{ __schema { directives { name } } }").data
    assert shown is not None
    assert not {"permission", "cost", "listSize"} & {each["name"] for each in shown["__schema"]["directives"]}
    (error,) = validate(SERVED.schema, parse("{ me @permission(any: []) { key } }"))
    assert error.message == "Unknown directive '@permission'."


def test_every_field_that_runs_a_model_costs_more() -> None:
    costly = {
        name
        for root in SERVED.resolvers
        for name, field in cast(GraphQLObjectType, SERVED.schema.type_map[root]).fields.items()
        if field.extensions and field.extensions.get("sizewise.cost") == 5_000
    }
    assert costly == {
        "startEval",
        "ask",
        "embedDocuments",
        "executeAgent",
        "executeWorkflow",
        "passages",
        "resumeFlowRun",
        "startFlowRun",
        "testFlow",
    }
