"""Responses stored for `previous_response_id`, encrypted; knows no wire format."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from sizewise.data_class import DataClass
from sizewise.storage.encryption import EnvelopeEncryption

TABLE = "responses"


class StoredResponse(Struct, frozen=True):
    """One response. `body` is what the client got, `context` what the next request builds on, `input` what was asked;
    all three are the door's to read. `created`: unix ms. What builds on it may go no further than `data_class` and
    `online` say, by which it was decided.
    """

    id: str
    tenant: str
    project: str
    created: int
    body: bytes
    context: bytes
    input: bytes = b"[]"
    data_class: DataClass = "confidential"
    online: bool = True


class StoredPayload(Struct, frozen=True, array_like=True):
    """What of it is sealed. What was kept before its class was known counts as confidential."""

    body: bytes
    context: bytes
    input: bytes
    data_class: DataClass = "confidential"
    online: bool = True


def encrypt_response(encryption: EnvelopeEncryption, stored: StoredResponse) -> bytes:
    """Raises VaultLocked."""
    said = msgspec.msgpack.encode(
        StoredPayload(stored.body, stored.context, stored.input, stored.data_class, stored.online),
    )
    return encryption.encrypt(said, stored.tenant, TABLE, f"{stored.project}/{stored.id}")


def decrypt_response(
    encryption: EnvelopeEncryption,
    ciphertext: bytes,
    id: str,
    tenant: str,
    project: str,
    created: int,
) -> StoredResponse:
    """Raises VaultLocked, StoreFailed."""
    said = msgspec.msgpack.decode(encryption.decrypt(ciphertext, tenant, TABLE, f"{project}/{id}"), type=StoredPayload)
    return StoredResponse(
        id,
        tenant,
        project,
        created,
        said.body,
        said.context,
        said.input,
        said.data_class,
        said.online,
    )
