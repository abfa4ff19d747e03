"""Says whether a reply is right by a check written down as data; knows nothing of models, networks or who answered.

A check is a JSON object; all its conditions must hold:

    is       the whole reply is one of these texts          (compared as `plain` text)
    says     the reply contains one of these as whole words (compared as `plain` text)
    not      it contains none of these                      (compared as `plain` text)
    number   the last number in the reply is this one, give or take `within` (default 0)
    matches  this regular expression is found in the reply, case ignored, `.` matches line ends
    json     the reply is exactly this JSON object, a code fence around it allowed
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping

Check = Mapping[str, object]

FENCE = re.compile(r"\A```\w*\n(.*?)\n?```\Z", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?")


def right(check: Check, reply: str) -> bool:
    """True when every condition holds. ValueError: an unknown or empty check."""
    conditions = [name for name in check if name != "within"]
    if not conditions:
        raise ValueError(f"{dict(check)!r} checks nothing")
    return all(_holds(name, check, reply) for name in conditions)


def plain(text: str) -> str:
    """Lower case, accents and apostrophes dropped, every other mark a space: "Água, don't" -> 'agua dont'."""
    letters = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(re.sub(r"[\W_]+", " ", re.sub("['\u2019]", "", letters.casefold())).split())


def _holds(name: str, check: Check, reply: str) -> bool:
    wanted = check[name]
    match name:
        case "is":
            return plain(reply) in [plain(text) for text in _texts(wanted)]
        case "says":
            return any(_contains(reply, text) for text in _texts(wanted))
        case "not":
            return not any(_contains(reply, text) for text in _texts(wanted))
        case "number":
            return _near(reply, _float(wanted), _float(check.get("within", 0)))
        case "matches":
            return re.search(str(wanted), _unfenced(reply), re.IGNORECASE | re.DOTALL) is not None
        case "json":
            return _same_json(_unfenced(reply), wanted)
    raise ValueError(f"{name!r} is not a condition of a check")


def _texts(wanted: object) -> list[str]:
    if not isinstance(wanted, list) or not wanted:
        raise ValueError(f"{wanted!r} is not a list of texts")
    return [str(text) for text in wanted]


def _float(wanted: object) -> float:
    if not isinstance(wanted, int | float):
        raise ValueError(f"{wanted!r} is not a number")
    return float(wanted)


def _contains(reply: str, text: str) -> bool:
    return f" {plain(text)} " in f" {plain(reply)} "


def _near(reply: str, wanted: float, within: float) -> bool:
    """The last number, because replies that reason or repeat the question end with their answer."""
    numbers = NUMBER.findall(reply)
    return bool(numbers) and abs(float(numbers[-1].replace(",", "")) - wanted) <= within + 1e-9


def _same_json(reply: str, wanted: object) -> bool:
    try:
        said: object = json.loads(reply)
    except ValueError:
        return False
    return said == wanted


def _unfenced(reply: str) -> str:
    fenced = FENCE.match(reply.strip())
    return (fenced.group(1) if fenced else reply).strip()
