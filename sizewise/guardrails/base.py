"""The guard protocol: text in, findings out. A guard knows neither the request nor the action taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct


class Finding(Struct, frozen=True):
    """`guard` found `kind` (in capitals: EMAIL, CARD, KEY) in characters `start` to `end` of a text. Score 0..1."""

    guard: str
    kind: str
    start: int
    end: int
    score: float = 1.0


class Guard(Protocol):
    """Runs in time linear in the text and never raises. Findings are in text order, within the text and do not
    overlap. The same text always has the same findings: what was found clean may not be asked again.
    """

    def __call__(self, text: str) -> list[Finding]: ...


TextOrigin = Literal["person", "others", "embedded", "owner"]
"""Author of a text in a request. person: the user. others: the source of a tool result. embedded: an input of an
embedding request. owner: the system prompt, and the model's own turns."""


@runtime_checkable
class OriginAwareGuard(Protocol):
    """A guard that scans texts differently depending on their author."""

    def for_origin(self, origin: TextOrigin) -> Guard | None:
        """The guard for texts of this origin; None if they are not scanned."""


class Topic(Struct, frozen=True):
    """Words or phrases. A text is about the topic if it contains one from `deny` and none from `allow`."""

    deny: tuple[str, ...]
    allow: tuple[str, ...] = ()


class GuardConfig(Struct, frozen=True):
    """Settings passed to every guard factory: topics by name, and canaries, which no reply may repeat."""

    topics: Mapping[str, Topic] = {}
    canaries: tuple[str, ...] = ()


GuardFactory = Callable[[GuardConfig], Guard]
"""A plugin of the kind `guardrails`. Called once, when an application is built."""


def merge_overlaps(findings: list[Finding]) -> list[Finding]:
    """Sorts by position and merges overlapping findings; the merged one has the kind of the longer."""
    if len(findings) < 2:
        return findings
    kept: list[Finding] = []
    for each in sorted(findings, key=lambda one: (one.start, one.start - one.end, -one.score)):
        last = kept[-1] if kept else None
        if last is None or each.start >= last.end:
            kept.append(each)
        elif each.end > last.end:
            longer = each if each.end - each.start > last.end - last.start else last
            kept[-1] = Finding(guard=longer.guard, kind=longer.kind, start=last.start, end=each.end, score=longer.score)
    return kept
