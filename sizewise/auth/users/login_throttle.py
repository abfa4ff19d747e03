"""Login throttling per account and address, counted before the attempt in a table of fixed size.

A hash collision counts two accounts together, which only makes the limit stricter. The hash key is random per process.
"""

from __future__ import annotations

import os
import time
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address, ip_network

from sizewise.errors import Busy

SLOT_COUNT = 1 << 16
WINDOW_S = 900.0
LIMITS = (10, 50, 300)
"""Attempts per window: per account and address, per account, per address."""


class LoginThrottle:
    """Bounded memory: SLOT_COUNT slots of two numbers."""

    def __init__(self, window_s: float = WINDOW_S, *, limits: tuple[int, int, int] = LIMITS) -> None:
        """`limits`: as LIMITS."""
        self._window = window_s
        self._limits = limits
        self._key = os.urandom(16)
        self._attempts = [0] * SLOT_COUNT
        self._since = [0.0] * SLOT_COUNT

    def record_attempt(self, account: str, address: str) -> None:
        """Counts an attempt. Raises Busy if a limit is reached, without counting."""
        now, named = time.monotonic(), self._slots_of(account, address)
        for slot, most in named:
            if now - self._since[slot] >= self._window:
                self._attempts[slot], self._since[slot] = 0, now
            if self._attempts[slot] >= most:
                left = self._window - (now - self._since[slot])
                raise Busy("too many attempts to sign in", f"wait {left / 60:.0f} minutes", retry_after=max(1.0, left))
        for slot, _ in named:
            self._attempts[slot] += 1

    def record_success(self, account: str, address: str) -> None:
        """Uncounts the last attempt, and resets the count of this account from this address: earlier failures were
        typing errors.
        """
        for slot, most in self._slots_of(account, address):
            self._attempts[slot] = 0 if most == self._limits[0] else max(0, self._attempts[slot] - 1)

    def _slots_of(self, account: str, address: str) -> list[tuple[int, int]]:
        where, (with_address, alone, of_address) = _network_of(address), self._limits
        named = [(f"h{account}\0{where}", with_address), (f"c{account}", alone), (f"a{where}", of_address)]
        return [(self._slot(text), most) for text, most in named if account or text[0] == "a"]

    def _slot(self, text: str) -> int:
        digest = blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=4).digest()
        return int.from_bytes(digest, "big") % SLOT_COUNT


def _network_of(address: str) -> str:
    """The /64 network of an IPv6 address, because a client controls all of it; an IPv4 address unchanged."""
    try:
        came = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((came, 64), strict=False)) if isinstance(came, IPv6Address) else address
