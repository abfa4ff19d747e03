"""Audit entries and their hash chain, with verification; reads no table.

The hash of a line covers the line and the hash before it, so a line that is changed, moved, left out or put in between
breaks every hash behind it. Who can write to the database could chain everything anew: an export kept elsewhere, or
the newest hash written down, shows that (`verify_export`).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec
from msgspec import Struct

GENESIS = "0" * 64
"""Stands where the first line names the one before."""
Snapshot = dict[str, object]
"""Plain JSON: a thing as it was or is; holds no secret."""


class AuditEvent(Struct, frozen=True):
    """Something that somebody changed, or tried to. `who` is a user's or key's id, `action` one of the roles' page."""

    tenant: str
    who: str
    action: str
    thing: str  # kind:id, such as key:sw-7k2mqpxd
    before: Snapshot | None = None
    after: Snapshot | None = None
    refused: str = ""  # the code of the error; empty when it was done
    by: str = ""  # the id of the key or session by which a user did it; lines from before have none


class AuditEntry(Struct, frozen=True):
    """A deed in its place. `seq` from 1, `at` unix ms; `hash` and `previous` are SHA-256 in hex."""

    seq: int
    at: int
    deed: AuditEvent
    previous: str
    hash: str


class ChainBreak(Struct, frozen=True):
    """Where a trail does not hold, and why in words."""

    seq: int
    reason: str


def chain_entry(event: AuditEvent, seq: int, at: int, previous: str) -> AuditEntry:
    said = msgspec.to_builtins(event)
    if not event.by:
        del said["by"]  # so that what was written before there was such a field still holds
    body = msgspec.json.encode([event.tenant, seq, at, said, previous], order="deterministic")
    return AuditEntry(seq, at, event, previous, sha256(body).hexdigest())


def verify_chain(lines: Iterable[AuditEntry], previous: str = GENESIS, seq: int = 0) -> ChainBreak | None:
    """The first place where the lines do not follow each other, beginning behind line `seq` with hash `previous`."""
    for line in lines:
        if line.seq != seq + 1:
            return ChainBreak(line.seq, f"line {seq + 1} is missing: {line.seq} follows {seq}")
        if line.previous != previous:
            return ChainBreak(line.seq, f"line {line.seq} does not follow line {seq}: one of them was replaced")
        if chain_entry(line.deed, line.seq, line.at, line.previous).hash != line.hash:
            return ChainBreak(line.seq, f"line {line.seq} was changed after it was written")
        previous, seq = line.hash, line.seq
    return None


def verify_hash(lines: Iterable[AuditEntry], hash: str) -> ChainBreak | None:
    """Whether one of `lines` has this hash, which was the newest once."""
    if any(line.hash == hash for line in lines):
        return None
    return ChainBreak(0, f"no line has the hash {hash[:64]!r}: the trail was cut, or written anew")


def verify_export(lines: Iterable[AuditEntry], export: Iterable[AuditEntry]) -> ChainBreak | None:
    """Whether `lines` still begin with `export`, an export from before; the first line that differs."""
    now = iter(lines)
    for line in export:
        same = next(now, None)
        if same is None:
            return ChainBreak(line.seq, f"line {line.seq} of the older export is gone")
        if same.hash != line.hash:
            return ChainBreak(
                line.seq,
                f"line {line.seq} is not the one of the older export: the trail was written anew",
            )
    return None
