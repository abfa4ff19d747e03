"""Recall: passages of a conversation that share words with a question, rare words counting more. Knows no model.

Scores are BM25 (Robertson and Zaragoza, 2009). Scripts without spaces are compared by pairs of characters.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

K1, B = 1.2, 0.75
MAX_QUERY_CHARS = 4_000
MIN_WORD_CHARS = 2
PREFIX_CHARS = 6
"""Words are compared by their first characters: `invoices` finds `invoice`."""
_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


def terms(text: str) -> list[str]:
    """What texts are compared by."""
    found: list[str] = []
    for word in _WORD.findall(text):
        if not word.isascii() and _UNSPACED.search(word):
            found += [word[at : at + 2] for at in range(max(1, len(word) - 1))]
        elif len(word) >= MIN_WORD_CHARS:
            found.append(word[:PREFIX_CHARS])
    return found


def rank(passages: Sequence[str], query: str) -> list[int]:
    """Indexes of the passages that share a word with `query`, best first; of equals the later is first.

    Only passages that contain a wanted term are taken apart, so most of a long conversation is only searched.
    """
    wanted = set(terms(query[:MAX_QUERY_CHARS].casefold()))
    counted: dict[int, Counter[str]] = {}
    for at, passage in enumerate(passages):
        text = passage.casefold()
        if any(term in text for term in wanted):
            counted[at] = Counter(term for term in terms(text) if term in wanted)
    average = sum(map(len, passages)) / max(1, len(passages)) or 1.0
    holding = Counter(term for found in counted.values() for term in found)
    weights = {term: math.log(1 + (len(passages) - n + 0.5) / (n + 0.5)) for term, n in holding.items()}
    scores = {
        at: sum(
            weights[term] * times * (K1 + 1) / (times + K1 * (1 - B + B * len(passages[at]) / average))
            for term, times in found.items()
        )
        for at, found in counted.items()
        if found
    }
    return sorted(scores, key=lambda at: (-scores[at], -at))
