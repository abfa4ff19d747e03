"""Silences: which series they cover, and their start and end with the author in the audit log."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import msgspec

from sizewise.alerts import tables
from sizewise.alerts.series_state import Series
from sizewise.alerts.tables import Silence
from sizewise.auth.api_keys import audit_event
from sizewise.errors import BadRequest, PathNotFound
from sizewise.principal import Principal
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner

MAX_HOURS = 24 * 30
MAX_REASON = 500
MAX_LABELS = 8


def covers(silence: Silence, series: Series) -> bool:
    if silence.tenant != series.tenant or silence.rule not in ("", series.rule):
        return False
    wanted = msgspec.json.decode(silence.labels, type=dict[str, str])
    has = msgspec.json.decode(series.labels, type=dict[str, str])
    return all(has.get(name) == value for name, value in wanted.items())


def is_silenced(series: Series, silences: Iterable[Silence]) -> bool:
    return any(covers(each, series) for each in silences)


class Silences:
    """One per server process."""

    def __init__(
        self, read: TransactionRunner, write: AsyncTransactionRunner, clock: Callable[[], float] = time.time
    ) -> None:
        """`clock`: unix seconds."""
        self._read = read
        self._write = write
        self._clock = clock

    async def list(self, tenant: str) -> list[Silence]:
        """Those that have not ended. Raises StorageError."""
        return await asyncio.to_thread(self._read, partial(tables.silences, now=self._now(), tenant=tenant))

    async def start(
        self, principal: Principal, rule: str, labels: Mapping[str, str], hours: float, reason: str
    ) -> Silence:
        """`rule`: empty for all. Raises BadRequest."""
        if not 0 < hours <= MAX_HOURS:
            raise BadRequest(f"{hours!r} is not a number of hours", f"use a number up to {MAX_HOURS}", param="hours")
        if not reason.strip() or len(reason) > MAX_REASON:
            raise BadRequest("a silence needs a reason", f"say why, in up to {MAX_REASON} characters", param="reason")
        if len(labels) > MAX_LABELS:
            raise BadRequest("too many labels", f"use at most {MAX_LABELS}", param="labels")
        now = self._now()
        silence = Silence(
            id=f"silence_{secrets.token_hex(8)}",
            tenant=principal.tenant,
            rule=rule,
            labels=msgspec.json.encode({name: labels[name] for name in sorted(labels)}).decode(),
            created=now,
            ends=now + round(hours * 3_600_000),
            author=principal.user_id or principal.key_id,
            reason=reason.strip(),
        )
        shown = {"rule": rule, "labels": silence.labels, "ends": silence.ends}
        event = audit_event(principal, principal.tenant, "alert.silence", f"silence:{silence.id}", None, shown)
        await self._write(partial(tables.add_silence, silence=silence, event=event))
        return silence

    async def end(self, principal: Principal, id: str) -> None:
        """Raises PathNotFound."""
        event = audit_event(principal, principal.tenant, "alert.unsilence", f"silence:{id[:100]}")
        ending = partial(tables.end_silence, id=id, tenant=principal.tenant, now=self._now(), event=event)
        if not await self._write(ending):
            raise PathNotFound(f"there is no silence {id[:100]!r}", "`sizewise alerts list` shows those that last")

    def _now(self) -> int:
        """Unix ms."""
        return round(self._clock() * 1_000)
