"""Local KMS: wraps data keys with a key from a file, the environment or the home directory."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import stat
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from sizewise.atomic_file import create_file_atomically
from sizewise.errors import ConfigError, EncryptionKeyUnavailable, StorageError
from sizewise.settings.load import resolve_secret
from sizewise.storage.keys.cipher import KEY_BYTES, Cipher, DecryptionFailed, generate_key

ID_BYTES = 4  # of the key's digest: enough to find it among a few, too little to help guess it
MAKE_KEY_HINT = "create one: openssl rand -base64 32"
WRAP_CONTEXT = "a data key"
LOOK_PAUSE_S = 5.0
"""Least seconds between two looks for keys that were added to the ring."""


class LocalKms:
    """A key ring, newest first: the first key wraps, all unwrap. Read on first use, and again for a key that is not in
    it and before it wraps: another process may rotate. Thread-safe.

    `reference`: `file:PATH` or `env:NAME` with keys in base64, separated by white space. Empty: `<home>/vault.key`,
    created on first use unless something is known to be wrapped already.
    """

    def __init__(self, home: Path, reference: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next_look = 0.0  # on the clock
        self._default_path = home / "vault.key"
        self._reference = reference
        self._required: frozenset[bytes] = frozenset()
        self._has_loaded = False
        self._ciphers: dict[bytes, Cipher] = {}
        self._lock = threading.Lock()

    def require_keys(self, ids: Iterable[bytes]) -> None:
        """Ids of keys that stored data needs: `problem` reports a missing one before it is used."""
        self._required |= frozenset(ids)

    def reload(self) -> None:
        """Reads the keys again on next use."""
        with self._lock:
            self._ciphers = {}

    @property
    def problem(self) -> str:
        """Why encrypted data cannot be read; empty when it can. Creates no key."""
        try:
            if not self._ciphers and (self._reference or self._required or self._default_path.exists()):
                self._check_required(self._parse_keys(self._text(create=False)))
        except (ConfigError, EncryptionKeyUnavailable) as error:
            return f"stored data cannot be decrypted: {error.message}; {error.hint}"
        return ""

    @property
    def primary_key_id(self) -> bytes:
        """The id of the wrapping key. Raises EncryptionKeyUnavailable."""
        return next(iter(self._load_added()))

    def wrap(self, plain: bytes) -> bytes:
        """Raises EncryptionKeyUnavailable if no key is usable."""
        id, cipher = next(iter(self._load_added().items()))
        return id + cipher.encrypt(plain, WRAP_CONTEXT)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Raises EncryptionKeyUnavailable if its key is not in the ring, StorageError if the data was changed."""
        try:
            return self.cipher(wrapped[:ID_BYTES]).decrypt(wrapped[ID_BYTES:], WRAP_CONTEXT)
        except DecryptionFailed as error:
            hint = "restore a backup of the database, with the encryption key of that time"
            raise StorageError("a data key cannot be unwrapped: it was changed after it was wrapped", hint) from error

    def cipher(self, id: bytes) -> Cipher:
        """Raises EncryptionKeyUnavailable if the key is not in the ring."""
        ring = self._load()
        if id not in ring:
            ring = self._load_added()
        if id not in ring:
            raise self._missing_keys([id])
        return ring[id]

    def _load(self) -> dict[bytes, Cipher]:
        with self._lock:
            if not self._ciphers:
                try:
                    keys = self._parse_keys(self._text(create=not (self._required or self._has_loaded)))
                except ConfigError as error:
                    raise EncryptionKeyUnavailable(error.message, error.hint) from error
                self._check_required(keys)
                self._ciphers = {id: Cipher(key) for id, key in keys.items()}
                self._has_loaded = True
            return self._ciphers

    def _load_added(self) -> dict[bytes, Cipher]:
        """As `_load`, with the keys that were added since; those in use stay if they cannot be read any more."""
        ring = self._load()
        with self._lock:
            now = self._clock()
            if now < self._next_look:
                return ring
            self._next_look = now + LOOK_PAUSE_S
            with suppress(ConfigError, EncryptionKeyUnavailable):
                keys = self._parse_keys(self._text(create=False))
                self._ciphers = ring = {id: Cipher(key) for id, key in keys.items()} | ring
            return ring

    @property
    def _where(self) -> str:
        return self._reference or f"file:{self._default_path}"

    def _text(self, create: bool) -> str:
        kind, _, rest = self._reference.partition(":")
        if kind in ("env", "exec"):
            return resolve_secret(self._reference)
        if kind == "file":
            return _read(Path(rest).expanduser())
        if self._default_path.exists() or not create:
            _check_permissions(self._default_path)
            return _read(self._default_path)
        return _create_key_file(self._default_path)

    def _parse_keys(self, text: str) -> dict[bytes, bytes]:
        """Raises ConfigError."""
        if self._reference:
            return _parse_keys(text, self._where, MAKE_KEY_HINT)
        path = self._default_path
        if self._required or self._has_loaded:
            hint = "restore the file from your backup of the key: without it, stored data cannot be decrypted"
        else:  # older versions left it empty or cut if the disk was full
            hint = f"nothing is encrypted with it: delete it, and the next use creates a new key: rm {path}"
        if not text.strip():
            raise ConfigError(f"the encryption key {str(path)!r} is empty", hint)
        return _parse_keys(text, self._where, hint)

    def _check_required(self, keys: dict[bytes, bytes]) -> None:
        unknown = self._required - keys.keys()
        if unknown:
            raise self._missing_keys(unknown)

    def _missing_keys(self, ids: Iterable[bytes]) -> EncryptionKeyUnavailable:
        named = ", ".join(sorted(id.hex() for id in ids))
        return EncryptionKeyUnavailable(
            f"the key {named} of stored data is not in {self._where!r}",
            "add the old key below the new one: older keys decrypt what they encrypted",
        )


def _parse_keys(text: str, where: str, hint: str) -> dict[bytes, bytes]:
    """Keys by id, in the order of the text. Raises ConfigError, which never shows the text."""
    keys: dict[bytes, bytes] = {}
    for word in re.split(r"[\s,]+", text.strip()):
        try:
            key = base64.b64decode(word.replace("-", "+").replace("_", "/") + "=" * (-len(word) % 4), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise ConfigError(f"{where!r} does not contain keys of {KEY_BYTES} bytes in base64", hint)
        keys[hashlib.sha256(b"sizewise vault key\0" + key).digest()[:ID_BYTES]] = key
    return keys


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("ascii", "replace")
    except OSError as error:
        hint = "restore the file from your backup of the key: without it, stored data cannot be decrypted"
        raise EncryptionKeyUnavailable(
            f"the encryption key {str(path)!r} cannot be read: {error.strerror}",
            hint,
        ) from error


def _check_permissions(path: Path) -> None:
    """Raises ConfigError if users other than its owner can read the key."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # reading it reports the error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"other users can read {str(path)!r}", f"chmod 600 {path}")


def _create_key_file(path: Path) -> str:
    """The text of the new key; or of another process's, which created it at the same time."""
    text = base64.b64encode(generate_key()).decode()
    try:
        create_file_atomically(path, f"{text}\n".encode("ascii"), 0o600)  # on disk before it encrypts anything
    except FileExistsError:
        return _read(path)
    except OSError as error:
        hint = "make the home folder writable and free space on its disk, or set `key` in [encryption] of sizewise.toml"
        raise EncryptionKeyUnavailable(f"cannot write {str(path)!r}: {error.strerror}", hint) from error
    return text
