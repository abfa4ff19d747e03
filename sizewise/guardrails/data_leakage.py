"""Finds in a reply what should not leave: canaries, the system prompt, secrets and personal data; knows no stream.

Secrets and personal data count only where the request did not hold them.
Kinds: CANARY, SYSTEM_PROMPT, and those of pii.py and secrets.py. A system prompt is repeated where RUN of its words
come in a row; what it tells in other words is not found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from sizewise.guardrails import pii, secrets
from sizewise.guardrails.base import Finding, Guard, Words, apart
from sizewise.guardrails.prefilter import FirstLook
from sizewise.guardrails.untrusted_content import CANARY, spans

NAME = "leakage"
RUN = 12
"""Words in a row that nobody says by chance."""
PIECE = RUN // 2
"""Any RUN words of a prompt hold one of its pieces of so many words, cut one behind the other."""
MOST = 2_000
"""Words of a system prompt that are looked for."""
KNOWN = 256
"""System prompts that are remembered, for most requests bring one that was there before."""

WORD = re.compile(r"\S+")


def leakage(words: Words) -> Leakage:
    return Leakage(words.canaries)


class Leakage:
    """As a guard over a text alone it finds canaries, secrets and personal data; `of` a request, what leaks of it."""

    def __init__(self, canaries: tuple[str, ...]) -> None:
        self._canaries = tuple(each for each in canaries if each.strip())
        self._prompts: dict[str, Prompt] = {}
        self._first_look = FirstLook((pii.TRACES, secrets.TRACES))

    def __call__(self, text: str) -> list[Finding]:
        return apart([*self._told(text), *_beside(text)] if self._first_look(text) else self._told(text))

    def of(self, system: str, request: Callable[[], Iterable[str]], own: str = "") -> Guard:
        """The guard of replies to a request: `system` are the words of its system prompt, `request` all its texts.
        `own`: its own canary, of those that are drawn for requests; then those of others are found too."""
        prompt = self._prompts.get(system)
        if prompt is None:
            if len(self._prompts) >= KNOWN:
                self._prompts.clear()
            prompt = self._prompts[system] = Prompt(system)

        def find(text: str) -> list[Finding]:
            found = self._told(text) if self._canaries else []
            if prompt.is_long:
                found += prompt(text)
            if self._first_look(text) and (beside := _beside(text)):
                held = list(request())
                found += [each for each in beside if not any(text[each.start : each.end] in one for one in held)]
            if own:
                found += _drawn(text, own, request)
            return apart(found) if found else found

        return find

    def _told(self, text: str) -> list[Finding]:
        return canaries(self._canaries)(text) if self._canaries else []


def canaries(given: tuple[str, ...]) -> Guard:
    """Finds `given`, in whatever guise untrusted.py knows."""
    return lambda text: apart([Finding(NAME, "CANARY", start, end) for start, end in spans(text, given)])


def _drawn(text: str, own: str, request: Callable[[], Iterable[str]]) -> list[Finding]:
    found = canaries((own,))(text)
    others = [each.span() for each in CANARY.finditer(text) if each.group() != own] if "canary-" in text else []
    if others:  # of an answer that was kept; what the request itself says may be repeated
        held = list(request())
        found += [Finding(NAME, "CANARY", a, b) for a, b in others if not any(text[a:b] in one for one in held)]
    return found


class Prompt:
    """Where a text repeats a system prompt word for word; case and the space between words do not matter."""

    def __init__(self, system: str) -> None:
        words = system.lower().split()[:MOST]
        self._pieces: list[str] = []
        self._runs: frozenset[str] = frozenset()
        self.is_long = len(words) >= RUN
        if self.is_long:
            self._pieces = [" ".join(words[place : place + PIECE]) for place in range(0, len(words) - PIECE + 1, PIECE)]
            self._runs = frozenset(" ".join(words[i : i + RUN]) for i in range(len(words) - RUN + 1))

    def __call__(self, text: str) -> list[Finding]:
        if not self._pieces or len(text) < RUN * 2:
            return []
        said = " ".join(text.lower().split())
        if not any(piece in said for piece in self._pieces):
            return []
        return self._repeated([(match.group().lower(), match.start(), match.end()) for match in WORD.finditer(text)])

    def _repeated(self, spelt: list[tuple[str, int, int]]) -> list[Finding]:
        found: list[Finding] = []
        start = end = -1
        for place in range(len(spelt) - RUN + 1):
            if " ".join(word for word, _, _ in spelt[place : place + RUN]) in self._runs:
                if place > end:
                    found += _span(spelt, start, end)
                    start = place
                end = place + RUN - 1
        return [*found, *_span(spelt, start, end)]


def _span(spelt: list[tuple[str, int, int]], start: int, end: int) -> list[Finding]:
    return [Finding(NAME, "SYSTEM_PROMPT", spelt[start][1], spelt[end][2])] if start >= 0 else []


def _beside(text: str) -> list[Finding]:
    """Secrets and personal data."""
    return [
        Finding(NAME, each.kind, each.start, each.end, each.score) for each in (*pii.find(text), *secrets.find(text))
    ]
