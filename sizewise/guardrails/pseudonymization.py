"""Pseudonymization: replaces findings with placeholders such as <EMAIL_1> and restores them, per request.

The same value gets the same placeholder throughout a request, numbered by first appearance, so that a longer
conversation begins with the same bytes (prompt caching). Placeholders that the request already contains are not used. A
request without findings is unchanged byte for byte.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from sizewise.errors import BadBody
from sizewise.guardrails.base import Finding, Guard, merge_overlaps
from sizewise.guardrails.json_text import decode_json, json_texts, map_texts
from sizewise.handler import GuardrailScan
from sizewise.messages import ChatRequest, EmbeddingRequest, JsonFields, Message

PLACEHOLDER_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,40}_[0-9]{1,7}")
PLACEHOLDER = re.compile(r"(?:<|\\u003[cC])([A-Z][A-Z0-9_]{0,40}_[0-9]{1,7})(?:>|\\u003[eE])")
"""A placeholder, plain or JSON-escaped."""
MAX_REPEATED_VALUES = 64
"""Values that are masked everywhere in a request once a guard has found them in one place, such as after a keyword."""
MIN_VALUE_CHARS = 6

NON_TEXT_FIELDS = frozenset(
    {"model", "stream", "n", "max_tokens", "max_completion_tokens", "seed", "temperature", "top_p"},
)
"""Fields of a body that hold no text."""
NAME_FIELDS = frozenset({"name"})
"""Fields in which wires reject angle brackets."""
ORIGINAL_FIELD = "sizewise_origin"
"""The field with the client's original body. Scanned last, because it repeats the texts of the others."""

_encode = msgspec.json.Encoder().encode
_strings = msgspec.json.Decoder(list[str])


class Unmasker:
    """Restores values: `values` maps placeholder to value. `counts`: masked findings by (guard, kind)."""

    def __init__(self, values: Mapping[str, str], counts: Counter[tuple[str, str]]) -> None:
        self.values = values
        self.counts = counts

    def text(self, text: str) -> str:
        return PLACEHOLDER.sub(self._value, text) if "<" in text or "\\u003" in text else text

    def json(self, text: str) -> str:
        """Like `text`, within a JSON string: values are escaped."""
        return PLACEHOLDER.sub(self._escaped, text) if "<" in text or "\\u003" in text else text

    def name(self, name: str) -> str:
        return self.values.get(name, name)

    def value(self, value: object) -> object:
        """A JSON value with all placeholders restored."""
        return map_texts(value, self._field)

    def raw(self, raw: Raw) -> Raw:
        try:
            before = msgspec.json.decode(raw)
        except (msgspec.DecodeError, RecursionError):  # not JSON that we can encode again
            return raw
        after = self.value(before)
        return raw if after == before else Raw(_encode(after))

    def fields(self, fields: JsonFields) -> JsonFields:
        return {name: self.raw(raw) for name, raw in fields.items()}

    def _field(self, text: str, name: str) -> str:
        if name in NAME_FIELDS:
            return self.name(text)
        return self.json(text) if name in ("arguments", "partial_json") else self.text(text)

    def _value(self, match: re.Match[str]) -> str:
        return self.values.get(match.group(1), match.group())

    def _escaped(self, match: re.Match[str]) -> str:
        value = self.values.get(match.group(1))
        return match.group() if value is None else _encode(value)[1:-1].decode()


class ScanFindings(GuardrailScan, frozen=True):
    """Findings of masking guards by text of the request; texts without findings are left out."""

    findings: Mapping[str, list[Finding]]


class MaskedScan(GuardrailScan, frozen=True):
    """A scan that masked the payload already."""

    masked: ChatRequest | EmbeddingRequest
    unmasker: Unmasker


class ReservedPlaceholders:
    """Placeholder-like names that a request already contains. Parsed only if a new name occurs in it."""

    def __init__(self, values: Iterable[object]) -> None:
        self._said = _encode(list(values)).decode()

    def __contains__(self, name: str) -> bool:
        return name in self._said and name in self._names

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(PLACEHOLDER_NAME.findall(self._said))


class Pseudonymizer:
    """Assigns the placeholders of one request."""

    def __init__(
        self,
        guards: Mapping[str, Guard],
        reserved: ReservedPlaceholders,
        scan_findings: Mapping[str, list[Finding]] | None,
    ) -> None:
        """`scan_findings`: findings of an earlier scan; None if the request has not been scanned."""
        self._guards = guards
        self._reserved = reserved
        self._scan_findings = scan_findings
        self._placeholders: dict[str, str] = {}
        self._numbers: Counter[str] = Counter()
        self._findings: dict[str, list[Finding]] = {}
        self.counts: Counter[tuple[str, str]] = Counter()

    def collect(self, text: str) -> None:
        """Assigns placeholders to the findings in `text`."""
        if text in self._findings:
            return
        if self._scan_findings is None:
            found = [each for guard in self._guards.values() for each in guard(text)]
        else:
            found = self._scan_findings.get(text, [])
        found = self._findings[text] = merge_overlaps(found)
        for each in found:
            self.counts[each.guard, each.kind] += 1
            self._placeholder(each.kind, text[each.start : each.end])

    def mask(self, text: str, name: str = "") -> str:
        """`text` with its findings and values found elsewhere masked. Call `collect` for all texts first."""
        found = [*self._findings.get(text, ()), *self._repeated_values(text)]
        if not found:
            return text
        pieces: list[str] = []
        place = 0
        for each in merge_overlaps(found):
            hidden = self._placeholder(each.kind, text[each.start : each.end])
            pieces += [text[place : each.start], hidden if name in NAME_FIELDS else f"<{hidden}>"]
            place = each.end
        return "".join([*pieces, text[place:]])

    def _repeated_values(self, text: str) -> Iterator[Finding]:
        for value, hidden in islice(self._placeholders.items(), MAX_REPEATED_VALUES):
            if len(value) < MIN_VALUE_CHARS:
                continue
            place = text.find(value)
            while place >= 0:
                yield Finding("", hidden.rpartition("_")[0], place, place + len(value))
                place = text.find(value, place + len(value))

    def _placeholder(self, kind: str, value: str) -> str:
        known = self._placeholders.get(value)
        kind = NON_KIND_CHARS.sub("_", kind.upper())
        while known is None:
            self._numbers[kind] += 1
            known = f"{kind}_{self._numbers[kind]}"
            if known in self._reserved:
                known = None
        self._placeholders[value] = known
        return known

    def unmasker(self) -> Unmasker:
        return Unmasker({name: value for value, name in self._placeholders.items()}, self.counts)


NON_KIND_CHARS = re.compile(r"^[^A-Z]|[^A-Z0-9_]")


def pseudonymize(
    payload: ChatRequest | EmbeddingRequest,
    guards: Mapping[str, Guard],
    scan_findings: Mapping[str, list[Finding]] | None = None,
) -> tuple[ChatRequest | EmbeddingRequest, Unmasker | None]:
    """The request with the findings of `guards` masked, and its unmasker; the same object and None without findings.
    `scan_findings`: findings of an earlier scan of this request.

    Raises BadBody for a request that cannot be decoded.
    """
    order = sorted(
        (name for name in payload.fields if name not in NON_TEXT_FIELDS),
        key=lambda name: name == ORIGINAL_FIELD,
    )
    values = {name: decode_json(payload.fields[name], name) for name in order}
    masks = Pseudonymizer(guards, ReservedPlaceholders(values.values()), scan_findings)
    for name, value in values.items():
        for text in json_texts(value, name):
            masks.collect(text)
    if not masks.counts:
        return payload, None
    fields = {**payload.fields}
    for name, before in values.items():
        try:
            after = map_texts(before, masks.mask, name)
        except RecursionError as error:
            raise BadBody(f"`{name}` is nested too deeply", "flatten it", param=name) from error
        if after != before:
            fields[name] = Raw(_encode(after))
    return with_fields(payload, fields), masks.unmasker()


def with_fields(payload: ChatRequest | EmbeddingRequest, fields: JsonFields) -> ChatRequest | EmbeddingRequest:
    """The request with other fields, and the messages or inputs that they say."""
    if isinstance(payload, ChatRequest):
        return replace(payload, fields=fields, messages=msgspec.json.decode(fields["messages"], type=list[Message]))
    said = fields["input"]
    if bytes(said).lstrip()[:1] == b'"':
        return replace(payload, fields=fields, inputs=[msgspec.json.decode(said, type=str)])
    if payload.inputs and isinstance(payload.inputs[0], str):
        return replace(payload, fields=fields, inputs=_strings.decode(said))
    return replace(payload, fields=fields)
