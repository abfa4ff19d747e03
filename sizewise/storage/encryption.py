"""Envelope encryption with one data key per tenant; knows no table and no plaintext format.

Each tenant has its own data key, which is stored in the database wrapped by an external key, and unwrapped in memory
only. A ciphertext names its data key, so that keys can be rotated without losing data. It is bound to its tenant, table
and row, so that write access to the database is not enough to move it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from sizewise.errors import EncryptionKeyUnavailable, StorageError
from sizewise.plugins import load_plugin
from sizewise.storage.keys.cipher import Cipher, DecryptionFailed, generate_key
from sizewise.storage.keys.local_kms import ID_BYTES as KEY_ID
from sizewise.storage.keys.local_kms import LocalKms
from sizewise.storage.keys.tables import USES_PER_BLOCK, DataKey, DataKeyStore

DIRECT_VERSION = b"\x01"
"""Encrypted by a key of the local KMS itself, as before data keys existed."""
DATA_KEY_VERSION = b"\x02"
ID_BYTES = 8
HEADER_BYTES = 9  # version and key id
LOCAL_PREFIX = "key "
KMS_PREFIX = "kms "
MAX_CACHED_KEYS = 10_000  # data keys cached in memory
KMS_RETRY_PAUSE_S = 2.0
"""A failed key service is not called again for this long: calls fail at once instead of queueing."""
KEY_CHECK_S = 60.0
"""A process encrypts for this long before it looks whether another one has retired its key; well below the time for
which a retired key is kept (`reencryption.GRACE_S`).
"""
KEY_RETRY_S = 2.0
"""The same after a look that failed or has not ended."""


class KeyWrapper(Protocol):
    """Wraps short secrets; raises EncryptionKeyUnavailable. May take seconds."""

    def wrap(self, plain: bytes) -> bytes: ...
    def unwrap(self, wrapped: bytes) -> bytes: ...


class PlainDataKey(Struct, frozen=True, array_like=True):
    """The wrapped content: a data key with its tenant and id, so that it cannot replace another."""

    tenant: str
    id: str
    key: bytes


class ActiveDataKey:
    """The data key that encrypts for one tenant, its uses left before they are reserved anew, and when to check that it
    was not retired (seconds of the clock).
    """

    __slots__ = ("check_at", "cipher", "header", "id", "remaining_uses")

    def __init__(self, id: str, cipher: Cipher, check_at: float) -> None:
        self.id = id
        self.header = DATA_KEY_VERSION + bytes.fromhex(id)
        self.cipher = cipher
        self.check_at = check_at
        self.remaining_uses = USES_PER_BLOCK


class EnvelopeEncryption:
    """Thread-safe. Not for the event loop's thread: a key service may take seconds."""

    def __init__(
        self,
        home: Path,
        keys: DataKeyStore,
        reference: str = "",
        kms: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`reference`: that of LocalKms. `kms`: `KIND:REST`, a plug-in of kind `kms` and its argument."""
        self._keys = keys
        self._clock = clock
        self._local_kms = LocalKms(home, reference, clock=clock)
        self._kms_name, _, rest = kms.partition(":")
        self._kms: KeyWrapper | None = load_plugin("kms", self._kms_name)(rest) if kms else None
        self._active: dict[str, ActiveDataKey] = {}
        self._ciphers: dict[tuple[str, str], Cipher] = {}
        self._lock = threading.Lock()  # short-lived: for the two dicts above
        self._slow_lock = threading.Lock()  # its holder may call the key service and the database
        self._failed: tuple[float, EncryptionKeyUnavailable] | None = None

    def expect_keys_for(self, sealed: Iterable[bytes]) -> None:
        """Requires the keys of these ciphertexts, so that `problem` reports a missing one before its first use."""
        wrapped = (key.wrapped for key in self._keys.all_keys() if key.by.startswith(LOCAL_PREFIX))
        direct = (one[1:] for one in sealed if one[:1] == DIRECT_VERSION)
        self._local_kms.require_keys(one[:KEY_ID] for one in (*wrapped, *direct))

    @property
    def problem(self) -> str:
        """Why encrypted data cannot be read; empty when it can. Calls no key service and creates no key."""
        failed = self._failed
        if failed is not None:
            return f"stored data cannot be decrypted: {failed[1].message}; {failed[1].hint}"
        return self._local_kms.problem

    @property
    def should_probe(self) -> bool:
        """Whether the key service failed and may be called again."""
        return self._failed is not None and self._clock() - self._failed[0] > KMS_RETRY_PAUSE_S

    def probe(self) -> None:
        """Checks the key service with the newest key that it wrapped. `problem` reports the result."""
        if self._kms is None:
            return
        mine = [key for key in self._keys.all_keys() if key.by.startswith(KMS_PREFIX)]
        try:
            if mine:
                self._unwrap(mine[-1])
            else:
                self._wrap(PlainDataKey("", "", generate_key()))
        except EncryptionKeyUnavailable:
            pass  # recorded in `_failed`

    def encrypt(self, plain: bytes, tenant: str, table: str, row: str) -> bytes:
        """Raises EncryptionKeyUnavailable if no key is usable, and StorageError."""
        now = self._active_key(tenant)
        return now.header + now.cipher.encrypt(plain, tenant, table, row)

    def decrypt(self, ciphertext: bytes, tenant: str, table: str, row: str) -> bytes:
        """Raises EncryptionKeyUnavailable if the key is unavailable, StorageError if the data was changed or moved, or
        its key deleted.
        """
        version = ciphertext[:1]
        if version not in (DIRECT_VERSION, DATA_KEY_VERSION):
            raise StorageError("a row was encrypted by a newer version of Sizewise", "install that version again")
        direct = version == DIRECT_VERSION
        size = 1 + KEY_ID if direct else HEADER_BYTES
        cipher = (
            self._local_kms.cipher(ciphertext[1:size]) if direct else self._cipher(tenant, ciphertext[1:size].hex())
        )
        try:
            return cipher.decrypt(ciphertext[size:], tenant, table, row)
        except DecryptionFailed as error:
            told = f"a row of the table {table!r} cannot be decrypted: it was changed or moved after it was encrypted"
            raise StorageError(told, "restore a backup of the database") from error

    # ---- rotation

    def rewrap(self) -> int:
        """Wraps every data key with the newest local key (read again) or the key service. Returns their number.

        Raises EncryptionKeyUnavailable: then only some are rewrapped, and all remain usable.
        """
        self._local_kms.reload()
        every = self._keys.all_keys()
        for key in every:
            by, wrapped = self._wrap(self._unwrap(key))
            self._keys.replace_wrapping(key, by, wrapped)
        return len(every)

    def rotate_data_keys(self) -> None:
        """Retires all data keys: new ones encrypt from now on, in other processes within KEY_CHECK_S, and the old ones
        still decrypt.
        """
        with self._slow_lock, self._lock:
            self._keys.retire_all(_now())
            self._active.clear()

    def delete_keys(self, tenant: str) -> int:
        """Deletes the data keys of `tenant`, which makes its data unreadable, also in copies. Returns their number."""
        with self._slow_lock, self._lock:
            count = self._keys.delete_tenant_keys(tenant)
            self._active.pop(tenant, None)
            for place in [place for place in self._ciphers if place[0] == tenant]:
                del self._ciphers[place]
        return count

    def key_provider(self) -> str:
        """The wrapping key service or key. Raises EncryptionKeyUnavailable."""
        return (
            f"{KMS_PREFIX}{self._kms_name}"
            if self._kms is not None
            else f"{LOCAL_PREFIX}{self._local_kms.primary_key_id.hex()}"
        )

    # ---- data keys

    def _active_key(self, tenant: str) -> ActiveDataKey:
        with self._lock:
            now = self._active.get(tenant)
            if now is not None and now.remaining_uses > 0 and self._clock() < now.check_at:
                now.remaining_uses -= 1
                return now
        with self._slow_lock:
            found = self._active.get(tenant)
            if found is not None:
                self._check_key(tenant, found)
            if found is None or found.remaining_uses <= 0:
                found = self._new_active_key(tenant)
            with self._lock:
                found.remaining_uses -= 1
                if len(self._active) >= MAX_CACHED_KEYS:
                    self._active.clear()
                self._active[tenant] = found
            return found

    def _check_key(self, tenant: str, key: ActiveDataKey) -> None:
        """Takes all uses of a key that another process retired or deleted. While the database cannot be read, the key
        stays in use: nothing can be written then either.
        """
        now = self._clock()
        if now < key.check_at:
            return
        key.check_at = now + KEY_RETRY_S  # other threads use it meanwhile
        try:
            row = self._keys.find(tenant, key.id)
        except StorageError:
            return
        key.check_at = now + KEY_CHECK_S
        if row is None or row.retired is not None:
            with self._lock:
                key.remaining_uses = 0

    def _new_active_key(self, tenant: str) -> ActiveDataKey:
        check_at = self._clock() + KEY_CHECK_S
        key = self._keys.active_key(tenant)
        if key is not None:
            return ActiveDataKey(key.id, self._cipher_of(key), check_at)
        bare = PlainDataKey(tenant, secrets.token_hex(ID_BYTES), generate_key())
        by, wrapped = self._wrap(bare)
        self._keys.add(DataKey(tenant=tenant, id=bare.id, created=_now(), by=by, wrapped=wrapped))
        return ActiveDataKey(bare.id, self._cache_cipher(bare), check_at)

    def _cipher(self, tenant: str, id: str) -> Cipher:
        found = self._ciphers.get((tenant, id))
        if found is not None:
            return found
        with self._slow_lock:
            key = self._keys.find(tenant, id)
            if key is None:
                told = f"the data key {id} of a row is missing: it was deleted, or the row was moved"
                raise StorageError(told, "deleted data keys cannot be restored; restore a backup if this is unexpected")
            return self._cipher_of(key)

    def _cipher_of(self, key: DataKey) -> Cipher:
        found = self._ciphers.get((key.tenant, key.id))
        return found if found is not None else self._cache_cipher(self._unwrap(key))

    def _cache_cipher(self, data_key: PlainDataKey) -> Cipher:
        cipher = Cipher(data_key.key)
        with self._lock:
            if len(self._ciphers) >= MAX_CACHED_KEYS:
                self._ciphers.clear()
            self._ciphers[data_key.tenant, data_key.id] = cipher
        return cipher

    def _wrap(self, data_key: PlainDataKey) -> tuple[str, bytes]:
        """The name of the wrapping key or service, and the wrapped key."""
        plain = msgspec.msgpack.encode(data_key)
        if self._kms is None:
            wrapped = self._local_kms.wrap(plain)
            return f"{LOCAL_PREFIX}{wrapped[:KEY_ID].hex()}", wrapped
        return f"{KMS_PREFIX}{self._kms_name}", self._call_kms(self._kms.wrap, plain)

    def _unwrap(self, key: DataKey) -> PlainDataKey:
        if key.by.startswith(LOCAL_PREFIX):
            plain = self._local_kms.unwrap(key.wrapped)
        elif self._kms is not None and key.by == f"{KMS_PREFIX}{self._kms_name}":
            plain = self._call_kms(self._kms.unwrap, key.wrapped)
        else:
            hint = 'set it again: kms = "..." in [encryption] of sizewise.toml'
            raise EncryptionKeyUnavailable(
                f"the data key {key.id} was wrapped by {key.by!r}, which is not configured",
                hint,
            )
        try:
            bare = msgspec.msgpack.decode(plain, type=PlainDataKey)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            hint = "check that the key service and its key are the same as before"
            raise EncryptionKeyUnavailable(f"the unwrapped data key {key.id} is not a data key", hint) from error
        if (bare.tenant, bare.id) != (key.tenant, key.id):
            hint = "restore a backup of the database"
            raise StorageError(f"the data key {key.id} was moved after it was wrapped", hint)
        return bare

    def _call_kms(self, work: Callable[[bytes], bytes], data: bytes) -> bytes:
        failed = self._failed
        if failed is not None and self._clock() - failed[0] < KMS_RETRY_PAUSE_S:
            raise EncryptionKeyUnavailable(failed[1].message, failed[1].hint)
        try:
            answer = work(data)
        except EncryptionKeyUnavailable as error:
            self._failed = (self._clock(), EncryptionKeyUnavailable(error.message, error.hint))
            raise
        self._failed = None
        return answer


def _now() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000
