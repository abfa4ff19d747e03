"""Spans: steps of a trace that are no model call (flow, node, agent, tool, retrieval), each recorded when it ends.

A model call's record is its own span, so a plain chat has none of these. Names only: never arguments, results or text.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Literal

from msgspec.structs import replace

from sizewise.errors import SizewiseError
from sizewise.handler import Request
from sizewise.request_origin import RequestOrigin
from sizewise.storage.rows import RowGroup
from sizewise.telemetry.record_ids import record_ids

SPANS_TABLE = "spans"
"""Where the rows of spans go."""
Operation = Literal["invoke_workflow", "node", "invoke_agent", "execute_tool", "retrieval"]
"""What a span does; but for `node`, the names of OpenTelemetry's conventions for generative AI."""
MAX_NAME_CHARS = 200
FAILED_TOOL = "tool_error"
"""Error of a tool that reports its failure to the model."""


class SpanRecorder:
    """Opens the spans of one process."""

    def __init__(self, write: Callable[[RowGroup], None], ids: Iterator[int]) -> None:
        """`write` accepts rows without waiting. `ids`: those of records, so that both are in the order of time."""
        self._write = write
        self._ids = ids

    def open(
        self,
        operation: Operation,
        name: str,
        request: Request,
        *,
        kind: str = "",
        flow: str = "",
        node: str = "",
        agent: str = "",
    ) -> Span:
        """A span below `request.origin`. `kind`: of a node or tool. `flow`, `node`, `agent`: for the records below it,
        where they differ from those of `request.origin`.
        """
        outer = request.origin or NO_ORIGIN
        origin = RequestOrigin(
            parent_span=span_id(next(self._ids)),
            trace_flags=outer.trace_flags,
            flow=flow or outer.flow,
            node=node or outer.node,
            agent=agent or outer.agent,
            session=request.options.session or outer.session,
        )
        return Span(self._write, self._ids, request, origin, operation=operation, name=name, kind=kind)


NO_ORIGIN = RequestOrigin(parent_span="")


def unrecorded_spans() -> SpanRecorder:
    """For callers that keep no records."""
    return SpanRecorder(lambda rows: None, record_ids())


def span_id(record_id: int) -> str:
    """The span id of a record or span."""
    return f"{record_id:016x}"


class Span:
    """A context manager. `origin`: of the requests that it causes. `error`: a code, set where nothing is raised.

    `result_bytes`: of a tool's result. `is_recorded`: False for a step whose stored result was used.
    """

    def __init__(
        self,
        write: Callable[[RowGroup], None],
        ids: Iterator[int],
        request: Request,
        origin: RequestOrigin,
        *,
        operation: Operation,
        name: str,
        kind: str,
    ) -> None:
        self._write = write
        self._ids = ids
        self._operation = operation
        self._name = name
        self._kind = kind
        self._request = request
        self.origin = origin
        self.error = ""
        self.result_bytes: int | None = None
        self.is_recorded = True
        self._at_ms, self._began = 0, 0.0

    @property
    def request(self) -> Request:
        """The request that it was opened for, as a child of the span."""
        return replace(self._request, origin=self.origin)

    def end_tool(self, result: str, failed: bool) -> None:
        self.result_bytes = len(result.encode("utf-8", "surrogatepass"))
        self.error = FAILED_TOOL if failed else ""

    def __enter__(self) -> Span:
        self._at_ms, self._began = time.time_ns() // 1_000_000, time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.is_recorded:
            return
        request = self._request
        principal, outer = request.principal, request.origin or NO_ORIGIN
        row = (
            next(self._ids),
            self.origin.parent_span,
            principal.tenant,
            principal.project,
            principal.key_id,
            request.trace_id,
            outer.parent_span or None,
            self._operation,
            self._name[:MAX_NAME_CHARS],
            self._kind,
            self._at_ms,
            (time.perf_counter() - self._began) * 1e3,
            _error_code(error) or self.error,
            self.result_bytes,
            self.origin.session or None,
        )
        self._write(((SPANS_TABLE, (row,)),))


def _error_code(error: BaseException | None) -> str:
    if error is None:
        return ""
    if isinstance(error, SizewiseError):
        return error.code
    return "cancelled" if isinstance(error, asyncio.CancelledError) else "internal_error"
