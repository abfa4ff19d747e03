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
"""Who is remembered; whoever was refused longest ago is forgotten first."""


class DeniedRequestCounter:
    """Of one caller, since `window_start`: lines written, and refusals left out."""

    __slots__ = ("suppressed", "window_start", "written")

    def __init__(self, window_start: float) -> None:
        self.window_start, self.written, self.suppressed = window_start, 0, 0


class DeniedRequestLog:
    """A chore of the writer too: it writes how many were left out of whoever does not come again."""

    def __init__(self, window_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._window, self._clock = window_s, clock
        self._counters: OrderedDict[tuple[str, str], DeniedRequestCounter] = OrderedDict()
        self._lock = threading.Lock()  # the writer has a thread of its own

    def record(self, tenant: str, principal_id: str) -> int | None:
        """Whether one more may be written, and how many were left out before it; None: this one is left out."""
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
        """A line for everybody of whom some were left out, and whose minute is over."""
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
