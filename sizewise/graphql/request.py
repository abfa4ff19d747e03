"""A question as it comes over HTTP or a WebSocket, and errors in the shape GraphQL has for them; pure."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Mapping
from random import getrandbits
from typing import Protocol

import msgspec
from msgspec import Struct

from sizewise.errors import BadBody, SizewiseError
from sizewise.graphql.context import Context

log = logging.getLogger("sizewise.graphql")

Shown = Mapping[str, object]


class Persisted(Struct, rename="camel"):
    """The hash that stands for a query, as Apollo's clients send it."""

    sha256_hash: str
    version: int = 1


class Extensions(Struct, rename="camel"):
    persisted_query: Persisted | None = None


class Question(Struct, rename="camel"):
    """The body of a request, as GraphQL over HTTP has it; other keys are no concern of ours."""

    query: str | None = None
    variables: dict[str, object] | None = None
    operation_name: str | None = None
    extensions: Extensions | None = None


class Stream(Struct):
    """Answers to a subscription, one after the other; to be closed by whoever reads them, which stops the work."""

    events: AsyncGenerator[Shown, None]


Answer = tuple[int, Shown] | Stream
"""A status and what is told; 200 where the question itself was well formed."""


class Execute(Protocol):
    """execute.Execute: answers, never raises. `streams`: whether the client can take more than one answer."""

    async def __call__(self, question: Question, context: Context, *, streams: bool) -> Answer: ...


def new_trace() -> str:
    """A W3C trace id with the time in front, so that the records' index grows at its end."""
    return f"{int(time.time()):08x}{getrandbits(96):024x}"


def read(body: bytes | msgspec.Raw) -> Question:
    """Raises BadBody."""
    try:
        return msgspec.json.decode(body, type=Question)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = 'send {"query": "...", "variables": {...}}, one question a request'
        raise BadBody(f"the body is no GraphQL request: {error}", hint) from error
    except RecursionError as error:
        raise BadBody("the body is nested too deeply", "flatten it") from error


def told(error: SizewiseError) -> Shown:
    """An error in GraphQL's shape; the CLI makes the same error of it again."""
    docs = f"docs/errors/{error.code}.md"
    extensions = {"code": error.code, "status": error.status, "hint": error.hint, "docs": docs}
    return {"message": error.message, "extensions": extensions}


def fault(cause: BaseException, trace: str) -> Shown:
    """The same for whatever went wrong: ours whole, a stranger's never. Of that one only kind and place are logged."""
    if isinstance(cause, SizewiseError):
        return told(cause)
    place = cause.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
    log.error("unforeseen %s at %s, trace %s", type(cause).__name__, where, trace)
    return told(SizewiseError("something went wrong inside Sizewise", f"report it with the trace {trace}"))
