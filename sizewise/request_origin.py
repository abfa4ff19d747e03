"""Request origin: the span that caused a request, in the client's program or in a flow or agent of ours."""

from __future__ import annotations

from msgspec import Struct


class RequestOrigin(Struct, frozen=True):
    """`parent_span`: 16 hex digits.

    `trace_flags`: those of the client's `traceparent`, 0..255; None: it sent none.
    """

    parent_span: str
    trace_flags: int | None = None
    flow: str = ""
    node: str = ""  # path of the flow's node
    agent: str = ""
