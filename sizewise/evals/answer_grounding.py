"""Grounding of an answer in its sources by words: which it cites, and which of its sentences they support. Pure.

Found are invented numbers and statements about other things. Not found is a wrong conclusion from the right words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sizewise.routing.text.prompt_features import STOP_WORDS
from sizewise.routing.text.recall import terms

MIN_SUPPORTED = 0.6
"""Share of a sentence's content words that its sources have."""
MIN_WORDS = 3
"""Content words of a sentence that states something; shorter ones count only for their numbers."""

_CITATION = re.compile(r"\[(\d{1,4}(?:, ?\d{1,4}){0,20})\]")
_SENTENCE = re.compile(r"(?<=[.!?])\s|\n")
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?")


def cited_sources(text: str) -> set[int]:
    """Numbers in brackets, as in [1] and [2, 3]."""
    return {int(each) for found in _CITATION.findall(text) for each in found.split(",")}


def cites_sources(text: str, count: int) -> bool:
    """Whether it cites a source, and only some of the `count` that there are."""
    found = cited_sources(text)
    return bool(found) and all(1 <= each <= count for each in found)


def grounded_share(text: str, sources: Sequence[str]) -> float | None:
    """Share of the answer's sentences that the sources support, 0..1; None if no sentence states anything."""
    whole = "\n".join(sources)
    words, numbers = _words(whole), set(_numbers(whole))
    supported = list[bool]()
    for sentence in _SENTENCE.split(_CITATION.sub("", text)):
        its, said = _words(sentence), list(_numbers(sentence))
        if len(its) < MIN_WORDS and not said:
            continue
        share = len(its & words) / len(its) if len(its) >= MIN_WORDS else 1.0
        supported.append(share >= MIN_SUPPORTED and all(each in numbers for each in said))
    return sum(supported) / len(supported) if supported else None


def _words(text: str) -> set[str]:
    return {each for each in terms(" ".join(_content(text))) if not each.isdigit()}


def _content(text: str) -> Iterator[str]:
    return (word for word in text.casefold().split() if word.strip(".,;:!?()\"'") not in STOP_WORDS)


def _numbers(text: str) -> Iterator[str]:
    return (each.replace(",", "").rstrip(".") for each in _NUMBER.findall(text))
