"""The guard protocol: text in, findings out. A guard knows neither the request nor the action taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct


class Finding(Struct, frozen=True):
    """Characters `start` to `end` of a text are of `kind` (capitals: EMAIL, CARD, KEY), by `guard`; score 0..1."""

    guard: str
    kind: str
    start: int
    end: int
    score: float = 1.0


class Guard(Protocol):
    """In time linear in the text, whatever stands in it; never raises. Findings come in the order of the text, each
    within it, and do not overlap.
    """

    def __call__(self, text: str) -> list[Finding]: ...


TextOrigin = Literal["person", "others", "embedded", "owner"]
"""Who wrote a text of a request: the person who asks; somebody whom a tool has read; who set the conversation up, and
the model itself."""


@runtime_checkable
class OriginAwareGuard(Protocol):
    """A guard for which it matters who wrote a text."""

    def for_origin(self, origin: TextOrigin) -> Guard | None:
        """The guard of such texts; None where they are not looked at."""


class Topic(Struct, frozen=True):
    """A text with one of `deny` in it is about the topic, unless one of `allow` is there too. Words or phrases."""

    deny: tuple[str, ...]
    allow: tuple[str, ...] = ()


class GuardConfig(Struct, frozen=True):
    """What the settings give to guards: topics by name, and canaries, which no reply may repeat."""

    topics: Mapping[str, Topic] = {}
    canaries: tuple[str, ...] = ()


GuardFactory = Callable[[GuardConfig], Guard]
"""A member of the kind `guards`: makes the guard once, when a house is built."""


def merge_overlaps(findings: list[Finding]) -> list[Finding]:
    """In the order of the text and without overlaps: two that do become one, of the kind of the longer of them."""
    if len(findings) < 2:
        return findings
    kept: list[Finding] = []
    for each in sorted(findings, key=lambda one: (one.start, one.start - one.end, -one.score)):
        last = kept[-1] if kept else None
        if last is None or each.start >= last.end:
            kept.append(each)
        elif each.end > last.end:
            longer = each if each.end - each.start > last.end - last.start else last
            kept[-1] = Finding(longer.guard, longer.kind, last.start, each.end, longer.score)
    return kept
