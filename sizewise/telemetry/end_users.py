"""End users: a client's name of its own user -> a keyed hash, by which records are found; the name is not stored.

Names are often e-mail addresses, so a hash without a key would be guessed. Each tenant has a key of its own, encrypted
in the database.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from concurrent.futures import Executor
from functools import partial
from hashlib import blake2b

from sizewise.errors import Conflict, SizewiseError
from sizewise.storage.database import TransactionRunner
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.telemetry.end_user_tables import NAME, add_hash_key, find_hash_key

log = logging.getLogger("sizewise.telemetry")

HASH_BYTES, KEY_BYTES = 16, 32


class EndUserHashes:
    """Of one process. `load` reads or makes a tenant's key; `hash` then takes a microsecond."""

    def __init__(
        self, encryption: EnvelopeEncryption, read: TransactionRunner, write: TransactionRunner, executor: Executor
    ) -> None:
        """`executor` runs encryption, which may wait for a key service."""
        self._encryption = encryption
        self._read = read
        self._write = write
        self._executor = executor
        self._keys: dict[str, bytes] = {}

    async def load(self, tenant: str) -> None:
        """Raises EncryptionKeyUnavailable, StorageError."""
        if tenant not in self._keys:
            loop = asyncio.get_running_loop()
            self._keys[tenant] = await loop.run_in_executor(self._executor, self._load, tenant)

    def load_now(self, tenant: str) -> None:
        """`load`, for a thread that may wait."""
        if tenant not in self._keys:
            self._keys[tenant] = self._load(tenant)

    async def try_load(self, tenant: str) -> None:
        """A request whose end user cannot be recorded is answered all the same."""
        try:
            await self.load(tenant)
        except SizewiseError as error:
            log.warning("records have no end users: %s", error.code)

    def hash(self, tenant: str, name: str) -> str:
        """32 hex digits; empty while the tenant's key is not loaded."""
        key = self._keys.get(tenant)
        if key is None:
            return ""
        return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES, key=key).hexdigest()

    def _load(self, tenant: str) -> bytes:
        find = partial(find_hash_key, tenant=tenant)
        sealed = self._read(find)
        if sealed is None:
            made = self._encryption.encrypt(secrets.token_bytes(KEY_BYTES), tenant, NAME, tenant)
            try:
                sealed = self._write(partial(add_hash_key, tenant=tenant, sealed=made))
            except Conflict:  # another server has added one
                sealed = self._read(find) or made
        return self._encryption.decrypt(sealed, tenant, NAME, tenant)
