"""Login throttling per account and address, counted before the attempt, by all servers of the database together.

A collision of digests counts two accounts together, which only makes the limit stricter.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from hashlib import blake2b
from ipaddress import IPv6Address, ip_network

from sizewise.auth.ip_addresses import parse_ip
from sizewise.auth.users import attempt_tables
from sizewise.auth.users.tables import Transaction
from sizewise.errors import Busy
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner

WINDOW_S = 900.0
LIMITS = (10, 50, 300)
"""Attempts per window: per account and address, per account, per address."""


class LoginThrottle:
    """`purpose`: what it counts apart from other throttles. Limits as LIMITS."""

    def __init__(
        self,
        purpose: str,
        read: TransactionRunner,
        write: AsyncTransactionRunner,
        limits: tuple[int, int, int] = LIMITS,
    ) -> None:
        self._purpose = purpose
        self._read = read
        self._write = write
        self._limits = limits

    async def record_attempt(self, account: str, address: str) -> None:
        """Counts an attempt. Raises Busy if a limit is reached, without counting."""
        slots, now = self._slots_of(account, address), time.time_ns() // 1_000_000
        after = now - round(WINDOW_S * 1_000)

        def check(connection: Transaction, more: int = 1) -> None:
            for slot, (count, since) in attempt_tables.attempts_of(connection, slots, after).items():
                if count + more > slots[slot]:
                    raise _refused((since - after) / 1_000)

        def count(connection: Transaction) -> None:
            for slot in sorted(slots):  # in one order, so that no two transactions wait for each other
                attempt_tables.add_attempt(connection, slot, now, after)
            check(connection, more=0)

        await asyncio.to_thread(self._read, check)  # who is refused already writes nothing
        await self._write(count)

    async def record_success(self, account: str, address: str) -> None:
        """Uncounts the last attempt, and resets the count of this account from this address: earlier failures were
        typing errors.
        """
        slots = self._slots_of(account, address)

        def forgive(connection: Transaction) -> None:
            for slot in sorted(slots):
                attempt_tables.take_back_attempts(connection, slot, every=slots[slot] == self._limits[0])

        await self._write(forgive)

    def _slots_of(self, account: str, address: str) -> Mapping[int, int]:
        """The limit of each slot."""
        where, (with_address, alone, of_address) = _network_of(address), self._limits
        named = {f"a{where}": of_address}
        if account:
            named |= {f"c{account}": alone, f"h{account}\0{where}": with_address}
        return {_slot(f"{self._purpose}\0{text}"): most for text, most in named.items()}


def _refused(left_s: float) -> Busy:
    left = max(1.0, left_s)
    return Busy("too many attempts to sign in", f"wait {left / 60:.0f} minutes", retry_after=left)


def _slot(text: str) -> int:
    """So short that it tells nobody what was typed."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "big")


def _network_of(address: str) -> str:
    """The /64 network of an IPv6 address, because a client controls all of it; an IPv4 address as such."""
    came = parse_ip(address)
    if came is None:
        return address
    return str(ip_network((came, 64), strict=False) if isinstance(came, IPv6Address) else came)
