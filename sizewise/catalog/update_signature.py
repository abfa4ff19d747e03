"""Ed25519 signatures of catalog updates: whether a key has signed these bytes; knows nothing of what they say."""

from __future__ import annotations

import base64
import binascii

from sizewise.ed25519 import SIGNATURE_BYTES, has_signed
from sizewise.errors import BadRequest
from sizewise.settings.validators import ed25519_key

MAX_SIGNATURE_BYTES = 4096
"""Of the file with the signature, raw or in Base64."""
KEY_HINT = 'Set the public key of who signs your lists: [catalog] update_key = "MCowBQYDK2VwAyEA…" in sizewise.toml.'


def verify_signature(signed: bytes, signature: bytes, key: str) -> bytes:
    """The 64 bytes of `signature`, which may be in Base64. BadRequest if `key` is empty or has not signed `signed`."""
    if not key:
        raise BadRequest("no key is trusted to sign catalog updates", KEY_HINT)
    raw = _decoded(signature)
    if not has_signed(ed25519_key(key), signed, raw):
        raise BadRequest(
            "the list is not signed by the key in [catalog] update_key",
            "Check where list and signature come from; nothing was changed.",
        )
    return raw


def _decoded(signature: bytes) -> bytes:
    if len(signature) == SIGNATURE_BYTES:
        return signature
    try:
        found = base64.b64decode(b"".join(signature.split()), validate=True)
    except binascii.Error:
        found = b""
    if len(found) != SIGNATURE_BYTES:
        raise BadRequest(
            "the signature is not one of Ed25519: 64 bytes, or the same in Base64",
            "Sign the list: openssl pkeyutl -sign -rawin -inkey KEY.pem -in LIST -out LIST.sig",
        )
    return found
