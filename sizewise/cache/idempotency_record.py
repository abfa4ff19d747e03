"""What came of a call made under an idempotency key, as it is kept: sealed; whether it is begun, answered or failed."""

from __future__ import annotations

from typing import NoReturn

import msgspec
from msgspec import Struct

from sizewise.cache.tables import Lease
from sizewise.errors import SizewiseError
from sizewise.routing.attempt_record import by_code
from sizewise.storage.encryption import Vault

TABLE = "idempotency"


class Failure(Struct, frozen=True):
    """One of errors.py, so that it can be raised again."""

    code: str
    status: int
    message: str
    hint: str
    param: str | None
    retry_after: float | None

    def again(self) -> NoReturn:
        kind = by_code(self.code)
        raise kind(self.message, self.hint, param=self.param, retry_after=self.retry_after, status=self.status)


def failure(error: SizewiseError) -> Failure:
    return Failure(error.code, error.status, error.message, error.hint, error.param, error.retry_after)


class Kept(Struct, frozen=True):
    """`digest` of the request; neither answer (packed) nor failure: begun, and nobody knows more."""

    digest: bytes
    answer: bytes | None = None
    failure: Failure | None = None


def sealed(vault: Vault, lease: Lease, kept: Kept) -> bytes:
    """Raises VaultLocked."""
    return vault.seal(msgspec.msgpack.encode(kept), lease.tenant, TABLE, f"{lease.project}/{lease.key}")


def opened(vault: Vault, lease: Lease, data: bytes) -> Kept:
    """Raises VaultLocked, StoreFailed."""
    return msgspec.msgpack.decode(vault.open(data, lease.tenant, TABLE, f"{lease.project}/{lease.key}"), type=Kept)
