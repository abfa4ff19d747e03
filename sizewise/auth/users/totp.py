"""Time-based one-time passwords (RFC 6238, on RFC 4226's HOTP): secret and time -> code; pure, stores nothing.

Six digits of HMAC-SHA-1 in steps of 30 s: what every authenticator app supports. SHA-1 is safe in an HMAC.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b32encode
from hashlib import sha1
from urllib.parse import quote, urlencode

STEP_S = 30
DIGITS = 6
SECRET_BYTES = 20
"""RFC 4226 section 4: 160 bits."""
DRIFT_STEPS = 1
"""Steps that a clock may be off, in either direction (RFC 6238 section 5.2)."""


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def totp_code(secret: bytes, step: int) -> str:
    """The code of a time step: unix seconds divided by STEP_S."""
    mac = hmac.new(secret, step.to_bytes(8, "big"), sha1).digest()
    start = mac[-1] & 15
    return f"{(int.from_bytes(mac[start : start + 4], 'big') & 0x7FFFFFFF) % 10**DIGITS:0{DIGITS}}"


def matching_step(secret: bytes, code: str, now: float, after: int) -> int | None:
    """The step later than `after` whose code this is, within DRIFT_STEPS of `now` (unix seconds); None if there is
    none. With the step of the last code as `after`, no code is accepted twice.
    """
    current = int(now) // STEP_S
    around = range(max(current - DRIFT_STEPS, after + 1), current + DRIFT_STEPS + 1)
    said = "".join(code.split()).encode("utf-8", "surrogatepass")
    found = [step for step in around if hmac.compare_digest(totp_code(secret, step).encode(), said)]
    return found[-1] if found else None


def as_base32(secret: bytes) -> str:
    """For people whose app reads no QR code."""
    return b32encode(secret).decode()


def provisioning_uri(secret: bytes, account: str, issuer: str) -> str:
    """The `otpauth:` URI that an app reads from a QR code."""
    label = quote(f"{issuer}:{account}", safe="@")
    return f"otpauth://totp/{label}?{urlencode({'secret': as_base32(secret), 'issuer': issuer})}"
