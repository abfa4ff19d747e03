"""JSON value generated for a JSON schema from the words of a prompt, for the echo model; validates nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

MAX_DEPTH = 12  # levels; a recursive schema would never end
LETTERS_AND_DIGITS = ("A", "a", "1", "A1")
MAX_CANDIDATES = 20  # words that are held against a pattern
MAX_CANDIDATE_CHARS = 16  # of each: an expression may take exponential time
MAX_VALUES = 10_000  # values, references followed, and characters per text: a small schema can describe a huge value

SAMPLES: Mapping[str, str] = {
    "date": "2026-11-25",
    "time": "12:00:00Z",
    "date-time": "2026-11-25T12:00:00Z",
    "duration": "PT1H",
    "email": "echo@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}

_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?")
_QUOTED = re.compile(r"(?<!\w)(['\"‘“«])(.{1,200}?)['\"’”»](?!\w)")  # bounded, to stay linear
Schema = Mapping[str, object]


def fill_schema(schema: object, words: str) -> object:
    """Deterministic: the same schema and words give the same value.

    Numbers and quoted phrases are used in their order in `words`. A text without a phrase left gets all the words, an
    enum the member that `words` names, a known format its sample, a pattern a word or sample that it allows, if there
    is one. Optional properties are omitted. `uniqueItems` and the like are ignored.
    """
    return _SchemaFiller(schema if isinstance(schema, dict) else {}, words).value(schema, 0)


def quoted_phrases(words: str) -> list[str]:
    """The phrases in quotation marks."""
    return [match[2] for match in _QUOTED.finditer(words)]


class _SchemaFiller:
    """One filling. Each number and phrase is used once."""

    def __init__(self, root: Schema, words: str) -> None:
        self._root = root
        self._words = words
        self._numbers: Iterator[str] = iter(_NUMBER.findall(words))
        self._phrases = iter(quoted_phrases(words))
        self._left = MAX_VALUES

    def value(self, schema: object, depth: int) -> object:
        found = self._resolved(schema)
        if depth > MAX_DEPTH or self._left <= 0:
            return None
        if "const" in found:
            return found["const"]
        if options := _list(found.get("enum")):
            return next((each for each in options if str(each).casefold() in self._words.casefold()), options[0])
        match _kind(found):
            case "object":
                return self._object(found, depth)
            case "array":
                least = found.get("minItems")
                length = least if isinstance(least, int) else 1
                return [self.value(found.get("items"), depth + 1) for _ in range(min(length, self._left))]
            case "integer":
                return int(self._number(found))
            case "number":
                return self._number(found)
            case "boolean":
                return re.search(r"\b(no|not|false)\b", self._words, re.IGNORECASE) is None
            case "null":
                return None
            case _:
                return self._text(found)

    def _object(self, schema: Schema, depth: int) -> dict[str, object]:
        fields = schema.get("properties")
        named: Mapping[str, object] = fields if isinstance(fields, dict) else {}
        wanted = _list(schema.get("required")) if "required" in schema else list(named)
        return {str(name): self.value(named.get(str(name)), depth + 1) for name in wanted}

    def _text(self, schema: Schema) -> str:
        if (sample := SAMPLES.get(str(schema.get("format")))) is not None:
            return sample
        least, most = schema.get("minLength"), schema.get("maxLength")
        text = next(self._phrases, self._words)[: most if isinstance(most, int) else None]
        if isinstance(pattern := schema.get("pattern"), str):
            text = _matching(pattern, text)
        return text.ljust(min(least if isinstance(least, int) else 0, MAX_VALUES), ".")

    def _number(self, schema: Schema) -> float:
        said = float(next(self._numbers, "0"))
        least, most = schema.get("minimum"), schema.get("maximum")
        low = least if isinstance(least, (int, float)) else said
        high = most if isinstance(most, (int, float)) else said
        return min(max(said, low), max(high, low))

    def _resolved(self, schema: object, depth: int = 0) -> Schema:
        """The schema without references and alternatives: the first that is not null. A cyclic reference gives {}."""
        for _ in range(MAX_DEPTH):
            self._left -= 1
            if not isinstance(schema, dict) or depth > MAX_DEPTH or self._left <= 0:
                return {}
            if isinstance(reference := schema.get("$ref"), str):
                schema = self._at(reference)
            elif choices := _list(schema.get("anyOf")) or _list(schema.get("oneOf")):
                schema = next((each for each in choices if each != {"type": "null"}), choices[0])
            elif parts := _list(schema.get("allOf")):
                schema = {name: value for part in parts for name, value in self._resolved(part, depth + 1).items()}
            else:
                return schema
        return {}

    def _at(self, reference: str) -> object:
        """The part of the root schema that a reference such as "#/$defs/City" points to."""
        place: object = self._root
        for step in reference.removeprefix("#").split("/"):
            place = place.get(step) if step and isinstance(place, dict) else place
        return place


def _matching(pattern: str, text: str) -> str:
    """`text`, or what of it or of a few samples the pattern allows; `text` if none is."""
    words = text.split()[:MAX_CANDIDATES]
    candidates = (text, text.upper(), text.lower(), *words, *LETTERS_AND_DIGITS, *SAMPLES.values())
    try:
        allowed = re.compile(pattern)
    except re.error:  # JavaScript's expressions are not all Python's
        return text
    short = (each for each in candidates if 0 < len(each) <= MAX_CANDIDATE_CHARS)
    return next(filter(allowed.search, short), text)


def _kind(schema: Schema) -> object:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    return kind or ("object" if "properties" in schema else "string")


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
