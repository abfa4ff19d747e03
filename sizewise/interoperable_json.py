"""Interoperable JSON (I-JSON, RFC 7493): refuses bodies that two JSON readers may read differently; knows no API.

A repeated key counts first for one reader and last for another, so that guardrails and a model server would see
different messages. The same holds for integers beyond 64 bits (a float for some) and for `__proto__` (the prototype
for some JavaScript). Invalid UTF-8, lone surrogates, NaN, 1e400 and a byte order mark are refused by msgspec, if it
decodes the value: within a `Raw` it looks at no number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import msgspec

from sizewise.errors import BadBody

MIN_INTEGER, MAX_INTEGER = -(2**63), 2**64 - 1
MAX_KEY_CHARS = 64
"""Longer keys, and those that are no identifiers, are shown as `[...]`: a key may contain a secret."""
HINT = "write each key once: JSON readers disagree on which one counts"

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def check_json(body: bytes) -> object:
    """The value of `body`. Raises BadBody, or what msgspec raises for invalid JSON.

    A repeated key is found by counting: `body` then has more strings than its value.
    """
    value: object = _decode(body)
    if count_strings(value) != count_strings_in(body):
        path = _repeated_key(body)
        where = f"the key `{path}`" if path else "a key"
        raise BadBody(f"{where} is written twice", HINT, param=path or None)
    return value


def count_strings_in(body: bytes) -> int:
    """Strings in valid JSON, keys included: half of the quotation marks that no backslash escapes."""
    if b"\\" not in body:
        return body.count(b'"') // 2
    unescaped = body.replace(b"\\\\", b"")  # escaped backslashes, from the left as a parser reads them
    return (unescaped.count(b'"') - unescaped.count(b'\\"')) // 2


def count_strings(value: object) -> int:
    """Strings in a decoded value, keys included. Raises BadBody for an integer or a key that readers disagree on."""
    strings = 0
    waiting: list[list[object] | dict[str, object]] = [[value]]
    for container in waiting:
        values: Iterable[object] = container
        if type(container) is dict:
            strings += len(container)
            values = container.values()
            if "__proto__" in container:
                raise BadBody("the key `__proto__` is not allowed", "rename it: some readers treat it as the prototype")
        for each in values:
            kind = type(each)
            if kind is str:
                strings += 1
            elif kind is dict or kind is list:
                waiting.append(each)  # type: ignore[arg-type]  # `isinstance` would cost twice as much
            elif kind is int and not MIN_INTEGER <= each <= MAX_INTEGER:  # type: ignore[operator]  # the same
                raise BadBody("an integer does not fit in 64 bits", "send it as a string, or as a float")
    return strings


def check_case(value: object, names: frozenset[str], containers: Mapping[str, tuple[type, ...]]) -> None:
    """Raises BadBody for a key that equals one of `names` only if case is ignored, as some readers (Go's) do.

    Looks into values of `containers` only, if of such a type: elsewhere keys are the client's own. `names` are lower
    case.
    """
    waiting: list[object] = [value]
    for each in waiting:
        if isinstance(each, list):
            waiting.extend(each)
        elif isinstance(each, dict):
            for key, inner in each.items():
                if isinstance(inner, containers.get(key, ())):
                    waiting.append(inner)
                elif key not in names and key.casefold() in names:
                    raise BadBody(
                        f"the key `{key}` differs from `{key.casefold()}` only in case",
                        f"write `{key.casefold()}`: some JSON readers ignore case",
                        param=key,
                    )


class RepeatedKeys:
    """An object with a repeated key: all keys and values, in document order."""

    __slots__ = ("items",)  # no dataclass, which msgspec would encode

    def __init__(self, items: list[tuple[str, object]]) -> None:
        self.items = items

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RepeatedKeys) and self.items == other.items

    __hash__ = None  # type: ignore[assignment]  # mutable, as a dict


def decode_with_repeats(text: str) -> object:
    """JSON inside a text, where a repeated key is no error: such an object becomes RepeatedKeys.

    Raises what msgspec raises, or RecursionError.
    """
    value: object = _decode(text)
    try:
        complete = count_strings(value) == count_strings_in(text.encode())
    except BadBody:  # not ours to refuse: it is a text
        complete = False
    return value if complete else json.loads(text, object_pairs_hook=_keep_repeats)


def _keep_repeats(items: list[tuple[str, object]]) -> object:
    unique = dict(items)
    return unique if len(unique) == len(items) else RepeatedKeys(items)


def encode_with_repeats(value: object) -> bytes:
    """The inverse of `decode_with_repeats`. Raises RecursionError."""
    try:
        return _encode(value)
    except TypeError:  # there are RepeatedKeys in it
        pieces: list[bytes] = []
        _write(value, pieces)
        return b"".join(pieces)


def _write(value: object, pieces: list[bytes]) -> None:
    if isinstance(value, dict | RepeatedKeys):
        opening = b"{"
        for key, each in value.items() if isinstance(value, dict) else value.items:
            pieces.append(opening + _encode(key) + b":")
            _write(each, pieces)
            opening = b","
        pieces.append(b"}" if opening == b"," else b"{}")
    elif isinstance(value, list):
        opening = b"["
        for each in value:
            pieces.append(opening)
            _write(each, pieces)
            opening = b","
        pieces.append(b"]" if opening == b"," else b"[]")
    else:
        pieces.append(_encode(value))


def _repeated_key(body: bytes) -> str:
    """The path of the outermost repeated key; empty if it cannot be told."""
    try:
        value = json.loads(body, object_pairs_hook=_keep_repeats)
    except RecursionError:  # its limit is lower than msgspec's
        return ""
    waiting: list[tuple[object, str]] = [(value, "")]
    for each, at in waiting:
        if isinstance(each, RepeatedKeys):
            seen: set[str] = set()
            for key, _ in each.items:
                if key in seen:
                    return _join(at, key)
                seen.add(key)
        elif isinstance(each, dict):
            waiting.extend((inner, _join(at, key)) for key, inner in each.items())
        elif isinstance(each, list):
            waiting.extend((inner, f"{at}[{number}]") for number, inner in enumerate(each))
    return ""


def _join(path: str, key: str) -> str:
    if not key.isidentifier() or len(key) > MAX_KEY_CHARS:
        return path + "[...]"
    return f"{path}.{key}" if path else key
