"""How much of what was refused stands in the trail: ten lines a minute of one caller, then how many more there were."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import Deed
from sizewise.auth.users.tables import Transaction

LINES = 10
CALLERS = 10_000
"""Who is remembered; whoever was refused longest ago is forgotten first."""


class Counted:
    """Of one caller, since `since`: lines written, and refusals left out."""

    __slots__ = ("left", "lines", "since")

    def __init__(self, since: float) -> None:
        self.since, self.lines, self.left = since, 0, 0


class Refusals:
    """A chore of the writer too: it writes how many were left out of whoever does not come again."""

    def __init__(self, window_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._window, self._clock = window_s, clock
        self._counted: OrderedDict[tuple[str, str], Counted] = OrderedDict()
        self._turn = threading.Lock()  # the writer has a thread of its own

    def take(self, tenant: str, who: str) -> int | None:
        """Whether one more may be written, and how many were left out before it; None: this one is left out."""
        now, left = self._clock(), 0
        with self._turn:
            its = self._counted.get((tenant, who))
            if its is None or now - its.since >= self._window:
                left = 0 if its is None else its.left
                its = self._counted[(tenant, who)] = Counted(now)
            self._counted.move_to_end((tenant, who))
            while len(self._counted) > CALLERS:
                self._counted.popitem(last=False)
            if its.lines >= LINES:
                its.left += 1
                return None
            its.lines += 1
            return left

    def over(self) -> list[Deed]:
        """A line for everybody of whom some were left out, and whose minute is over."""
        now, found = self._clock(), []
        with self._turn:
            for (tenant, who), its in list(self._counted.items()):
                if now - its.since >= self._window:
                    del self._counted[tenant, who]
                    if its.left:
                        found.append(more(tenant, who, its.left))
        return found

    def __call__(self, connection: Transaction) -> bool:
        for deed in self.over():
            audit.add(connection, deed)
        return False


def more(tenant: str, who: str, count: int) -> Deed:
    return Deed(tenant, who, "refused", "", after={"more": count}, refused="forbidden")
