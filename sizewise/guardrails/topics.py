"""Topic guard: finds the configured denied words and phrases as whole words, however they are spelled.

Ignores case, accents and punctuation between the words of a phrase. Entries are not regular expressions, so that no
configuration can make scanning slow. The kind is the topic's name in capitals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from unicodedata import combining, normalize

from sizewise.guardrails.base import Finding, Guard, GuardConfig, merge_overlaps

NAME = "topics"
WORD = re.compile(r"[^\W_]+")
MAX_WORD_LETTERS = 60
"""Further letters of a word are ignored."""

SpelledWord = tuple[str, int, int]
"""Normalized word, start and end in the text."""
Phrases = dict[str, list[tuple[str, ...]]]
"""First word -> phrases that begin with it."""


def topic_guard(config: GuardConfig) -> Guard:
    return TopicGuard(config)


class TopicGuard:
    def __init__(self, config: GuardConfig) -> None:
        self._topics = [
            (_kind(name), _phrases(each.deny), _phrases(each.allow)) for name, each in config.topics.items()
        ]

    def __call__(self, text: str) -> list[Finding]:
        if not self._topics:
            return []
        spelt = list(_spelled_words(text))
        found: list[Finding] = []
        for kind, deny, allow in self._topics:
            said = [Finding(NAME, kind, start, end) for start, end in _find_phrases(spelt, deny)]
            if said and not any(True for _ in _find_phrases(spelt, allow)):
                found += said
        return merge_overlaps(found)


def _kind(name: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", name.upper())


def _phrases(listed: tuple[str, ...]) -> Phrases:
    phrases: Phrases = {}
    for each in listed:
        words = tuple(word for word, _, _ in _spelled_words(each))
        if words:
            phrases.setdefault(words[0], []).append(words)
    return phrases


def _spelled_words(text: str) -> Iterator[SpelledWord]:
    for match in WORD.finditer(text):
        yield fold_topic_word(match.group()[:MAX_WORD_LETTERS]), match.start(), match.end()


def fold_topic_word(word: str) -> str:
    if word.isascii():
        return word.lower()
    return "".join(c for c in normalize("NFKD", word.casefold()) if not combining(c))


def _find_phrases(words: list[SpelledWord], phrases: Phrases) -> Iterator[tuple[int, int]]:
    for place, (word, start, _) in enumerate(words):
        for phrase in phrases.get(word, ()):
            if all(place + i < len(words) and words[place + i][0] == each for i, each in enumerate(phrase)):
                yield start, words[place + len(phrase) - 1][2]
