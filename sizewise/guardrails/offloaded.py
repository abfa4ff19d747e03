"""Guardrails in a worker process: factories of functions that scan, mask and mark long requests; see long_requests.py.

Each does what the same guardrail does at once on the event loop for a short request.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from sizewise.guardrails.base import Finding, Guard, GuardConfig, OriginAwareGuard, TextOrigin
from sizewise.guardrails.data_leakage import DataLeakageGuard
from sizewise.guardrails.middleware import GuardrailRules, find_in_request, request_texts, split_prefiltered
from sizewise.guardrails.payload_parts import Payload, changed_fields, from_parts, raw_parts
from sizewise.guardrails.pseudonymization import pseudonymize
from sizewise.guardrails.spotlighting import apply_spotlighting
from sizewise.guardrails.untrusted_content import ContentMarkers
from sizewise.handler import Spotlighting
from sizewise.offload.frames import Bytes
from sizewise.offload.job import Work
from sizewise.plugins import PluginRegistry


class ScanSetup(Struct, frozen=True):
    """The guards of a policy, by name, and what they need; see GuardrailRules."""

    config: GuardConfig
    active: tuple[str, ...]
    origin_aware: tuple[str, ...] = ()
    masking: frozenset[str] = frozenset()
    suspect_origins: frozenset[TextOrigin] = frozenset()


class Masked(Struct, frozen=True):
    """What was masked: placeholder -> value, findings as (guard, kind, number), and the names of the changed fields,
    whose values follow.
    """

    values: dict[str, str]
    counts: list[tuple[str, str, int]]
    names: list[str]


class ScanResult(Struct, frozen=True):
    """Findings as (guard, kind, number). `masked` is None if no masking guard found anything."""

    counts: list[tuple[str, str, int]]
    masked: Masked | None = None


class LeakSetup(Struct, frozen=True):
    canaries: tuple[str, ...]


class LeakJob(Struct, frozen=True):
    """One reply: its texts, and of its request the system prompt and the canary."""

    system: str
    own_canary: str
    texts: list[str]


def request_scanner(setup: bytes) -> Work:
    """A request's parts -> ScanResult, then the masked fields. Raises BadBody."""
    rules = _rules(setup)

    def scan(*parts: bytes) -> list[Bytes]:
        payload = from_parts(parts)
        counts, seen = find_in_request(payload, rules)
        found = [(*of, count) for of, count in counts.items()]
        if rules.masking_guards.isdisjoint(name for name, _ in counts):
            return [msgspec.msgpack.encode(ScanResult(found))]
        after, unmasker = pseudonymize(payload, {}, seen)
        if unmasker is None:
            return [msgspec.msgpack.encode(ScanResult(found))]
        changed = changed_fields(payload.fields, after.fields)
        hidden = Masked(dict(unmasker.values), [(*of, n) for of, n in unmasker.counts.items()], list(changed))
        return [msgspec.msgpack.encode(ScanResult(found, hidden)), *raw_parts(changed)]

    return scan


def request_masker(setup: bytes) -> Work:
    """A request's parts -> Masked, then the masked fields; nothing if there is nothing to mask. Raises BadBody."""
    rules = _rules(setup)

    def mask(*parts: bytes) -> list[Bytes]:
        payload = from_parts(parts)
        after, unmasker = pseudonymize(payload, dict(rules.active))
        if unmasker is None:
            return []
        changed = changed_fields(payload.fields, after.fields)
        hidden = Masked(dict(unmasker.values), [(*of, n) for of, n in unmasker.counts.items()], list(changed))
        return [msgspec.msgpack.encode(hidden), *raw_parts(changed)]

    return mask


def request_marker(setup: bytes) -> Work:
    """Spotlighting and a request's parts -> the markers and the names of the changed fields, then these."""

    def mark(job: bytes, *parts: bytes) -> list[Bytes]:
        payload = from_parts(parts)
        after, markers = apply_spotlighting(payload, msgspec.msgpack.decode(job, type=Spotlighting))
        changed = changed_fields(payload.fields, after.fields)
        return [msgspec.msgpack.encode(Marked(markers, list(changed))), *raw_parts(changed)]

    return mark


class Marked(Struct, frozen=True):
    markers: ContentMarkers | None
    names: list[str]


def leak_finder(setup: bytes) -> Work:
    """A LeakJob and its request's parts -> the findings of each text."""
    guard = DataLeakageGuard(msgspec.msgpack.decode(setup, type=LeakSetup).canaries)

    def find(job: bytes, *parts: bytes) -> list[Bytes]:
        order = msgspec.msgpack.decode(job, type=LeakJob)
        asked = _RequestTexts(parts)
        scan = guard.for_request(order.system, asked, order.own_canary)
        return [msgspec.msgpack.encode([scan(text) for text in order.texts])]

    return find


class _RequestTexts:
    """The texts of a request, decoded when they are first needed."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = parts
        self._texts: list[str] | None = None

    def __call__(self) -> list[str]:
        if self._texts is None:
            payload: Payload = from_parts(self._parts)
            self._texts = request_texts(payload)
        return self._texts


def decode_findings(data: bytes) -> list[list[Finding]]:
    return msgspec.msgpack.decode(data, type=list[list[Finding]])


def _rules(setup: bytes) -> GuardrailRules:
    order, plugins = msgspec.msgpack.decode(setup, type=ScanSetup), PluginRegistry()
    active: tuple[tuple[str, Guard], ...] = tuple(
        (name, plugins("guardrails", name)(order.config)) for name in order.active
    )
    sighted: tuple[tuple[str, OriginAwareGuard], ...] = tuple(
        (name, plugins("guardrails", name)(order.config)) for name in order.origin_aware
    )
    first_look, always = split_prefiltered(active)
    return GuardrailRules(
        active=active,
        actions={},
        masking_guards=order.masking,
        leakage_action="off",
        detected_classes={},
        origin_aware=sighted,
        suspect_origins=order.suspect_origins,
        prefilter=first_look,
        unfiltered=always,
    )
