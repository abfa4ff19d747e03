"""The encrypted outcome of a call under an idempotency key: pending, answered or failed."""

from __future__ import annotations

from typing import NoReturn

import msgspec
from msgspec import Struct

from sizewise.cache.tables import IdempotencyLease
from sizewise.errors import SizewiseError, UpstreamError
from sizewise.routing.attempt_record import error_class
from sizewise.storage.encryption import EnvelopeEncryption

TABLE = "idempotency"


class RecordedError(Struct, frozen=True):
    """A SizewiseError that can be raised again."""

    code: str
    status: int
    message: str
    hint: str
    param: str | None
    retry_after: float | None
    upstream_code: str = ""

    def raise_again(self) -> NoReturn:
        kind = error_class(self.code)
        error = kind(self.message, self.hint, param=self.param, retry_after=self.retry_after, status=self.status)
        if isinstance(error, UpstreamError):
            error.upstream_code = self.upstream_code
        raise error


def recorded_error(error: SizewiseError) -> RecordedError:
    return RecordedError(
        code=error.code,
        status=error.status,
        message=error.message,
        hint=error.hint,
        param=error.param,
        retry_after=error.retry_after,
        upstream_code=error.upstream_code if isinstance(error, UpstreamError) else "",
    )


class IdempotencyRecord(Struct, frozen=True):
    """`digest` of the request; with neither reply nor error the call was started, and its outcome is unknown."""

    digest: bytes
    encoded_reply: bytes | None = None
    error: RecordedError | None = None
    trace_id: str = ""  # of the call that was started; empty in rows of older releases


def encrypt_record(encryption: EnvelopeEncryption, lease: IdempotencyLease, record: IdempotencyRecord) -> bytes:
    """Raises EncryptionKeyUnavailable."""
    return encryption.encrypt(msgspec.msgpack.encode(record), lease.tenant, TABLE, f"{lease.project}/{lease.key}")


def decrypt_record(encryption: EnvelopeEncryption, lease: IdempotencyLease, ciphertext: bytes) -> IdempotencyRecord:
    """Raises EncryptionKeyUnavailable, StorageError."""
    return msgspec.msgpack.decode(
        encryption.decrypt(ciphertext, lease.tenant, TABLE, f"{lease.project}/{lease.key}"),
        type=IdempotencyRecord,
    )
