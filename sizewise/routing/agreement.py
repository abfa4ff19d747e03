"""Whether two short answers say the same, after what does not matter is taken off; pure, knows no model and no meaning.

For prose it knows nothing: two good paragraphs are rarely equal.
"""

from __future__ import annotations

import re
from ast import literal_eval

import msgspec

_BLANK = re.compile(r"\s+")
_AROUND = " \t\n.,;:!\"'`*$"
_NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?%?\Z")
LONGEST = 2_000
"""Characters of an answer that is looked at; longer ones agree only where they are equal."""


def same(one: str | None, other: str | None) -> bool | None:
    """None where one of them says nothing at all: that is no agreement and no difference of opinion."""
    if not one or not other or not one.strip() or not other.strip():
        return None
    return one == other or (len(one) <= LONGEST and len(other) <= LONGEST and normal(one) == normal(other))


def normal(answer: str) -> object:
    """A number as a number, JSON and Python's literals as their value, words without case and blanks."""
    bare = answer.strip(_AROUND)
    if _NUMBER.match(bare):
        return float(bare.rstrip("%").replace(",", ""))
    for read in (msgspec.json.decode, literal_eval) if bare[:1] in ("[", "(", "{", "t", "f", "T", "F") else ():
        try:
            value = read(bare)
        except (msgspec.DecodeError, ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
        if isinstance(value, (list, tuple, dict, set, bool)):
            return _plain(value)
    return _BLANK.sub("", bare).casefold()


def _plain(value: object) -> object:
    """Lists and tuples alike; a number like its text."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, set):
        return sorted(map(repr, value))
    return float(value) if isinstance(value, (int, float)) else value
