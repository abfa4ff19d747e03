"""A stream that somebody holds open, and when it must end because its key or session does; knows no wire."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

from sizewise.auth.authenticator import NEVER, Keys
from sizewise.errors import BadKey
from sizewise.principal import Caller


class Attached:
    """`gone` is set at once when the caller's key or session is revoked, runs out, or may something else than before.

    For one event loop; holds between `with` and its end.
    """

    def __init__(self, keys: Keys, caller: Caller) -> None:
        self.gone = asyncio.Event()
        self._keys = keys
        self._caller = caller
        self._alarm: asyncio.TimerHandle | None = None

    def __enter__(self) -> Attached:
        self._keys.watching.add(self)
        until = self._keys.until(self._caller.key)
        if until != NEVER:
            self._alarm = asyncio.get_running_loop().call_later(max(0.0, until - time.time()), self.gone.set)
        self.look()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keys.watching.discard(self)
        if self._alarm is not None:
            self._alarm.cancel()

    def look(self) -> None:
        if not self._keys.still(self._caller):
            self.gone.set()

    @property
    def refusal(self) -> BadKey:
        """What is said to whoever is cut off."""
        return BadKey(
            f"the key {self._caller.key!r} was revoked, has expired or may something else now", "come in again"
        )
