"""Lines of the audit trail and how each is chained to the one before; pure, and knows no table.

The hash of a line covers the line and the hash before it, so a line that is changed, moved, left out or put in between
breaks every hash behind it. Who can write to the database could chain everything anew: an export kept elsewhere, or
the newest hash written down, shows that (`against`).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec
from msgspec import Struct

GENESIS = "0" * 64
"""Stands where the first line names the one before."""
Shown = dict[str, object]
"""Plain JSON: a thing as it was or is; holds no secret."""


class Deed(Struct, frozen=True):
    """Something that somebody changed, or tried to. `who` is a user's or key's id, `action` one of the roles' page."""

    tenant: str
    who: str
    action: str
    thing: str  # kind:id, such as key:sw-7k2mqpxd
    before: Shown | None = None
    after: Shown | None = None
    refused: str = ""  # the code of the error; empty when it was done
    by: str = ""  # the id of the key or session by which a user did it; lines from before have none


class Line(Struct, frozen=True):
    """A deed in its place. `seq` from 1, `at` unix ms; `hash` and `previous` are SHA-256 in hex."""

    seq: int
    at: int
    deed: Deed
    previous: str
    hash: str


class Broken(Struct, frozen=True):
    """Where a trail does not hold, and why in words."""

    seq: int
    why: str


def linked(deed: Deed, seq: int, at: int, previous: str) -> Line:
    said = msgspec.to_builtins(deed)
    if not deed.by:
        del said["by"]  # so that what was written before there was such a field still holds
    body = msgspec.json.encode([deed.tenant, seq, at, said, previous], order="deterministic")
    return Line(seq, at, deed, previous, sha256(body).hexdigest())


def broken(lines: Iterable[Line], previous: str = GENESIS, seq: int = 0) -> Broken | None:
    """The first place where the lines do not follow each other, beginning behind line `seq` with hash `previous`."""
    for line in lines:
        if line.seq != seq + 1:
            return Broken(line.seq, f"line {seq + 1} is missing: {line.seq} follows {seq}")
        if line.previous != previous:
            return Broken(line.seq, f"line {line.seq} does not follow line {seq}: one of them was replaced")
        if linked(line.deed, line.seq, line.at, line.previous).hash != line.hash:
            return Broken(line.seq, f"line {line.seq} was changed after it was written")
        previous, seq = line.hash, line.seq
    return None


def holding(lines: Iterable[Line], hash: str) -> Broken | None:
    """Whether one of `lines` has this hash, which was the newest once."""
    if any(line.hash == hash for line in lines):
        return None
    return Broken(0, f"no line has the hash {hash[:64]!r}: the trail was cut, or written anew")


def against(lines: Iterable[Line], older: Iterable[Line]) -> Broken | None:
    """Whether `lines` still begin with `older`, an export from before; the first line that differs."""
    now = iter(lines)
    for line in older:
        same = next(now, None)
        if same is None:
            return Broken(line.seq, f"line {line.seq} of the older export is gone")
        if same.hash != line.hash:
            return Broken(line.seq, f"line {line.seq} is not the one of the older export: the trail was written anew")
    return None
