"""OTLP export: sends spans of requests, flows, agents and tools to a collector, from the database and never in the way.

It reads what was recorded, so a collector that is away costs no memory: export goes on where it was, also after a
restart, for as long as MAX_BEHIND_S. What a collector refuses or misses for longer is counted as dropped.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
from collections.abc import Callable
from functools import partial
from urllib.parse import unquote, urlsplit

from sizewise.data_class import DataClass
from sizewise.errors import ConfigError, SizewiseError
from sizewise.http.client import HttpClient, HttpTimeouts
from sizewise.http.egress import origin
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.settings.load import resolve_secret
from sizewise.settings.server import OtlpSettings
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner
from sizewise.storage.leader_lease import StaleLeader
from sizewise.telemetry import otlp_tables
from sizewise.telemetry.otlp_encoding import encode_spans, record_to_otlp, step_to_otlp
from sizewise.telemetry.otlp_names import VERSIONS
from sizewise.telemetry.record_ids import PROCESS_BITS
from sizewise.telemetry.span_tables import SpanRow
from sizewise.telemetry.tables import RecordWithAttempts

log = logging.getLogger("sizewise.telemetry.otlp")

BATCH = 512
"""Records, and spans of steps, of one message."""
INTERVAL_S = 1.0
SETTLE_S = 2.0
"""Age from which records are exported: rows of all processes are durable by then, in the order of their ids."""
MAX_BEHIND_S = 3_600.0
RETRY_S = (1.0, 60.0)
"""The first and the longest pause after a failure; each is twice the last."""
TIMEOUTS = HttpTimeouts(connect=5, first_byte=10, between_bytes=5, total=15)
DATA_CLASS: DataClass = "internal"
"""Of spans: names, counts and sums, never the text of prompts."""
RETRIED = frozenset({401, 403, 404, 408, 429, 502, 503, 504})
"""Statuses after which the same message is sent again; others refuse it for good."""


class OtlpExporter:
    """One per server; of servers that share a database, the leader exports. Outlives a reload.

    `dropped`, `exported`: spans since the start.
    """

    def __init__(
        self, read: TransactionRunner, write: AsyncTransactionRunner, clock: Callable[[], float] = time.time
    ) -> None:
        """`write`: a transaction of the leader: of several servers, one exports."""
        self._read = read
        self._write = write
        self._clock = clock
        self._pause_s = RETRY_S[0]
        self._settings = OtlpSettings()
        self._client: HttpClient | None = None
        self.exported, self.dropped = 0, 0
        self.problem = ""
        self._oldest_s = 0.0  # unix seconds: the end of what is exported next; 0: nothing waits

    @property
    def lag_s(self) -> float:
        """Seconds since the end of the oldest request that is to be exported and is not; 0: none waits."""
        return max(0.0, self._clock() - self._oldest_s) if self._oldest_s and self._settings.endpoint else 0.0

    def prepare(self, settings: OtlpSettings, client: HttpClient) -> Callable[[], None]:
        """Returns the function that applies the settings. Raises ConfigError."""
        if settings.endpoint:
            client.endpoint(origin(settings.endpoint))
            _headers(settings)

        def apply() -> None:
            self._settings, self._client = settings, client
            self.problem = self.problem if settings.endpoint else ""

        return apply

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("OTLP export", INTERVAL_S, self._export, leader_only=True)]

    async def _export(self) -> float | None:
        """The seconds until the next try, if the collector fails."""
        try:
            while await self.export_batch():
                self._pause_s = RETRY_S[0]
        except StaleLeader:
            self._oldest_s = 0.0
            return None
        except SizewiseError as error:
            self.problem = f"the OTLP collector: {error.message}"
            pause_s, self._pause_s = self._pause_s, min(RETRY_S[1], 2 * self._pause_s)
            log.warning("spans are not exported, they are tried again: %s", error.message)
            return max(pause_s, error.retry_after or 0)
        return None

    async def export_batch(self) -> bool:
        """Sends the next message; whether there was one. Raises SizewiseError if it has to be sent again."""
        if not self._settings.endpoint or self._client is None:
            return False
        until = _id_at(self._clock() - SETTLE_S)
        after = await self._start_position(until)
        records, steps = await asyncio.to_thread(
            self._read, partial(otlp_tables.next_rows, after=after, until=until, limit=BATCH)
        )
        if not records and not steps:
            self._oldest_s = 0.0
            return False
        self._oldest_s = (min(_ids(records, steps)) >> PROCESS_BITS) / 1e6
        last = min((until, *_ends(records, steps)))
        kept = [each for each in records if each.record.id <= last and self._is_sampled(each)]
        names = VERSIONS[self._settings.names]
        spans = [span for each in kept for span in record_to_otlp(each, names)]
        spans += [step_to_otlp(each) for each in steps if each.id <= last and self._is_sampled_step(each)]
        if spans:
            await self._send(spans)
        await self._write(partial(otlp_tables.store_position, position=last))
        return True

    async def _start_position(self, until: int) -> int:
        """Where it goes on; the present at the first start. Skips what is older than MAX_BEHIND_S and counts it."""
        position = await asyncio.to_thread(self._read, otlp_tables.read_position)
        if position is None:
            await self._write(partial(otlp_tables.store_position, position=until))
            return until
        oldest = _id_at(self._clock() - MAX_BEHIND_S)
        if position < oldest:
            count = partial(otlp_tables.count_spans, after=position, until=oldest)
            self.dropped += await asyncio.to_thread(self._read, count)
            await self._write(partial(otlp_tables.store_position, position=oldest))
        return max(position, oldest)

    async def _send(self, spans: list[dict[str, object]]) -> None:
        """Raises SizewiseError if it has to be sent again."""
        assert self._client is not None
        settings = self._settings
        body = await asyncio.to_thread(
            lambda: gzip.compress(encode_spans(spans, settings.service_name, settings.resource), 5)
        )
        path = urlsplit(settings.endpoint).path.rstrip("/")
        response = await self._client.endpoint(origin(settings.endpoint)).request(
            "POST",
            f"{path}/v1/traces",
            body,
            [("content-type", "application/json"), ("content-encoding", "gzip"), *_headers(settings)],
            purpose="OTLP export",
            data_class=DATA_CLASS,
            timeouts=TIMEOUTS,
        )
        response.release()
        if response.status in RETRIED or (response.status >= 500 and response.status != 501):
            raise SizewiseError(f"it answered with the status {response.status}", "look at its log")
        if 200 <= response.status < 300:
            self.exported += len(spans)
            self.problem = ""
        else:
            self.dropped += len(spans)
            self.problem = f"the OTLP collector refused spans with the status {response.status}"

    def _is_sampled(self, whole: RecordWithAttempts) -> bool:
        record = whole.record
        slow = self._settings.slow_ms and record.total_ms >= self._settings.slow_ms
        return bool(record.error or slow) or self._is_chosen(record.trace)

    def _is_sampled_step(self, row: SpanRow) -> bool:
        return bool(row.error) or self._is_chosen(row.trace)

    def _is_chosen(self, trace: str) -> bool:
        """The same for all spans of a trace, on each server."""
        return self._settings.sample >= 1 or int(trace[-8:], 16) < self._settings.sample * 2**32


def _ids(records: list[RecordWithAttempts], steps: list[SpanRow]) -> list[int]:
    """The first id of each list."""
    return [each.record.id for each in records[:1]] + [each.id for each in steps[:1]]


def _ends(records: list[RecordWithAttempts], steps: list[SpanRow]) -> list[int]:
    """The last id of each list that may go on behind it."""
    found = [records[-1].record.id] if len(records) == BATCH else []
    return found + ([steps[-1].id] if len(steps) == BATCH else [])


def _id_at(at: float) -> int:
    """The least id of this time, unix seconds."""
    return int(at * 1e6) << PROCESS_BITS


def _headers(settings: OtlpSettings) -> list[tuple[str, str]]:
    """As OTEL_EXPORTER_OTLP_HEADERS has them: `name=value`, between commas. Raises ConfigError."""
    if not settings.headers:
        return []
    found = []
    for pair in resolve_secret(settings.headers).split(","):
        name, sign, value = pair.partition("=")
        if not sign or not name.strip():
            raise ConfigError("the headers of [otlp] are not valid", "write them as name=value, between commas")
        found.append((name.strip(), unquote(value.strip())))
    return found
