"""Executes a GraphQL query or subscription, and decides which details of an error are shown.

Loaded at the first request: only this module and its imports use the GraphQL library.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from inspect import isawaitable

from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    Visitor,
    execute,
    get_operation_ast,
    subscribe,
    validate,
    visit,
)

from sizewise.errors import BadRequest, SizewiseError
from sizewise.graphql.context import RequestContext
from sizewise.graphql.persisted_queries import PersistedQueries
from sizewise.graphql.query_cost import check_cost
from sizewise.graphql.query_limits import parse_query
from sizewise.graphql.request import (
    OperationRequest,
    OperationResponse,
    OperationResult,
    ResponseStream,
    format_error,
    format_exception,
)
from sizewise.graphql.schema import EXTENSIONS, SERVED, ServedSchema
from sizewise.graphql.schema_visibility import SchemaCache

MAX_MESSAGE_CHARS = 500
"""Limit on messages of the GraphQL library, which may repeat the query."""
HINT = "see the schema: by an introspection query, or in sizewise/graphql/schema.graphql"
MAX_ERRORS = 10
"""Maximum errors reported for one query."""


class QueryExecutor:
    def __init__(self, served: ServedSchema = SERVED) -> None:
        self._schemas = SchemaCache(served)
        self._queries = PersistedQueries()

    async def __call__(
        self,
        request: OperationRequest,
        context: RequestContext,
        *,
        streams: bool,
        reads_only: bool = False,
    ) -> OperationResponse:
        try:
            app = context.app
            text = self._queries.resolve(request, app, context.principal)
            document = parse_query(text, app.settings.graphql)
            for extension in EXTENSIONS:
                document = extension.normalize(document)
            if reads_only:
                _require_reading(document, request.operation_name)
            schema, wrong = await self._checked(document, context)
            if wrong:
                return 400, {"errors": [_bad(each) for each in wrong]}
            return await _answered(schema, document, request, context, streams)
        except GraphQLError as error:
            return 400, {"errors": [_bad(error)]}
        except SizewiseError as error:
            return error.status, {"errors": [format_error(error)]}

    async def _checked(
        self,
        document: DocumentNode,
        context: RequestContext,
    ) -> tuple[GraphQLSchema, Sequence[GraphQLError]]:
        """The schema to execute with, and the validation errors.

        The caller's own schema, unless only the full one has the requested fields: its resolvers then report the
        missing permission and write denied changes to the audit log.
        """
        view = await self._schemas.schema_for(context)
        wrong = validate(view, document, max_errors=MAX_ERRORS)
        if not wrong or validate(self._schemas.full_schema, document, max_errors=1):
            return view, wrong
        return self._schemas.full_schema, ()


def _require_reading(document: DocumentNode, operation_name: str | None) -> None:
    """Raises BadRequest unless the operation is a query without fields that act."""
    operation = get_operation_ast(document, operation_name)
    if operation is not None and operation.operation is not OperationType.QUERY:
        raise BadRequest(f"a GET cannot carry a {operation.operation.value}", "POST it as application/json", status=405)
    found = _FieldNames()
    visit(document, found)
    acts = {field for extension in EXTENSIONS for field in extension.acting_queries}
    if used := sorted(found.names & acts):
        raise BadRequest(f"a GET cannot call {used[0]}, which acts", "POST it as application/json", status=405)


class _FieldNames(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_field(self, node: FieldNode, *_: object) -> None:
        self.names.add(node.name.value)


async def _answered(
    schema: GraphQLSchema,
    document: DocumentNode,
    question: OperationRequest,
    context: RequestContext,
    streams: bool,
) -> OperationResponse:
    operation = get_operation_ast(document, question.operation_name)
    if operation is not None:  # otherwise execute() reports the error
        check_cost(schema, document, operation, question.variables or {}, context.app.settings.graphql.max_cost)
        if operation.operation is OperationType.SUBSCRIPTION:
            return await _subscribed(schema, document, question, context, streams)
    result = execute(
        schema,
        document,
        context_value=context,
        variable_values=question.variables,
        operation_name=question.operation_name,
        max_coercion_errors=MAX_ERRORS,
    )
    return _result(await result if isawaitable(result) else result, context.trace)


async def _subscribed(
    schema: GraphQLSchema,
    document: DocumentNode,
    question: OperationRequest,
    context: RequestContext,
    streams: bool,
) -> OperationResponse:
    if not streams:
        hint = "send `accept: text/event-stream`, or open a WebSocket with the protocol graphql-transport-ws"
        raise BadRequest("the response to a subscription is a stream", hint, status=406)
    begun = subscribe(
        schema,
        document,
        context_value=context,
        variable_values=question.variables,
        operation_name=question.operation_name,
        max_coercion_errors=MAX_ERRORS,
    )
    begun = await begun if isawaitable(begun) else begun
    if isinstance(begun, ExecutionResult):
        return _result(begun, context.trace)
    assert isinstance(begun, AsyncGenerator)
    return ResponseStream(_each(begun, context.trace))


async def _each(results: AsyncGenerator[ExecutionResult, None], trace: str) -> AsyncGenerator[OperationResult, None]:
    async with aclosing(results):
        async for result in results:
            yield _result(result, trace)[1]


def _result(result: ExecutionResult, trace: str) -> tuple[int, OperationResult]:
    shown: dict[str, object] = {"data": result.data}
    if result.errors:
        shown = {"errors": [_shown(each, trace) for each in result.errors], **shown}
    return 200 if result.data is not None or not result.errors else _status(result.errors), shown


def _status(errors: list[GraphQLError]) -> int:
    """The status if no field was answered: the first error's."""
    first = errors[0]
    if isinstance(first.original_error, SizewiseError):
        return first.original_error.status
    return 400 if _is_of_request(first) else 500


def _is_of_request(error: GraphQLError) -> bool:
    """Whether the request is wrong, and no resolver failed: also a variable whose null an argument does not take, which
    is seen only at its field.
    """
    return error.path is None or error.original_error is None or isinstance(error.original_error, GraphQLError)


def _shown(error: GraphQLError, trace: str) -> OperationResult:
    cause = error.original_error
    if cause is None or _is_of_request(error):
        return _bad(error)
    return {**format_exception(cause, trace), "path": error.path}


def _bad(error: GraphQLError) -> OperationResult:
    """An error in the request itself, with the library's message."""
    if isinstance(error.original_error, SizewiseError):
        return format_error(error.original_error)
    places = [{"line": place.line, "column": place.column} for place in error.locations or ()]
    return {**format_error(BadRequest(error.message[:MAX_MESSAGE_CHARS], HINT)), "locations": places}
