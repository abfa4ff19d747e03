"""Data leakage guard: finds canaries, the system prompt, secrets and personal data in a reply.

Secrets and personal data count only if the request does not contain them.
Kinds: CANARY, SYSTEM_PROMPT, and those of pii.py and secrets.py. A system prompt counts as leaked from MATCH_WORDS
consecutive words; paraphrases are not found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from sizewise.guardrails import pii, secrets
from sizewise.guardrails.base import Finding, Guard, GuardConfig, merge_overlaps
from sizewise.guardrails.prefilter import Prefilter
from sizewise.guardrails.untrusted_content import CANARY_PATTERN, canary_spans

NAME = "leakage"
MATCH_WORDS = 12
"""Consecutive words of the system prompt that do not occur by chance."""
PIECE_WORDS = MATCH_WORDS // 2
"""The prompt is cut into consecutive pieces of this many words; MATCH_WORDS words always contain a whole piece."""
MAX_PROMPT_WORDS = 2_000
"""Further words of a system prompt are ignored."""
MAX_CACHED_PROMPTS = 256
"""System prompts kept in memory: most requests repeat an earlier one."""
MAX_CACHED_CHARS = 100_000
"""Characters of the longest one kept."""

WORD = re.compile(r"\S+")


def data_leakage_guard(config: GuardConfig) -> DataLeakageGuard:
    return DataLeakageGuard(config.canaries)


class DataLeakageGuard:
    """Called with a text, finds configured canaries, secrets and personal data; `for_request` finds leaks of a
    request.
    """

    def __init__(self, canaries: tuple[str, ...]) -> None:
        self._canaries = tuple(each for each in canaries if each.strip())
        self._prompts: dict[str, SystemPromptMatcher] = {}
        self._prefilter = Prefilter((pii.PREFILTER_SIGNS, secrets.PREFILTER_SIGNS))

    def __call__(self, text: str) -> list[Finding]:
        return merge_overlaps(
            [*self._find_canaries(text), *_find_secrets_and_pii(text)]
            if self._prefilter(text)
            else self._find_canaries(text),
        )

    def for_request(
        self,
        system_prompt: str,
        request_texts: Callable[[], Iterable[str]],
        own_canary: str = "",
    ) -> Guard:
        """The guard for replies to a request. With `own_canary`, the one generated for this request, generated canaries
        of other requests are found too. `request_texts` is called only if there is a finding to compare.
        """
        prompt = self._prompts.get(system_prompt)
        if prompt is None:
            prompt = SystemPromptMatcher(system_prompt)
            if len(system_prompt) <= MAX_CACHED_CHARS:
                if len(self._prompts) >= MAX_CACHED_PROMPTS:
                    self._prompts.clear()
                self._prompts[system_prompt] = prompt

        def find(text: str) -> list[Finding]:
            found = self._find_canaries(text) if self._canaries else []
            if prompt.is_long:
                found += prompt(text)
            if self._prefilter(text) and (beside := _find_secrets_and_pii(text)):
                held = list(request_texts())
                found += [each for each in beside if not any(text[each.start : each.end] in one for one in held)]
            if own_canary:
                found += _find_drawn_canaries(text, own_canary, request_texts)
            return merge_overlaps(found) if found else found

        return find

    def _find_canaries(self, text: str) -> list[Finding]:
        return canary_guard(self._canaries)(text) if self._canaries else []


def canary_guard(tokens: tuple[str, ...]) -> Guard:
    """Finds `tokens` in all forms of `untrusted_content.leaked_canaries`."""
    return lambda text: merge_overlaps(
        [Finding(NAME, "CANARY", start, end) for start, end in canary_spans(text, tokens)],
    )


def _find_drawn_canaries(text: str, own_canary: str, request_texts: Callable[[], Iterable[str]]) -> list[Finding]:
    found = canary_guard((own_canary,))(text)
    others = (
        [each.span() for each in CANARY_PATTERN.finditer(text) if each.group() != own_canary]
        if "canary-" in text
        else []
    )
    if others:  # from a stored reply; a canary in the request itself may be repeated
        held = list(request_texts())
        found += [Finding(NAME, "CANARY", a, b) for a, b in others if not any(text[a:b] in one for one in held)]
    return found


class SystemPromptMatcher:
    """Finds where a text repeats a system prompt verbatim; case and whitespace are ignored."""

    def __init__(self, system_prompt: str) -> None:
        words = [word.lower() for word in system_prompt.split(None, MAX_PROMPT_WORDS)[:MAX_PROMPT_WORDS]]
        self._pieces: list[str] = []
        self._runs: frozenset[str] = frozenset()
        self.is_long = len(words) >= MATCH_WORDS
        if self.is_long:
            self._pieces = [
                " ".join(words[place : place + PIECE_WORDS])
                for place in range(0, len(words) - PIECE_WORDS + 1, PIECE_WORDS)
            ]
            self._runs = frozenset(" ".join(words[i : i + MATCH_WORDS]) for i in range(len(words) - MATCH_WORDS + 1))

    def __call__(self, text: str) -> list[Finding]:
        if not self._pieces or len(text) < MATCH_WORDS * 2:
            return []
        said = " ".join(text.lower().split())
        if not any(piece in said for piece in self._pieces):
            return []
        return self._repeated([(match.group().lower(), match.start(), match.end()) for match in WORD.finditer(text)])

    def _repeated(self, spelt: list[tuple[str, int, int]]) -> list[Finding]:
        found: list[Finding] = []
        start = end = -1
        for place in range(len(spelt) - MATCH_WORDS + 1):
            if " ".join(word for word, _, _ in spelt[place : place + MATCH_WORDS]) in self._runs:
                if place > end:
                    found += _span(spelt, start, end)
                    start = place
                end = place + MATCH_WORDS - 1
        return [*found, *_span(spelt, start, end)]


def _span(spelt: list[tuple[str, int, int]], start: int, end: int) -> list[Finding]:
    return [Finding(NAME, "SYSTEM_PROMPT", spelt[start][1], spelt[end][2])] if start >= 0 else []


def _find_secrets_and_pii(text: str) -> list[Finding]:
    return [
        Finding(guard=NAME, kind=each.kind, start=each.start, end=each.end, score=each.score)
        for each in (*pii.find_pii(text), *secrets.find_secrets(text))
    ]
