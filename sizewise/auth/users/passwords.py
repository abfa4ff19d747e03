"""Passwords: which are good enough, and their argon2id hashes; the only place that touches the library for it.

OWASP's parameters (19 MiB, 2 passes, 1 lane): 65 ms of one core. At most AT_ONCE are worked out at the same time and
few may wait, so that people who sign in, or somebody who tries, cannot take the machine from those who ask models.
"""

from __future__ import annotations

import asyncio
import os
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

from sizewise.errors import BadRequest, Busy

T = TypeVar("T")

LEAST, MOST = 12, 256
"""Characters of a password."""
AT_ONCE = 2
WAITING = 64
MEMORY_KIB, PASSES, LANES = 19_456, 2, 1

COMMON = """
    password passw0rd p@ssword p@ssw0rd qwerty qwertyuiop asdfghjkl azerty welcome letmein iloveyou admin
    administrator changeme changeit default guest login master monkey dragon football baseball basketball
    superman batman princess sunshine shadow secret trustno1 whatever starwars computer internet abc abcdef
    abcdefgh abcdefghijkl 1q2w3e 1q2w3e4r 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx 1qaz2wsx3edc zaq12wsx q1w2e3r4
    q1w2e3r4t5 q1w2e3r4t5y6 test testing sizewise correcthorsebatterystaple passwordpassword adminadmin
    qwertyqwerty letmeinplease iloveyousomuch mypassword thisisapassword
"""
"""The commonest, alone or with digits and signs around them, or said twice."""
_HINT = f"take {LEAST} characters or more that nobody guesses: a few words, or what a password manager makes"


def objection(password: str, *about: str) -> str:
    """Why this is no good password for somebody with these names and addresses; empty when it is one."""
    if len(password) < LEAST:
        return f"a password has at least {LEAST} characters"
    if len(password) > MOST:
        return f"a password has at most {MOST} characters"
    plain, common = password.casefold(), frozenset(COMMON.split())
    letters = plain.strip("0123456789!?.-_#*$&@+ ")
    core = letters or plain
    half = core[: len(core) // 2]
    if {plain, core, plain.replace(" ", "")} & common or (half * 2 == core and half in common):
        return "this password is among the commonest"
    steps = {ord(b) - ord(a) for a, b in pairwise(plain)}
    if len(set(plain)) < 5 or len(steps) < 3:
        return "this password repeats itself"
    if any(len(word) > 3 and word.casefold() in plain and len(plain) - len(word) < 6 for word in about):
        return "this password is hardly more than your name or address"
    return ""


def demand_good(password: str, *about: str) -> None:
    """Raises BadRequest."""
    if why := objection(password, *about):
        raise BadRequest(why, _HINT, param="password")


class Passwords:
    """Hashes and checks, in threads, bounded."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._nobodys = ""  # a hash that no password has, so that an unknown address takes as long as a known one

    async def hashed(self, password: str) -> str:
        """As a PHC string. Raises Busy."""
        return await self._in_turn(lambda: _hashed(_bytes(password)))

    async def fits(self, password: str, phc: str) -> bool:
        """Always works out one hash, whatever `phc` is; False for an empty one. Raises Busy."""
        self._nobodys = self._nobodys or await self.hashed(os.urandom(16).hex())
        fits = await self._in_turn(lambda: _fits(_bytes(password[: MOST + 1]), phc or self._nobodys))
        return fits and bool(phc)

    async def _in_turn(self, work: Callable[[], T]) -> T:
        if self._waiting >= WAITING:
            raise Busy("too many people sign in at the same time", "try again in a few seconds", retry_after=5)
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


def _bytes(password: str) -> bytes:
    """One spelling for what looks the same, whichever keyboard it came from (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


def _hashed(password: bytes) -> str:
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    made = Argon2id(salt=os.urandom(16), length=32, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB)
    return str(made.derive_phc_encoded(password))


def _fits(password: bytes, phc: str) -> bool:
    from cryptography.exceptions import InvalidKey
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    try:
        Argon2id.verify_phc_encoded(password, phc)
    except (InvalidKey, ValueError):
        return False
    return True
