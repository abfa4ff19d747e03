"""A question in GraphQL -> its answer, or a stream of them; decides what of an error is shown.

Loaded at the first request only: this file and what it imports is all that knows the GraphQL library.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from inspect import isawaitable

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    execute,
    get_operation_ast,
    subscribe,
    validate,
)

from sizewise.errors import BadRequest, SizewiseError
from sizewise.graphql.context import Context
from sizewise.graphql.lamatic import tolerant
from sizewise.graphql.persisted_queries import Queries
from sizewise.graphql.query_cost import demand
from sizewise.graphql.query_limits import parsed
from sizewise.graphql.request import Answer, Question, Shown, Stream, fault, told
from sizewise.graphql.schema_visibility import Views

MESSAGE = 500
"""Characters of the library's own messages: they may repeat what was sent."""
HINT = "the schema is told by an introspection query, and lies in sizewise/graphql/schema.graphql"
WRONG = 10
"""Mistakes of one question that are told."""


class Execute:
    def __init__(self) -> None:
        self._views = Views()
        self._queries = Queries()

    async def __call__(self, question: Question, context: Context, *, streams: bool) -> Answer:
        try:
            house = context.house
            text = self._queries.text(question, house, context.caller)
            document = tolerant(parsed(text, house.settings.graphql))
            schema, wrong = await self._checked(document, context)
            if wrong:
                return 400, {"errors": [_bad(each) for each in wrong]}
            return await _answered(schema, document, question, context, streams)
        except GraphQLError as error:
            return 400, {"errors": [_bad(error)]}
        except SizewiseError as error:
            return error.status, {"errors": [told(error)]}

    async def _checked(self, document: DocumentNode, context: Context) -> tuple[GraphQLSchema, Sequence[GraphQLError]]:
        """By which schema it is answered: the caller's own. Where that one lacks what is asked and ours has it, ours:
        its fields then say which right is missing, and it stands in the trail."""
        view = await self._views.of(context)
        wrong = validate(view, document, max_errors=WRONG)
        if not wrong or validate(self._views.whole, document, max_errors=1):
            return view, wrong
        return self._views.whole, ()


async def _answered(
    schema: GraphQLSchema, document: DocumentNode, question: Question, context: Context, streams: bool
) -> Answer:
    operation = get_operation_ast(document, question.operation_name)
    if operation is not None:  # else the library says what is wrong
        demand(schema, document, operation, question.variables or {}, context.house.settings.graphql.max_cost)
        if operation.operation is OperationType.SUBSCRIPTION:
            return await _subscribed(schema, document, question, context, streams)
    result = execute(
        schema,
        document,
        context_value=context,
        variable_values=question.variables,
        operation_name=question.operation_name,
        max_coercion_errors=WRONG,
    )
    return _result(await result if isawaitable(result) else result, context.trace)


async def _subscribed(
    schema: GraphQLSchema, document: DocumentNode, question: Question, context: Context, streams: bool
) -> Answer:
    if not streams:
        hint = "send `accept: text/event-stream`, or open a WebSocket with the protocol graphql-transport-ws"
        raise BadRequest("a subscription is answered by a stream", hint, status=406)
    begun = subscribe(
        schema,
        document,
        context_value=context,
        variable_values=question.variables,
        operation_name=question.operation_name,
        max_coercion_errors=WRONG,
    )
    begun = await begun if isawaitable(begun) else begun
    if isinstance(begun, ExecutionResult):
        return _result(begun, context.trace)
    assert isinstance(begun, AsyncGenerator)
    return Stream(_each(begun, context.trace))


async def _each(results: AsyncGenerator[ExecutionResult, None], trace: str) -> AsyncGenerator[Shown, None]:
    async with aclosing(results):
        async for result in results:
            yield _result(result, trace)[1]


def _result(result: ExecutionResult, trace: str) -> tuple[int, Shown]:
    shown: dict[str, object] = {"data": result.data}
    if result.errors:
        shown = {"errors": [_shown(each, trace) for each in result.errors], **shown}
    return 200 if result.data is not None or not result.errors else _status(result.errors), shown


def _status(errors: list[GraphQLError]) -> int:
    """When nothing could be answered, the status is the first error's."""
    first = errors[0]
    if isinstance(first.original_error, SizewiseError):
        return first.original_error.status
    return 400 if first.path is None else 500


def _shown(error: GraphQLError, trace: str) -> Shown:
    if error.original_error is None or error.path is None:  # not a field that failed, but what was sent
        return _bad(error)
    return {**fault(error.original_error, trace), "path": error.path}


def _bad(error: GraphQLError) -> Shown:
    """What is wrong with the question itself, as the library says it."""
    if isinstance(error.original_error, SizewiseError):
        return told(error.original_error)
    places = [{"line": place.line, "column": place.column} for place in error.locations or ()]
    return {**told(BadRequest(error.message[:MESSAGE], HINT)), "locations": places}
