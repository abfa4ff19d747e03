"""Field validators for string settings: each returns the text or raises ValueError with the reason."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from sizewise.data_class import DATA_CLASSES
from sizewise.money import parse_micro_dollars, parse_pico_dollars
from sizewise.principal import APPROVER_PATTERN
from sizewise.settings.secret_commands import SecretCommand

ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?")
DEFAULT_PORTS: Mapping[str, str] = {"http": "80", "https": "443"}
ED25519_PREFIX = b"0*0\x05\x06\x03+ep\x03!\x00"
"""What precedes the key in its DER form (RFC 8410)."""
PARTIAL_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?\Z")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*\Z", re.IGNORECASE)


Modality = Literal["image", "audio", "file"]


Online = Literal["allow", "deny"]


InjectionSource = Literal["tools", "people", "embedded"]


def language_code(text: str) -> str:
    if not re.fullmatch(r"[a-z]{2,3}", text):
        raise ValueError("a language is an ISO 639 code of two or three small letters, as 'en'")
    return text


def partial_date(text: str) -> str:
    if not PARTIAL_DATE.match(text):
        raise ValueError(f"{text!r} is not a date such as 2026, 2026-01 or 2026-01-31")
    return text


def reference(text: str) -> str:
    """`text` if it is an env:, file: or exec: reference; the ValueError never repeats it, since it may be the key."""
    kind, _, rest = text.partition(":")
    if kind not in ("env", "file", "exec") or not rest.strip():
        raise ValueError(
            'a key is given by reference, as "env:MY_API_KEY", "file:/path/of/key" or "exec:command", never written'
        )
    if kind == "exec":
        try:
            return SecretCommand.of(text, Path())
        except ValueError:
            raise ValueError("the command of exec: has a quote that is not closed") from None
    return text


def kms_reference(text: str) -> str:
    if text and not re.match(r"[a-z][a-z0-9_-]*:.", text):
        raise ValueError("a key service is named as 'command:/path/of/program'")
    return text


def is_reference(text: str) -> bool:
    return text.startswith(("env:", "file:", "exec:"))


def name(text: str) -> str:
    if not NAME.match(text):
        raise ValueError("a name consists of letters, digits, '.', '_' and '-'")
    return text


def approver(text: str) -> str:
    if not re.match(APPROVER_PATTERN, text):
        raise ValueError("an approver is named as 'user:EMAIL', 'role:NAME' or 'key:ID'")
    return text


def model_name(text: str) -> str:
    provider, _, model = text.partition("/")
    if not NAME.match(provider) or not model.strip():
        raise ValueError(f"{text!r} does not have the form <provider>/<model>")
    return text


def data_class(text: str) -> str:
    if text not in DATA_CLASSES:
        raise ValueError(f"there is no data class {text!r}; known: {', '.join(DATA_CLASSES)}")
    return text


def optional_model(text: str) -> str:
    return model_name(text) if text else ""


def web_origin(text: str) -> str:
    """`*`, or an origin as browsers send it: scheme, host and port, in lower case, without the default port."""
    found = ORIGIN.fullmatch(text)
    if text == "*" or (found and found["port"] != DEFAULT_PORTS.get(found["scheme"], "")):
        return text
    raise ValueError(f"{text!r} is no origin; write 'https://app.example.com', or 'http://localhost:3000'")


def url(text: str) -> str:
    """An http(s) URL with a host and without password, query and fragment; a trailing slash is removed."""
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port or IPv6 host
        fits = False
    if not fits or re.search(r"[\s\x00-\x1f]", text):
        raise ValueError("is not a URL like 'https://host/v1'")
    if parts.username or parts.password:
        raise ValueError('must not contain a password; give it as key = "env:NAME"')
    if parts.query or parts.fragment:
        raise ValueError("must not contain a query or a fragment")
    return text.rstrip("/")


def header(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a header's value is one printable line")
    return text


def auth(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", text):
        raise ValueError(f"{text!r} is neither 'bearer' nor the name of a header")
    return text


def url_segment(text: str) -> str:
    """A value that is inserted into a URL must not change the rest of the URL."""
    if not NAME.match(text):
        raise ValueError(f"{text!r} is not allowed in a URL here; use letters, digits, '.', '_' and '-'")
    return text


def price_amount(text: str) -> str:
    parse_micro_dollars(text)
    return text


def unit_price_amount(text: str) -> str:
    parse_pico_dollars(text)
    return text


def dollar_amount(text: str) -> str:
    try:
        return price_amount(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an amount in dollars with at most six decimals") from None


def network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a network; write it as 10.0.0.0/8 or 2001:db8::/32") from None
    return text


def local_path(text: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", text) or text.startswith("//"):
        raise ValueError(f"{text!r} is not a path of this server, such as /")
    return text


def ed25519_key(text: str) -> bytes:
    """The 32 bytes of a public key in Base64: raw, or as OpenSSL writes it between the lines of a PEM file."""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    raw = found[len(ED25519_PREFIX) :] if found.startswith(ED25519_PREFIX) else found
    if len(raw) != 32:
        raise ValueError(
            "is not an Ed25519 public key in Base64, as in the middle line of: openssl pkey -in KEY.pem -pubout"
        )
    return raw


def optional_ed25519_key(text: str) -> str:
    if text:
        ed25519_key(text)
    return text
