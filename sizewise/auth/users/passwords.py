"""Password policy and argon2id hashing with bounded concurrency; the only module that imports argon2.

OWASP's parameters (19 MiB, 2 passes, 1 lane): 65 ms of one core. Concurrency and queue are bounded, so that sign-ins
and password guessing cannot starve model requests.
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

MIN_LENGTH, MAX_LENGTH = 12, 256
"""Length of a password in characters."""
MAX_CONCURRENT_HASHES = 2
MAX_WAITING = 64
MEMORY_KIB, PASSES, LANES = 19_456, 2, 1

COMMON_PASSWORDS = """
    password passw0rd p@ssword p@ssw0rd qwerty qwertyuiop asdfghjkl azerty welcome letmein iloveyou admin
    administrator changeme changeit default guest login master monkey dragon football baseball basketball
    superman batman princess sunshine shadow secret trustno1 whatever starwars computer internet abc abcdef
    abcdefgh abcdefghijkl 1q2w3e 1q2w3e4r 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx 1qaz2wsx3edc zaq12wsx q1w2e3r4
    q1w2e3r4t5 q1w2e3r4t5y6 test testing sizewise correcthorsebatterystaple passwordpassword adminadmin
    qwertyqwerty letmeinplease iloveyousomuch mypassword thisisapassword
"""
"""Rejected alone, with digits and punctuation around them, or repeated twice."""
_HINT = f"use {MIN_LENGTH} or more characters that are hard to guess: a few words, or a generated password"


def password_problem(password: str, *about: str) -> str:
    """Why the password is too weak; empty if it is acceptable. `about`: names and addresses of the user."""
    if len(password) < MIN_LENGTH:
        return f"a password has at least {MIN_LENGTH} characters"
    if len(password) > MAX_LENGTH:
        return f"a password has at most {MAX_LENGTH} characters"
    plain, common = password.casefold(), frozenset(COMMON_PASSWORDS.split())
    letters = plain.strip("0123456789!?.-_#*$&@+ ")
    core = letters or plain
    half = core[: len(core) // 2]
    if {plain, core, plain.replace(" ", "")} & common or (half * 2 == core and half in common):
        return "this password is too common"
    steps = {ord(b) - ord(a) for a, b in pairwise(plain)}
    if len(set(plain)) < 5 or len(steps) < 3:
        return "this password repeats itself"
    if any(len(word) > 3 and word.casefold() in plain and len(plain) - len(word) < 6 for word in about):
        return "this password is too close to your name or address"
    return ""


def validate_password(password: str, *about: str) -> None:
    """Raises BadRequest."""
    if why := password_problem(password, *about):
        raise BadRequest(why, _HINT, param="password")


class PasswordHasher:
    """Hashes and verifies passwords in a bounded number of threads."""

    def __init__(self) -> None:
        self._semaphore = asyncio.Semaphore(MAX_CONCURRENT_HASHES)
        self._waiting = 0
        self._dummy_hash = ""  # of a random password, so that an unknown address takes as long as a known one

    async def hash(self, password: str) -> str:
        """A PHC string. Raises Busy."""
        return await self._run_bounded(lambda: _hash(_normalize(password)))

    async def verify(self, password: str, phc_hash: str) -> bool:
        """Always computes one hash, so that timing reveals nothing. False for an empty `phc_hash`. Raises Busy."""
        self._dummy_hash = self._dummy_hash or await self.hash(os.urandom(16).hex())
        fits = await self._run_bounded(
            lambda: _verify(_normalize(password[: MAX_LENGTH + 1]), phc_hash or self._dummy_hash),
        )
        return fits and bool(phc_hash)

    async def _run_bounded(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise Busy("too many users are signing in at the same time", "try again in a few seconds", retry_after=5)
        self._waiting += 1
        try:
            async with self._semaphore:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


def _normalize(password: str) -> bytes:
    """Unicode NFKC, so that keyboards and platforms do not matter (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


def _hash(password: bytes) -> str:
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    made = Argon2id(salt=os.urandom(16), length=32, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB)
    return str(made.derive_phc_encoded(password))


def _verify(password: bytes, phc_hash: str) -> bool:
    from cryptography.exceptions import InvalidKey
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    try:
        Argon2id.verify_phc_encoded(password, phc_hash)
    except (InvalidKey, ValueError):
        return False
    return True
