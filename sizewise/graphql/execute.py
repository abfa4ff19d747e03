"""A question in GraphQL -> its answer; decides what of an error is shown: ours whole, a stranger's never.

Loaded at the first request only: this file and what it imports is all that knows the GraphQL library.
"""

from __future__ import annotations

import logging
from inspect import isawaitable

from graphql import GraphQLError, execute, validate

from sizewise.errors import BadRequest, SizewiseError
from sizewise.graphql.context import Context
from sizewise.graphql.door import Question, Shown, told
from sizewise.graphql.limits import parsed
from sizewise.graphql.schema import built

log = logging.getLogger("sizewise.graphql")

MESSAGE = 500
"""Characters of the library's own messages: they may repeat what was sent."""
HINT = "the schema is told by an introspection query, and lies in sizewise/graphql/schema.graphql"


class Execute:
    def __init__(self) -> None:
        self._schema = built()

    async def __call__(self, question: Question, context: Context, trace: str) -> tuple[int, Shown]:
        try:
            document = parsed(question.query)
        except GraphQLError as error:
            return 400, {"errors": [_bad(error)]}
        except SizewiseError as error:
            return error.status, {"errors": [told(error)]}
        if wrong := validate(self._schema, document, max_errors=10):
            return 400, {"errors": [_bad(each) for each in wrong]}
        result = execute(
            self._schema,
            document,
            context_value=context,
            variable_values=question.variables,
            operation_name=question.operation_name,
            max_coercion_errors=10,
        )
        if isawaitable(result):
            result = await result
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
    cause = error.original_error
    if isinstance(cause, SizewiseError):
        return {**told(cause), "path": error.path}
    if cause is None or error.path is None:  # without a path it was not a field that failed, but what was sent
        return _bad(error)
    place = cause.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
    log.error("unforeseen %s at %s, trace %s", type(cause).__name__, where, trace)
    masked = SizewiseError("something went wrong inside Sizewise", f"tell us the trace {trace}")
    return {**told(masked), "path": error.path}


def _bad(error: GraphQLError) -> Shown:
    """What is wrong with the question itself, as the library says it."""
    places = [{"line": place.line, "column": place.column} for place in error.locations or ()]
    return {**told(BadRequest(error.message[:MESSAGE], HINT)), "locations": places}
