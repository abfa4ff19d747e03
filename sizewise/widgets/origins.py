"""Origins of pages that may hold a widget: exact ones and subdomains, as a Content-Security-Policy has them; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sizewise.errors import BadRequest

ORIGIN = re.compile(r"(https|http)://(\*\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?")
LOOPBACK = re.compile(r"http://(localhost|127\.0\.0\.1)(:[0-9]{1,5})?")
MAX_ORIGINS = 50


def parse_origins(given: Iterable[str]) -> tuple[str, ...]:
    """Raises BadRequest for what is no origin, and for http except on this machine."""
    found = tuple(dict.fromkeys(each.strip().lower().rstrip("/") for each in given))
    if len(found) > MAX_ORIGINS:
        raise BadRequest(f"a widget has at most {MAX_ORIGINS} origins", "use https://*.example.com", param="origins")
    for each in found:
        if ORIGIN.fullmatch(each) is None:
            hint = "such as https://www.example.com or https://*.example.com, without a path"
            raise BadRequest(f"{each[:100]!r} is not an origin", hint, param="origins")
        if each.startswith("http://") and LOOPBACK.fullmatch(each) is None:
            raise BadRequest(f"{each[:100]!r} is not encrypted", "use https", param="origins")
    return found


def frame_ancestors(origins: Iterable[str]) -> str:
    """The value of the directive: an empty list means nowhere."""
    return " ".join(origins) or "'none'"
