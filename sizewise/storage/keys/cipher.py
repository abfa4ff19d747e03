"""AES-256-GCM with a random nonce prefix; the only importer of the cryptography library's ciphers."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12  # random: one key may encrypt 2^32 times (NIST SP 800-38D, 8.3); `DataKeyStore` counts the uses


class DecryptionFailed(Exception):
    """The ciphertext is damaged, bound to other data, or from another key."""


class Cipher:
    """One key. Thread-safe."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 20 ms, and many processes never need it

        self._gcm: AESGCM = AESGCM(key)

    def encrypt(self, plain: bytes, *associated_data: str) -> bytes:
        """`associated_data`: what the ciphertext is bound to; needed again to decrypt."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._gcm.encrypt(nonce, plain, msgspec.msgpack.encode(associated_data))

    def decrypt(self, ciphertext: bytes, *associated_data: str) -> bytes:
        """Raises DecryptionFailed."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._gcm.decrypt(
                ciphertext[:NONCE_BYTES],
                ciphertext[NONCE_BYTES:],
                msgspec.msgpack.encode(associated_data),
            )
        except (InvalidTag, ValueError) as error:
            raise DecryptionFailed from error


def generate_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)
