"""Seals bytes before they rest on a disk and opens them again; knows no room's table and nothing of what is inside.

Envelope encryption: each tenant has a data key of its own, which lies in the database wrapped by a key from outside,
and bare in memory only. What is sealed names its data key, so that a new one can be put in front and nothing is lost;
and it is bound to its tenant, table and row, so that nobody who can write to the database can move it to another.
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

from sizewise.errors import StoreFailed, VaultLocked
from sizewise.plugins import load
from sizewise.storage.keys.cipher import Broken, Cipher, fresh
from sizewise.storage.keys.local_kms import ID_BYTES as KEY_ID
from sizewise.storage.keys.local_kms import Ring
from sizewise.storage.keys.tables import BLOCK, DataKey, DataKeys

DIRECT = b"\x01"
"""Sealed by a key of the ring itself, as it was before there were data keys."""
VERSION = b"\x02"
ID_BYTES = 8
HEAD = 9  # bytes of version and id
RING = "key "
KMS = "kms "
CACHED = 10_000  # data keys in memory
BREATH_S = 2.0
"""So long a key service that failed is not asked again: what waits for it fails at once instead of queueing up."""


class Wrapper(Protocol):
    """Wraps 32 and some bytes for somebody who may unwrap them; raises VaultLocked. May take seconds."""

    def wrap(self, plain: bytes) -> bytes: ...
    def unwrap(self, wrapped: bytes) -> bytes: ...


class Bare(Struct, frozen=True, array_like=True):
    """What is wrapped: a data key with its name, so that a wrapped one cannot be put in another's place."""

    tenant: str
    id: str
    key: bytes


class Sealing:
    """The data key that seals for one tenant, and how often it may do so before the count is renewed."""

    __slots__ = ("cipher", "head", "left")

    def __init__(self, id: str, cipher: Cipher) -> None:
        self.head = VERSION + bytes.fromhex(id)
        self.cipher = cipher
        self.left = BLOCK


class Vault:
    """Safe from any thread, but not for the event loop's: a key service may take seconds."""

    def __init__(self, home: Path, keys: DataKeys, reference: str = "", kms: str = "") -> None:
        """`reference` is Ring's. `kms`: `KIND:REST`, a member of the kind `wrappers` and what it is called with."""
        self._keys = keys
        self._ring = Ring(home, reference)
        self._kms_name, _, rest = kms.partition(":")
        self._kms: Wrapper | None = load("kms", self._kms_name)(rest) if kms else None
        self._now: dict[str, Sealing] = {}
        self._open: dict[tuple[str, str], Cipher] = {}
        self._turn = threading.Lock()  # for a moment: the two above
        self._slow = threading.Lock()  # who holds it may ask the key service and the database
        self._failed: tuple[float, VaultLocked] | None = None

    def holds(self, sealed: Iterable[bytes]) -> None:
        """Some of what was sealed before. Its keys are missed at once, and not only when it is asked for."""
        wrapped = (key.wrapped for key in self._keys.every() if key.by.startswith(RING))
        direct = (one[1:] for one in sealed if one[:1] == DIRECT)
        self._ring.needs(one[:KEY_ID] for one in (*wrapped, *direct))

    @property
    def trouble(self) -> str:
        """Why what is kept cannot be opened, in words; empty when all is well. Asks no key service, makes no key."""
        failed = self._failed
        if failed is not None:
            return f"what is kept cannot be opened: {failed[1].message}; {failed[1].hint}"
        return self._ring.trouble

    @property
    def ill(self) -> bool:
        """Whether the key service failed, and may be asked again by now."""
        return self._failed is not None and time.monotonic() - self._failed[0] > BREATH_S

    def probe(self) -> None:
        """Asks the key service whether it works, by the newest key that it has wrapped. `trouble` tells what came."""
        if self._kms is None:
            return
        mine = [key for key in self._keys.every() if key.by.startswith(KMS)]
        try:
            if mine:
                self._unwrapped(mine[-1])
            else:
                self._wrapped(Bare("", "", fresh()))
        except VaultLocked:
            pass  # it is noted

    def seal(self, plain: bytes, tenant: str, table: str, row: str) -> bytes:
        """Raises VaultLocked where there is no usable key, StoreFailed."""
        now = self._sealing(tenant)
        return now.head + now.cipher.seal(plain, tenant, table, row)

    def open(self, sealed: bytes, tenant: str, table: str, row: str) -> bytes:
        """Raises VaultLocked where there is no key, StoreFailed where it was changed or moved, or its key erased."""
        version = sealed[:1]
        if version not in (DIRECT, VERSION):
            raise StoreFailed("a row was sealed by a newer Sizewise", "install that version again")
        direct = version == DIRECT
        size = 1 + KEY_ID if direct else HEAD
        cipher = self._ring.cipher(sealed[1:size]) if direct else self._cipher(tenant, sealed[1:size].hex())
        try:
            return cipher.open(sealed[size:], tenant, table, row)
        except Broken as error:
            told = f"a row of the table {table!r} does not open: it was changed or moved since it was sealed"
            raise StoreFailed(told, "restore a backup; nothing else can bring it back") from error

    # Rotation

    def rewrap(self) -> int:
        """Wraps every data key by the newest key of the ring, read anew, or by the key service. How many.

        Raises VaultLocked: then some are wrapped anew and some are as they were, and all can be opened.
        """
        self._ring.renew()
        every = self._keys.every()
        for key in every:
            by, wrapped = self._wrapped(self._unwrapped(key))
            self._keys.wrap(key, by, wrapped)
        return len(every)

    def retire(self) -> None:
        """New data keys from now on; the old ones go on opening what they sealed."""
        with self._slow, self._turn:
            self._keys.retire(_now())
            self._now.clear()

    def erase(self, tenant: str) -> int:
        """Forgets all data keys of `tenant`: what they sealed can be opened by nobody, here or in a copy. How many."""
        with self._slow, self._turn:
            count = self._keys.erase(tenant)
            self._now.pop(tenant, None)
            for place in [place for place in self._open if place[0] == tenant]:
                del self._open[place]
        return count

    def wraps(self) -> str:
        """Who wraps, in words. Raises VaultLocked."""
        return f"{KMS}{self._kms_name}" if self._kms is not None else f"{RING}{self._ring.front.hex()}"

    # Data keys

    def _sealing(self, tenant: str) -> Sealing:
        with self._turn:
            now = self._now.get(tenant)
            if now is not None and now.left:
                now.left -= 1
                return now
        with self._slow:
            found = self._now.get(tenant)
            if found is None or not found.left:
                found = self._taken(tenant)
            with self._turn:
                found.left -= 1
                if len(self._now) >= CACHED:
                    self._now.clear()
                self._now[tenant] = found
            return found

    def _taken(self, tenant: str) -> Sealing:
        key = self._keys.take(tenant)
        if key is not None:
            return Sealing(key.id, self._known(key))
        bare = Bare(tenant, secrets.token_hex(ID_BYTES), fresh())
        by, wrapped = self._wrapped(bare)
        self._keys.add(DataKey(tenant, bare.id, _now(), by, wrapped))
        return Sealing(bare.id, self._kept(bare))

    def _cipher(self, tenant: str, id: str) -> Cipher:
        found = self._open.get((tenant, id))
        if found is not None:
            return found
        with self._slow:
            key = self._keys.find(tenant, id)
            if key is None:
                told = f"the data key {id}, by which a row was sealed, is gone: it was erased, or the row is another's"
                raise StoreFailed(told, "nothing can bring back what was erased")
            return self._known(key)

    def _known(self, key: DataKey) -> Cipher:
        found = self._open.get((key.tenant, key.id))
        return found if found is not None else self._kept(self._unwrapped(key))

    def _kept(self, bare: Bare) -> Cipher:
        cipher = Cipher(bare.key)
        with self._turn:
            if len(self._open) >= CACHED:
                self._open.clear()
            self._open[bare.tenant, bare.id] = cipher
        return cipher

    def _wrapped(self, bare: Bare) -> tuple[str, bytes]:
        """By whom, and the wrapped key."""
        plain = msgspec.msgpack.encode(bare)
        if self._kms is None:
            wrapped = self._ring.wrap(plain)
            return f"{RING}{wrapped[:KEY_ID].hex()}", wrapped
        return f"{KMS}{self._kms_name}", self._asked(self._kms.wrap, plain)

    def _unwrapped(self, key: DataKey) -> Bare:
        if key.by.startswith(RING):
            plain = self._ring.unwrap(key.wrapped)
        elif self._kms is not None and key.by == f"{KMS}{self._kms_name}":
            plain = self._asked(self._kms.unwrap, key.wrapped)
        else:
            hint = 'name it again: kms = "..." in [encryption] of sizewise.toml'
            raise VaultLocked(f"the data key {key.id} was wrapped by the {key.by!r}, which is not named", hint)
        try:
            bare = msgspec.msgpack.decode(plain, type=Bare)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            hint = "is it the same key service, with the same key, as before?"
            raise VaultLocked(f"what came for the data key {key.id} is no data key", hint) from error
        if (bare.tenant, bare.id) != (key.tenant, key.id):
            hint = "restore a backup of the database"
            raise StoreFailed(f"the data key {key.id} is another's: it was moved since it was wrapped", hint)
        return bare

    def _asked(self, work: Callable[[bytes], bytes], data: bytes) -> bytes:
        failed = self._failed
        if failed is not None and time.monotonic() - failed[0] < BREATH_S:
            raise VaultLocked(failed[1].message, failed[1].hint)
        try:
            answer = work(data)
        except VaultLocked as error:
            self._failed = (time.monotonic(), VaultLocked(error.message, error.hint))
            raise
        self._failed = None
        return answer


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
