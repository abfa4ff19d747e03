"""Audit entries and their hash chain, with verification; reads no table.

An entry's hash covers the entry and the previous hash, so changing, moving, removing or inserting an entry breaks the
chain from there on. Write access to the database is enough to rebuild the whole chain; an export or a hash kept
elsewhere detects that (`verify_export`, `verify_hash`).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec
from msgspec import Struct

GENESIS = "0" * 64
"""The previous hash of the first entry."""
Snapshot = dict[str, object]
"""An object before or after a change, as plain JSON without secrets."""


class AuditEvent(Struct, frozen=True):
    """A change, made or refused. `who` is the id of a user or key, `action` a name such as `key.create`."""

    tenant: str
    who: str
    action: str
    thing: str  # kind:id, such as key:sw-7k2mqpxd
    before: Snapshot | None = None
    after: Snapshot | None = None
    refused: str = ""  # the error code; empty if the action succeeded
    by: str = ""  # the id of the key or session that the user acted with; empty in older entries


class AuditEntry(Struct, frozen=True):
    """An event in the chain. `seq` counts from 1, `at` is unix ms; `hash` and `previous` are SHA-256 in hex."""

    seq: int
    at: int
    deed: AuditEvent
    previous: str
    hash: str


class ChainBreak(Struct, frozen=True):
    """The first entry that fails verification, and why; `seq` is 0 if the chain as a whole fails."""

    seq: int
    reason: str


def chain_entry(event: AuditEvent, seq: int, at: int, previous: str) -> AuditEntry:
    body = chained_text(event, seq, at, previous)
    return AuditEntry(seq=seq, at=at, deed=event, previous=previous, hash=sha256(body).hexdigest())


def chained_text(event: AuditEvent, seq: int, at: int, previous: str) -> bytes:
    """What the hash of an entry is of: JSON of [tenant, seq, at, event, previous]."""
    said = msgspec.to_builtins(event)
    if not event.by:
        del said["by"]  # entries written before this field existed keep their hash
    return msgspec.json.encode([event.tenant, seq, at, said, previous], order="deterministic")


def verify_chain(lines: Iterable[AuditEntry], previous: str = GENESIS, seq: int = 0) -> ChainBreak | None:
    """The first break in `lines`, which follow entry `seq` with hash `previous`; None if the chain is intact."""
    for line in lines:
        if line.seq != seq + 1:
            return ChainBreak(line.seq, f"entry {seq + 1} is missing: {line.seq} follows {seq}")
        if line.previous != previous:
            return ChainBreak(line.seq, f"entry {line.seq} does not follow entry {seq}: one of the two was replaced")
        if chain_entry(line.deed, line.seq, line.at, line.previous).hash != line.hash:
            return ChainBreak(line.seq, f"entry {line.seq} was changed after it was written")
        previous, seq = line.hash, line.seq
    return None


def verify_hash(lines: Iterable[AuditEntry], hash: str) -> ChainBreak | None:
    """A break if no entry has `hash`, which was once the newest."""
    if any(line.hash == hash for line in lines):
        return None
    return ChainBreak(0, f"no entry has the hash {hash[:64]!r}: the log was truncated or rewritten")


def verify_export(lines: Iterable[AuditEntry], export: Iterable[AuditEntry]) -> ChainBreak | None:
    """The first entry in which `lines` differ from `export`, an older export of the same log; None if they match."""
    now = iter(lines)
    for line in export:
        same = next(now, None)
        if same is None:
            return ChainBreak(line.seq, f"entry {line.seq} of the older export is missing")
        if same.hash != line.hash:
            return ChainBreak(
                line.seq,
                f"entry {line.seq} differs from the older export: the log was rewritten",
            )
    return None
