"""A response that a client asked us to remember, as it is kept: sealed; knows no wire, what is in it are bytes."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from sizewise.data_class import DataClass
from sizewise.storage.encryption import Vault

TABLE = "responses"


class Stored(Struct, frozen=True):
    """One response. `body` is what the client got, `context` what the next request builds on, `input` what was asked;
    all three are the door's to read. `created`: unix ms. What builds on it may go no further than `data_class` and
    `online` say, by which it was decided."""

    id: str
    tenant: str
    project: str
    created: int
    body: bytes
    context: bytes
    input: bytes = b"[]"
    data_class: DataClass = "confidential"
    online: bool = True


class Said(Struct, frozen=True, array_like=True):
    """What of it is sealed. What was kept before its class was known counts as confidential."""

    body: bytes
    context: bytes
    input: bytes
    data_class: DataClass = "confidential"
    online: bool = True


def sealed(vault: Vault, stored: Stored) -> bytes:
    """Raises VaultLocked."""
    said = msgspec.msgpack.encode(Said(stored.body, stored.context, stored.input, stored.data_class, stored.online))
    return vault.seal(said, stored.tenant, TABLE, f"{stored.project}/{stored.id}")


def opened(vault: Vault, sealed: bytes, id: str, tenant: str, project: str, created: int) -> Stored:
    """Raises VaultLocked, StoreFailed."""
    said = msgspec.msgpack.decode(vault.open(sealed, tenant, TABLE, f"{project}/{id}"), type=Said)
    return Stored(id, tenant, project, created, said.body, said.context, said.input, said.data_class, said.online)
