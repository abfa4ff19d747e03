"""Reports of a small machine: its own records go to the gateway, each once, and wait in its database while it is away.

The position behind the last record that arrived is stored after the gateway has it: a record that is sent again after a
crash has the same id, by which the gateway knows it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256

import msgspec
from msgspec import Struct

from sizewise import __version__
from sizewise.errors import ConfigError, SizewiseError
from sizewise.http.client import HttpClient, HttpTimeouts
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.settings.edge import EdgeSettings
from sizewise.settings.load import resolve_secret
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner
from sizewise.storage.leader_lease import StaleLeader
from sizewise.telemetry.edges import tables
from sizewise.telemetry.edges.report import EdgeAttempt, EdgeRecord, EdgeReport
from sizewise.telemetry.record_ids import PROCESS_BITS
from sizewise.telemetry.tables import AttemptRow, RecordWithAttempts

log = logging.getLogger("sizewise.telemetry.edges")

INTERVAL_S = 2.0
QUIET_S = 30.0
"""Pause between two reports of a machine that has nothing to bring: the gateway sees that it is there."""
SETTLE_S = 2.0
"""Age from which records are sent: all of them are durable by then, in the order of their ids."""
BATCH = 500
RETRY_S = (2.0, 30.0)
"""The first and the longest pause after a failure; each is twice the last."""
UNREADABLE = (400, 413)
MAX_NOTE = 500
TIMEOUTS = HttpTimeouts(connect=5, first_byte=10, between_bytes=5, total=20)


class MachineStanding(Struct, frozen=True):
    """What this machine answers with, and why not with what its gateway `offered`, live there since then (unix ms)."""

    release: str = ""
    note: str = ""
    offered: str = ""
    offered_since: int = 0


class MachineReports:
    """One per server; does nothing without `machine` in [edge]. Outlives a reload."""

    def __init__(
        self, read: TransactionRunner, write: AsyncTransactionRunner, clock: Callable[[], float] = time.time
    ) -> None:
        """`write`: a transaction of the leader."""
        self._read = read
        self._write = write
        self._clock = clock
        self._settings = EdgeSettings()
        self._client: HttpClient | None = None
        self._pause_s = RETRY_S[0]
        self._reported = 0.0
        self._lost = 0
        self.problem = ""
        self.standing = MachineStanding()
        """Told by `EdgeReleases`. A change of it is reported at once."""
        self._told = self.standing

    def prepare(self, settings: EdgeSettings, client: HttpClient) -> Callable[[], None]:
        """Returns the function that applies the settings. Raises ConfigError."""
        if settings.release_key and not settings.machine:
            raise ConfigError("edge.release_key: it needs `machine`", "set `machine` in [edge]")
        if settings.machine:
            if not settings.origin or not settings.key:
                raise ConfigError("edge.machine: it needs `origin` and `key`", "set `origin` and `key` in [edge]")
            resolve_secret(settings.key)
            client.endpoint(settings.origin)

        def apply() -> None:
            self._settings, self._client = settings, client
            self.problem = self.problem if settings.machine else ""

        return apply

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("reports to the gateway", INTERVAL_S, self._run, leader_only=True)]

    async def _run(self) -> float | None:
        """The seconds until the next try, if the gateway cannot be reached."""
        if not self._settings.machine:
            return None
        try:
            while await self._send_next():
                self._pause_s = RETRY_S[0]
        except StaleLeader:
            return None
        except SizewiseError as error:
            if not self.problem:
                log.warning("records wait here, they are sent again: %s", error.message)
            self.problem = f"the gateway of this machine: {error.message}"
            pause_s, self._pause_s = self._pause_s, min(RETRY_S[1], 2 * self._pause_s)
            return pause_s
        self.problem = ""
        return None

    async def _send_next(self) -> bool:
        """Whether there may be more. Raises SizewiseError if it has to be sent again."""
        until = int((self._clock() - SETTLE_S) * 1e6) << PROCESS_BITS
        after = await asyncio.to_thread(self._read, tables.read_position)
        if after is None:  # what was recorded before it became a machine of the gateway stays here
            await self._write(partial(tables.store_position, position=until))
            after = until
        found = await asyncio.to_thread(self._read, partial(tables.own_records, after=after, until=until, limit=BATCH))
        standing = self.standing
        if not found.records and standing == self._told and self._clock() - self._reported < QUIET_S:
            return False
        await self._bring(found.records, found.waiting, standing)
        self._reported, self._told = self._clock(), standing
        if found.records:
            await self._write(partial(tables.store_position, position=found.records[-1].record.id))
        return len(found.records) == BATCH

    async def _bring(self, records: Sequence[RecordWithAttempts], waiting: int, standing: MachineStanding) -> None:
        """A record that the gateway cannot read is lost, and the others around it are not."""
        report = EdgeReport(
            edge=self._settings.machine,
            kind="machine",
            release=standing.release,
            version=__version__,
            waiting=waiting,
            lost=self._lost,
            note=standing.note[:MAX_NOTE],
            offered=standing.offered,
            offered_since=standing.offered_since,
            records=[_record(self._settings.machine, each) for each in records],
        )
        if await self._post(report):
            return
        if len(records) <= 1:
            self._lost += len(records)
            log.error("the gateway cannot read a record of this machine: it has another version")
            return
        middle = len(records) // 2
        await self._bring(records[:middle], waiting, standing)
        await self._bring(records[middle:], waiting, standing)

    async def _post(self, report: EdgeReport) -> bool:
        """False: the gateway cannot read it. Raises SizewiseError if it has to be sent again."""
        assert self._client is not None
        settings = self._settings
        response = await self._client.endpoint(settings.origin).request(
            "POST",
            "/edge/records",
            await asyncio.to_thread(msgspec.json.encode, report),
            [("content-type", "application/json"), ("authorization", f"Bearer {resolve_secret(settings.key)}")],
            purpose="reports to the gateway",
            data_class="internal",
            timeouts=TIMEOUTS,
        )
        response.release()
        if response.status not in (200, *UNREADABLE):
            raise SizewiseError(f"it answered with the status {response.status}", "look at its log")
        return response.status == 200


def _record(machine: str, whole: RecordWithAttempts) -> EdgeRecord:
    its = whole.record
    return EdgeRecord(
        id=sha256(f"{machine}\n{its.id}\n{its.trace}".encode()).hexdigest()[:32],
        key=its.key,
        project=its.project,
        trace=its.trace,
        at=its.at,
        endpoint=its.door,
        asked=its.asked,
        policy=its.policy,
        model=its.model,
        why=its.why,
        status=its.status,
        error=its.error,
        attempts=[_attempt(each) for each in whole.attempts],
        first_ms=its.first_ms,
        total_ms=its.total_ms,
        stream=its.stream,
        degraded=its.degraded,
        data_class=its.data_class,
        guards=its.guards,
    )


def _attempt(row: AttemptRow) -> EdgeAttempt:
    return EdgeAttempt(**{name: getattr(row, name) for name in EdgeAttempt.__struct_fields__})
