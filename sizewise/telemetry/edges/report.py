"""The report of an edge as it is sent: what it runs, and the records of its requests; no prompt, no answer."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from sizewise.data_class import DataClass
from sizewise.handler import AttemptResult

MAX_RECORDS = 1_000
"""In one report."""
Name = Annotated[str, Meta(max_length=200)]
Reason = Annotated[str, Meta(max_length=500)]
Count = Annotated[int, Meta(ge=0, le=10**15)]
Milliseconds = Annotated[float, Meta(ge=0, le=1e12)]
RecordId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{0,64}$")]


class EdgeAttempt(Struct, frozen=True):
    """As AttemptRow. `cost`: pico-dollars; an attempt at the gateway has none here, as that records it itself."""

    model: Name
    place: Name
    result: AttemptResult
    began_ms: Milliseconds
    ended_ms: Milliseconds
    why: Reason = ""
    first_ms: Milliseconds | None = None
    input: Count = 0
    output: Count = 0
    cached: Count = 0
    cache_write: Count = 0
    reasoning: Count = 0
    estimated: bool = False
    cost: Annotated[int, Meta(ge=0, le=10**18)] | None = None
    error: Name = ""
    score: float | None = None


class EdgeRecord(Struct, frozen=True):
    """As RequestRecord. `id`: random, made once: a record that comes again is known by it. `at`: unix ms."""

    id: RecordId
    key: Name
    trace: RecordId
    at: Count
    endpoint: Name
    asked: Name
    policy: Name
    status: Annotated[int, Meta(ge=100, le=599)]
    total_ms: Milliseconds
    project: Name = ""
    model: Name = ""
    why: Reason = ""
    error: Name = ""
    attempts: Annotated[list[EdgeAttempt], Meta(max_length=64)] = []
    first_ms: Milliseconds | None = None
    stream: bool = False
    degraded: Reason = ""
    data_class: DataClass | None = None
    guards: Reason = ""


class EdgeReport(Struct, frozen=True):
    """`build`: of the Worker's data. `waiting`: records that the edge still has; `lost`: those that it had no room for,
    since it began. `note`: why it does not answer with the release `offered`, which is live since then (unix ms).
    """

    edge: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    kind: Literal["worker", "machine"]
    release: Digest = ""
    build: Digest = ""
    version: Annotated[str, Meta(max_length=50)] = ""
    waiting: Count = 0
    lost: Count = 0
    note: Reason = ""
    offered: Digest = ""
    offered_since: Count = 0
    records: Annotated[list[EdgeRecord], Meta(max_length=MAX_RECORDS)] = []
