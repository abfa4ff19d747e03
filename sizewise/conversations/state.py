"""A response that a client asked us to remember, as it is kept: sealed; knows no wire, what is in it are bytes."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from sizewise.vault import Vault

TABLE = "responses"


class Stored(Struct, frozen=True):
    """One response. `body` is what the client got, `context` what the next request builds on, `input` what was asked;
    all three are the door's to read. `created`: unix ms."""

    id: str
    tenant: str
    project: str
    created: int
    body: bytes
    context: bytes
    input: bytes = b"[]"


class Said(Struct, frozen=True, array_like=True):
    """What of it is sealed."""

    body: bytes
    context: bytes
    input: bytes


def sealed(vault: Vault, stored: Stored) -> bytes:
    """Raises VaultLocked."""
    said = msgspec.msgpack.encode(Said(stored.body, stored.context, stored.input))
    return vault.seal(said, stored.tenant, TABLE, f"{stored.project}/{stored.id}")


def opened(vault: Vault, sealed: bytes, id: str, tenant: str, project: str, created: int) -> Stored:
    """Raises VaultLocked, StoreFailed."""
    said = msgspec.msgpack.decode(vault.open(sealed, tenant, TABLE, f"{project}/{id}"), type=Said)
    return Stored(id, tenant, project, created, said.body, said.context, said.input)
