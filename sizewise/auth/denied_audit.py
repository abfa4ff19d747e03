"""Rate-limited audit log of denied requests: ten a minute per principal, then a count of the suppressed."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.auth.users.tables import Transaction

MAX_ENTRIES = 10
MAX_PRINCIPALS = 10_000
"""Principals tracked at once; the one denied longest ago is dropped first."""


class DeniedRequestCounter:
    """Denied requests of one principal since `window_start`: written to the audit log, and suppressed."""

    __slots__ = ("suppressed", "window_start", "written")

    def __init__(self, window_start: float) -> None:
        self.window_start, self.written, self.suppressed = window_start, 0, 0


class DeniedRequestLog:
    """Also a maintenance task of the batch writer: writes the suppressed counts of windows that have ended."""

    def __init__(self, window_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._window, self._clock = window_s, clock
        self._counters: OrderedDict[tuple[str, str], DeniedRequestCounter] = OrderedDict()
        self._lock = threading.Lock()  # maintenance runs in the writer's thread

    def record(self, tenant: str, principal_id: str) -> int | None:
        """None if this denial is suppressed; else the number of denials suppressed in the previous window."""
        now, left = self._clock(), 0
        with self._lock:
            its = self._counters.get((tenant, principal_id))
            if its is None or now - its.window_start >= self._window:
                left = 0 if its is None else its.suppressed
                its = self._counters[(tenant, principal_id)] = DeniedRequestCounter(now)
            self._counters.move_to_end((tenant, principal_id))
            while len(self._counters) > MAX_PRINCIPALS:
                self._counters.popitem(last=False)
            if its.written >= MAX_ENTRIES:
                its.suppressed += 1
                return None
            its.written += 1
            return left

    def take_expired(self) -> list[AuditEvent]:
        """Removes counters whose window has ended; returns an event for each with suppressed denials."""
        now, found = self._clock(), []
        with self._lock:
            for (tenant, who), its in list(self._counters.items()):
                if now - its.window_start >= self._window:
                    del self._counters[tenant, who]
                    if its.suppressed:
                        found.append(suppressed_event(tenant, who, its.suppressed))
        return found

    def __call__(self, connection: Transaction) -> bool:
        for deed in self.take_expired():
            audit.append_event(connection, deed)
        return False


def suppressed_event(tenant: str, principal_id: str, count: int) -> AuditEvent:
    return AuditEvent(tenant, principal_id, "refused", "", after={"more": count}, refused="forbidden")
