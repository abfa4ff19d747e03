"""How often somebody may try: counted before the try, in a table of fixed size that forgets nobody under a flood.

Two that fall into one slot are counted together, which only makes it stricter; where a slot lies is drawn at start.
"""

from __future__ import annotations

import os
import time
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address, ip_network

from sizewise.errors import Busy

SLOTS = 1 << 16
WINDOW_S = 900.0
HERE, ACCOUNT, ADDRESS = 10, 50, 300
"""Tries in a window: at one account from one address; at one account; from one address at whatever accounts."""


class Throttle:
    """Bounded: 65,536 slots of two numbers."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window = window_s
        self._key = os.urandom(16)
        self._tries = [0] * SLOTS
        self._since = [0.0] * SLOTS

    def take(self, account: str, address: str) -> None:
        """One try. Raises Busy where there were too many, and then counts it not."""
        now, named = time.monotonic(), self._named(account, address)
        for slot, most in named:
            if now - self._since[slot] >= self._window:
                self._tries[slot], self._since[slot] = 0, now
            if self._tries[slot] >= most:
                left = self._window - (now - self._since[slot])
                raise Busy("too many tries to sign in", f"wait {left / 60:.0f} minutes", retry_after=max(1.0, left))
        for slot, _ in named:
            self._tries[slot] += 1

    def forgive(self, account: str, address: str) -> None:
        """The last try was a good one; and whoever may sign in as `account` from here may have mistyped before."""
        for slot, most in self._named(account, address):
            self._tries[slot] = 0 if most == HERE else max(0, self._tries[slot] - 1)

    def _named(self, account: str, address: str) -> list[tuple[int, int]]:
        where = _block(address)
        named = [(f"h{account}\0{where}", HERE), (f"c{account}", ACCOUNT), (f"a{where}", ADDRESS)]
        return [(self._slot(text), most) for text, most in named if account or text[0] == "a"]

    def _slot(self, text: str) -> int:
        digest = blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=4).digest()
        return int.from_bytes(digest, "big") % SLOTS


def _block(address: str) -> str:
    """An IPv6 address by its network: whoever has one has 2^64."""
    try:
        came = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((came, 64), strict=False)) if isinstance(came, IPv6Address) else address
