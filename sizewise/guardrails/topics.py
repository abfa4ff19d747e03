"""Finds what the settings say nobody shall talk about: their words and phrases, whole words, however they are written.

Case, accents and what stands between the words of a phrase do not matter. No patterns: words are all that there is, so
no list can make a text slow to read. The kind is the topic's name in capitals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from unicodedata import combining, normalize

from sizewise.guardrails.base import Finding, Guard, Words, apart

NAME = "topics"
WORD = re.compile(r"[^\W_]+")
LONGEST = 60
"""Letters of a word that are read; a longer one is in no list."""

Spelt = tuple[str, int, int]
"""A word as it is compared, and where it stands."""
Phrases = dict[str, list[tuple[str, ...]]]
"""By their first word."""


def topics(words: Words) -> Guard:
    return Topics(words)


class Topics:
    def __init__(self, words: Words) -> None:
        self._topics = [(_kind(name), _phrases(each.deny), _phrases(each.allow)) for name, each in words.topics.items()]

    def __call__(self, text: str) -> list[Finding]:
        if not self._topics:
            return []
        spelt = list(_spelt(text))
        found: list[Finding] = []
        for kind, deny, allow in self._topics:
            said = [Finding(NAME, kind, start, end) for start, end in _said(spelt, deny)]
            if said and not any(True for _ in _said(spelt, allow)):
                found += said
        return apart(found)


def _kind(name: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", name.upper())


def _phrases(listed: tuple[str, ...]) -> Phrases:
    phrases: Phrases = {}
    for each in listed:
        words = tuple(word for word, _, _ in _spelt(each))
        if words:
            phrases.setdefault(words[0], []).append(words)
    return phrases


def _spelt(text: str) -> Iterator[Spelt]:
    for match in WORD.finditer(text):
        yield folded(match.group()[:LONGEST]), match.start(), match.end()


def folded(word: str) -> str:
    if word.isascii():
        return word.lower()
    return "".join(c for c in normalize("NFKD", word.casefold()) if not combining(c))


def _said(spelt: list[Spelt], phrases: Phrases) -> Iterator[tuple[int, int]]:
    for place, (word, start, _) in enumerate(spelt):
        for phrase in phrases.get(word, ()):
            if all(place + i < len(spelt) and spelt[place + i][0] == each for i, each in enumerate(phrase)):
                yield start, spelt[place + len(phrase) - 1][2]
