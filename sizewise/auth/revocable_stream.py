"""Revocation signal for a long-lived stream: set when its key or session is revoked; knows no wire format."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

from sizewise.auth.authenticator import NEVER, Authenticator
from sizewise.errors import InvalidApiKey
from sizewise.principal import Principal


class RevocableStream:
    """A context manager. `revoked` is set as soon as the caller's key or session is revoked, expires, or has other
    permissions. For one event loop.
    """

    def __init__(self, authenticator: Authenticator, principal: Principal) -> None:
        self.revoked = asyncio.Event()
        self._authenticator = authenticator
        self._principal = principal
        self._expiry_timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> RevocableStream:
        self._authenticator.listeners.add(self)
        until = self._authenticator.expires_at(self._principal.key_id)
        if until != NEVER:
            self._expiry_timer = asyncio.get_running_loop().call_later(max(0.0, until - time.time()), self.revoked.set)
        self.on_change()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._authenticator.listeners.discard(self)
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()

    def on_change(self) -> None:
        if not self._authenticator.is_unchanged(self._principal):
            self.revoked.set()

    @property
    def error(self) -> InvalidApiKey:
        """The error for the client of a revoked stream."""
        return InvalidApiKey(
            f"the key {self._principal.key_id!r} was revoked, has expired or has other permissions now",
            "connect again",
        )
