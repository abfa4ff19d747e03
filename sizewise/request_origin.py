"""Request origin: the span that caused a request, in a client's program or a flow or agent; and what answers it."""

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
    session: str = ""  # of the request that the flow or agent answers; it labels records, and routes and caches nothing


class ReleaseLabel(Struct, frozen=True):
    """What answers a request where there are environments. `release`: a hash; empty: what is published. `arm`: of a
    canary, stable or canary; unsplit: stable, as nothing was split; forced: the caller chose it; empty: there is no
    canary.
    """

    environment: str
    release: str = ""
    arm: str = ""
