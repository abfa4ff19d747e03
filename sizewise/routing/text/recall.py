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
    for word in _WORD.findall(text.casefold()):
        if _UNSPACED.search(word):
            found += [word[at : at + 2] for at in range(max(1, len(word) - 1))]
        elif len(word) >= MIN_WORD_CHARS:
            found.append(word[:PREFIX_CHARS])
    return found


def rank(passages: Sequence[str], query: str) -> list[int]:
    """Indexes of the passages that share a word with `query`, best first; of equals the later is first."""
    wanted = set(terms(query[:MAX_QUERY_CHARS]))
    counted = [Counter(terms(each)) for each in passages]
    lengths = [sum(words.values()) for words in counted]
    average = sum(lengths) / max(1, len(lengths)) or 1.0
    holding = Counter(word for words in counted for word in wanted & words.keys())
    weights = {word: math.log(1 + (len(passages) - n + 0.5) / (n + 0.5)) for word, n in holding.items()}
    scores = [
        sum(
            weights[word] * words[word] * (K1 + 1) / (words[word] + K1 * (1 - B + B * length / average))
            for word in weights.keys() & words.keys()
        )
        for words, length in zip(counted, lengths, strict=True)
    ]
    return sorted((at for at, score in enumerate(scores) if score > 0), key=lambda at: (-scores[at], -at))
