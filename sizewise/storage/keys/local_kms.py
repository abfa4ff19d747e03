"""Wraps data keys by a key from a file, the environment, or the home; knows no table and nothing of what is sealed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import stat
import threading
from collections.abc import Iterable
from pathlib import Path

from sizewise.errors import ConfigError, StoreFailed, VaultLocked
from sizewise.settings.load import secret
from sizewise.storage.keys.cipher import KEY_BYTES, Broken, Cipher, fresh

ID_BYTES = 4  # of a key's digest: enough to find it among a handful, too few to help anybody guess it
MAKE = "`openssl rand -base64 32` makes one"
WRAPPED = "a data key"


class Ring:
    """Several keys, the newest first: it wraps, all of them unwrap. Read when first needed. Safe from any thread.

    `reference` is `file:PATH` or `env:NAME`, keys in base64 with white space between. Empty: `<home>/vault.key`, made
    when it is first needed, if nothing is known to be wrapped yet.
    """

    def __init__(self, home: Path, reference: str = "") -> None:
        self._own = home / "vault.key"
        self._reference = reference
        self._needed: frozenset[bytes] = frozenset()
        self._ring: dict[bytes, Cipher] = {}
        self._turn = threading.Lock()

    def needs(self, ids: Iterable[bytes]) -> None:
        """Keys by which something is known to be wrapped or sealed: missed at once, and not only when asked for."""
        self._needed |= frozenset(ids)

    def renew(self) -> None:
        """Reads the keys anew when they are needed next."""
        with self._turn:
            self._ring = {}

    @property
    def trouble(self) -> str:
        """Why what is kept cannot be opened, in words; empty when all is well. Makes no key."""
        try:
            if not self._ring and (self._reference or self._needed or self._own.exists()):
                self._missed(_parsed(self._text(make=False), self._where))
        except (ConfigError, VaultLocked) as error:
            return f"what is kept cannot be opened: {error.message}; {error.hint}"
        return ""

    @property
    def front(self) -> bytes:
        """The id of the key that wraps. Raises VaultLocked."""
        return next(iter(self._opened()))

    def wrap(self, plain: bytes) -> bytes:
        """Raises VaultLocked where there is no usable key."""
        id, cipher = next(iter(self._opened().items()))
        return id + cipher.seal(plain, WRAPPED)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Raises VaultLocked where its key is not in the ring, StoreFailed where it was changed."""
        try:
            return self.cipher(wrapped[:ID_BYTES]).open(wrapped[ID_BYTES:], WRAPPED)
        except Broken as error:
            hint = "restore a backup of the database, with the vault's key of that time"
            raise StoreFailed("a data key does not open: it was changed since it was wrapped", hint) from error

    def cipher(self, id: bytes) -> Cipher:
        """Raises VaultLocked where it is not in the ring."""
        ring = self._opened()
        if id not in ring:
            raise self._unknown([id])
        return ring[id]

    def _opened(self) -> dict[bytes, Cipher]:
        with self._turn:
            if not self._ring:
                try:
                    keys = _parsed(self._text(make=not self._needed), self._where)
                except ConfigError as error:
                    raise VaultLocked(error.message, error.hint) from error
                self._missed(keys)
                self._ring = {id: Cipher(key) for id, key in keys.items()}
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
        keys[hashlib.sha256(b"sizewise encryption key\0" + key).digest()[:ID_BYTES]] = key
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
    text = base64.b64encode(fresh()).decode()
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())  # before anything is sealed by it
    except OSError as error:
        hint = "make the home folder writable, or name another key in [encryption] of sizewise.toml"
        raise VaultLocked(f"cannot write {str(path)!r}: {error.strerror}", hint) from error
    return text
