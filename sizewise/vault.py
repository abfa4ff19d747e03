"""Seals bytes before they rest on a disk and opens them again; knows no table and nothing of what is inside.

AES-256-GCM. What is sealed names its key, so that a new key can be put in front of the old ones and nothing is lost;
and it is bound to its tenant, table and row, so that nobody who can write to the database can move it to another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import secrets
import stat
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sizewise.config import secret
from sizewise.errors import ConfigError, StoreFailed, VaultLocked

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = b"\x01"
KEY_BYTES = 32
ID_BYTES = 4  # of a key's digest: enough to find it among a handful, too few to help anybody guess it
NONCE_BYTES = 12
HEAD = 5  # bytes of version and id
MAKE = "`openssl rand -base64 32` makes one"


class Vault:
    """A keyring, read when it is first needed. Safe from any thread.

    `reference` is `file:PATH` or `env:NAME`, keys in base64 with white space between, the newest first: it seals, all
    of them open. Empty: `<home>/vault.key`, made at the first sealing, if nothing is sealed yet.
    """

    def __init__(self, home: Path, reference: str = "") -> None:
        self._own = home / "vault.key"
        self._reference = reference
        self._needed: frozenset[bytes] = frozenset()  # ids of keys by which something is known to be sealed
        self._ring: dict[bytes, AESGCM] = {}
        self._turn = threading.Lock()

    def holds(self, sealed: Iterable[bytes]) -> None:
        """Some of what was sealed before: its keys are missed at once, and not only when it is asked for."""
        self._needed |= {one[len(VERSION) : HEAD] for one in sealed}

    @property
    def trouble(self) -> str:
        """Why what is kept cannot be opened, in words; empty when all is well. Makes no key."""
        try:
            if not self._ring and (self._reference or self._needed or self._own.exists()):
                self._missed(_parsed(self._text(make=False), self._where))
        except (ConfigError, VaultLocked) as error:
            return f"what is kept cannot be opened: {error.message}; {error.hint}"
        return ""

    def seal(self, plain: bytes, tenant: str, table: str, row: str) -> bytes:
        """Raises VaultLocked where there is no usable key."""
        ring = self._opened()
        id = next(iter(ring))
        nonce = secrets.token_bytes(NONCE_BYTES)
        return VERSION + id + nonce + ring[id].encrypt(nonce, plain, _bound(tenant, table, row))

    def open(self, sealed: bytes, tenant: str, table: str, row: str) -> bytes:
        """Raises VaultLocked where its key is not in the ring, StoreFailed where it was changed or moved."""
        from cryptography.exceptions import InvalidTag

        if sealed[: len(VERSION)] != VERSION:
            raise StoreFailed("a row was sealed by a newer Sizewise", "install that version again")
        ring, id = self._opened(), sealed[len(VERSION) : HEAD]
        if id not in ring:
            raise self._unknown([id])
        nonce, rest = sealed[HEAD : HEAD + NONCE_BYTES], sealed[HEAD + NONCE_BYTES :]
        try:
            return ring[id].decrypt(nonce, rest, _bound(tenant, table, row))
        except (InvalidTag, ValueError) as error:
            told = f"a row of the table {table!r} does not open: it was changed or moved since it was sealed"
            raise StoreFailed(told, "restore a backup; nothing else can bring it back") from error

    # The keyring

    def _opened(self) -> dict[bytes, AESGCM]:
        with self._turn:
            if not self._ring:
                from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 20 ms, and many never need it

                try:
                    keys = _parsed(self._text(make=not self._needed), self._where)
                except ConfigError as error:
                    raise VaultLocked(error.message, error.hint) from error
                self._missed(keys)
                self._ring = {id: AESGCM(key) for id, key in keys.items()}
        return self._ring

    @property
    def _where(self) -> str:
        return self._reference or f"file:{self._own}"

    def _text(self, make: bool) -> str:
        kind, _, rest = self._reference.partition(":")
        if kind == "env":
            return secret(self._reference)
        if kind == "file":
            return _read(Path(rest).expanduser())
        if self._own.exists() or not make:
            _alone(self._own)
            return _read(self._own)
        return _made(self._own)

    def _missed(self, keys: dict[bytes, bytes]) -> None:
        unknown = self._needed - keys.keys()
        if unknown:
            raise self._unknown(unknown)

    def _unknown(self, ids: Iterable[bytes]) -> VaultLocked:
        named = ", ".join(sorted(id.hex() for id in ids))
        return VaultLocked(
            f"the key {named}, by which something is sealed, is not in {self._where!r}",
            "put the old key back, below the new one: older keys open what they sealed",
        )


def _bound(tenant: str, table: str, row: str) -> bytes:
    return msgspec.msgpack.encode((tenant, table, row))


def _parsed(text: str, where: str) -> dict[bytes, bytes]:
    """Keys by their ids, in the order of the text. Raises ConfigError, which repeats nothing of it."""
    keys: dict[bytes, bytes] = {}
    for word in re.split(r"[\s,]+", text.strip()):
        try:
            key = base64.b64decode(word.replace("-", "+").replace("_", "/") + "=" * (-len(word) % 4), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise ConfigError(f"{where!r} does not hold keys of {KEY_BYTES} bytes in base64", MAKE)
        keys[hashlib.sha256(b"sizewise vault key\0" + key).digest()[:ID_BYTES]] = key
    return keys


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("ascii", "replace")
    except OSError as error:
        hint = "put it back from where you keep it: without it, what is sealed cannot be read by anybody"
        raise VaultLocked(f"the vault's key {str(path)!r} cannot be read: {error.strerror}", hint) from error


def _alone(path: Path) -> None:
    """Raises ConfigError where others than its owner can read the key."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # reading it says why
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"others than you can read {str(path)!r}", f"chmod 600 {path}")


def _made(path: Path) -> str:
    text = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())  # before anything is sealed by it
    except OSError as error:
        hint = "make the home folder writable, or name another key in [vault] of sizewise.toml"
        raise VaultLocked(f"cannot write {str(path)!r}: {error.strerror}", hint) from error
    return text
