"""Split of traffic between two releases: which one answers a unit. Pure; needs no table, and a unit keeps its arm.

A unit is a session, else an end user, else a key, else a trace. It has a position in 0..1 that depends on the release
and on itself alone: those below the share are answered by the canary. So the arms are independent of what a unit asks,
and a unit that the canary answers stays there while the share rises.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal, Protocol

from msgspec import Struct

Arm = Literal["stable", "canary"]
Unsplit = Literal["unsplit"]
"""Recorded as the arm of what stable answers because nobody split it; such a request is no evidence about an arm."""
DIGEST_BYTES = 8
SILENT_S = 60.0
"""Without an evaluation for so long, nobody splits."""
POSITION_BITS = 53
"""Of a digest: so many are exact in a float below 1."""


class RequestUnit(Struct, frozen=True):
    """What a request belongs to; empty: it has none.

    `begun`: the arm that answered its session or end user before; None: this is the first request.
    """

    session: str = ""
    end_user: str = ""
    key: str = ""
    trace: str = ""
    begun: Arm | None = None

    @property
    def name(self) -> str:
        """With its kind, so that a session and a key of one name are two units."""
        for kind in ("session", "end_user", "key"):
            if value := getattr(self, kind):
                return f"{kind}:{value}"
        return f"trace:{self.trace}"


class SplitShare(Protocol):
    """`canary`: the hash of its release. `share`: of units, 0..1. `ticked`: unix ms of the last evaluation."""

    @property
    def canary(self) -> str | None: ...
    @property
    def share(self) -> float: ...
    @property
    def ticked(self) -> int: ...


def arm_of(live: SplitShare, unit: RequestUnit, now: float) -> Arm | Unsplit:
    """The arm that answers `unit`: that which began with it, else by its position. `now`: unix seconds.

    Where nobody evaluates the canary, nothing is split, and stable answers all.
    """
    if live.canary is None or live.share <= 0:
        return "stable"
    if now - live.ticked / 1_000 > SILENT_S:
        return "unsplit"
    if unit.begun is not None:
        return unit.begun
    return "canary" if position(live.canary, unit.name) < live.share else "stable"


def position(release: str, unit: str) -> float:
    """In 0..1, below 1; uniform over units, and independent between releases."""
    digest = blake2b(f"{release}\0{unit}".encode(), digest_size=DIGEST_BYTES).digest()
    return (int.from_bytes(digest, "big") >> (8 * DIGEST_BYTES - POSITION_BITS)) / (1 << POSITION_BITS)
