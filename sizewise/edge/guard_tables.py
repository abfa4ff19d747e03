"""Tables of the pattern guards for a Worker: the gateway's own patterns, written for JavaScript's regular expressions.

Both read the same tables, so that what is masked here is masked there. Checksums are called by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from sizewise.guardrails import id_checksums, pii, secrets

Json = dict[str, Any]
WORD = r"\p{L}\p{N}_"
BOUNDARY = rf"(?:(?<=[{WORD}])(?![{WORD}])|(?<![{WORD}])(?=[{WORD}]))"
OUTSIDE: Mapping[str, str] = {"w": f"[{WORD}]", "W": f"[^{WORD}]", "d": r"\p{Nd}", "b": BOUNDARY}
"""Python's classes know all of Unicode, JavaScript's only ASCII."""
INSIDE: Mapping[str, str] = {"w": WORD, "d": r"\p{Nd}"}
LETTERS_ONLY = r"[^\W\d_]"
KEPT = frozenset("^$\\.*+?()[]{}|/nrtsSDux0123456789k")
"""What may stand behind a backslash in JavaScript's Unicode mode, beside what is replaced."""


def javascript_pattern(pattern: re.Pattern[str]) -> Json:
    """The pattern for `new RegExp(source, flags)`; `group`: the one that holds the finding."""
    flags = "ui" if pattern.flags & re.IGNORECASE else "u"
    return {"source": _javascript(pattern.pattern), "flags": flags, "group": min(pattern.groups, 1), "kind": ""}


def _javascript(source: str) -> str:
    written: list[str] = []
    in_class, at = False, 0
    while at < len(source):
        if not in_class and source.startswith(LETTERS_ONLY, at):
            written.append(r"[\p{L}\p{Nl}\p{No}]")
            at += len(LETTERS_ONLY)
            continue
        c = source[at]
        if c == "\\":
            written.append(_escape(source[at + 1], in_class))
            at += 2
            continue
        if c == "[" and not in_class:
            in_class = True
            if source.startswith("[^", at):
                written.append("[")
                c, at = "^", at + 1
        elif c == "[":
            c = r"\["
        elif c == "]":
            in_class = False
        written.append(c)
        at += 1
    return "".join(written)


def _escape(c: str, in_class: bool) -> str:
    known = INSIDE if in_class else OUTSIDE
    if c in known:
        return known[c]
    if c == "-" and in_class:
        return r"\-"
    return f"\\{c}" if c in KEPT else c


def pii_tables() -> Json:
    return {
        "candidate": javascript_pattern(pii.CANDIDATE),
        "iban": javascript_pattern(pii.IBAN_START),
        "domain": {**javascript_pattern(pii.DOMAIN), "group": 0},
        "ibanLengths": dict(id_checksums.IBAN),
        "patterns": [
            {
                **javascript_pattern(form.pattern),
                "kind": form.kind,
                "check": _check_name(form),
                "shapes": list(form.shapes),
                "keywords": list(form.keywords),
                "marker": form.marker,
                "markerCount": form.marker_count,
            }
            for form in pii.PII_PATTERNS
        ],
    }


def _check_name(form: pii.PiiPattern) -> str:
    """The check as a Worker knows it: a function of id_checksums, or one of the few that pii.py has itself."""
    check = form.is_valid
    if isinstance(check, partial):
        return f"digits:{check.args[0]}-{check.args[1]}"
    own: dict[object, str] = {pii.always: "", pii.is_phone: "phone", pii.is_ip4: "ip4", pii.is_ip6: "ip6"}
    return own[check] if check in own else str(check.__name__)


def secret_tables() -> Json:
    behind = list(dict.fromkeys(pattern for _, pattern, _ in secrets.KEYWORD))
    return {
        "patterns": [
            {
                **javascript_pattern(form.pattern),
                "kind": form.kind,
                "markers": list(form.markers),
                "longWord": form.is_long_word,
            }
            for form in secrets.SECRET_PATTERNS
        ],
        "pem": javascript_pattern(secrets.PEM),
        "example": javascript_pattern(secrets.EXAMPLE),
        "behind": [javascript_pattern(each) for each in behind],
        "keywords": [[word, behind.index(pattern), kind] for word, pattern, kind in secrets.KEYWORD],
    }
