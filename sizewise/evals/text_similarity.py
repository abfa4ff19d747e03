"""Text similarity of an answer and a reference, 0..1, by the metrics that OpenAI's graders name. Pure.

fuzzy_match  2 x LCS / (a + b) over characters, as rapidfuzz's `ratio`; the LCS by H. Hyyro 2004, bit-parallel.
bleu         Papineni et al. 2002, up to 4 words, of one sentence: smoothed by one (Lin and Och 2004).
gleu         Wu et al. 2016 (arXiv:1609.08144): the lower of precision and recall over 1 to 4 words.
meteor       Banerjee and Lavie 2005, by equal words alone: no stems, no synonyms.
rouge_n, _l  C.-Y. Lin 2004, the F measure.

Words are runs of letters and digits, without case.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import exp, log

MAX_CHARS = 20_000
"""Of each text; the rest does not count. The longest take some 20 ms."""
MAX_NGRAM = 4

_WORD = re.compile(r"\w+")


def similarity(metric: str, answer: str, reference: str) -> float:
    """0..1; raises KeyError for a metric that is not in METRICS."""
    return METRICS[metric](answer[:MAX_CHARS], reference[:MAX_CHARS])


def longest_common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    places = dict[str, int]()
    for place, each in enumerate(one):
        places[each] = places.get(each, 0) | 1 << place
    full = (1 << len(one)) - 1
    row = full
    for each in other:
        matched = row & places.get(each, 0)
        row = ((row + matched) | (row - matched)) & full
    return (~row & full).bit_count()


def _fuzzy_match(answer: str, reference: str) -> float:
    length = len(answer) + len(reference)
    return 2 * longest_common_subsequence(answer, reference) / length if length else 1.0


def _bleu(answer: str, reference: str) -> float:
    found, wanted = _words(answer), _words(reference)
    if not found or not wanted:
        return float(found == wanted)
    total = 0.0
    for size in range(1, MAX_NGRAM + 1):
        mine = _ngrams(found, size)
        matches, count = (mine & _ngrams(wanted, size)).total(), mine.total()
        if size == 1 and not matches:
            return 0.0
        smooth = int(size > 1)
        total += log((matches + smooth) / (count + smooth)) / MAX_NGRAM
    return min(1.0, exp(total + min(0.0, 1 - len(wanted) / len(found))))


def _gleu(answer: str, reference: str) -> float:
    found, wanted = _words(answer), _words(reference)
    both = [
        sum((_ngrams(words, size) for size in range(1, MAX_NGRAM + 1)), Counter[tuple[str, ...]]())
        for words in (found, wanted)
    ]
    most = max(both[0].total(), both[1].total())
    return (both[0] & both[1]).total() / most if most else 1.0


def _meteor(answer: str, reference: str) -> float:
    found, wanted = _words(answer), _words(reference)
    free = dict[str, list[int]]()
    for place in range(len(wanted) - 1, -1, -1):
        free.setdefault(wanted[place], []).append(place)
    aligned = [free[word].pop() if free.get(word) else -1 for word in found]
    matches = sum(place >= 0 for place in aligned)
    if not matches:
        return float(found == wanted)
    chunks = sum(
        place >= 0 and (n == 0 or aligned[n - 1] < 0 or place != aligned[n - 1] + 1) for n, place in enumerate(aligned)
    )
    precision, recall = matches / len(found), matches / len(wanted)
    mean = 10 * precision * recall / (recall + 9 * precision)
    return mean * (1 - 0.5 * (chunks / matches) ** 3)


def _rouge_n(size: int, answer: str, reference: str) -> float:
    found, wanted = _ngrams(_words(answer), size), _ngrams(_words(reference), size)
    return _f_measure((found & wanted).total(), found.total(), wanted.total())


def _rouge_l(answer: str, reference: str) -> float:
    found, wanted = _words(answer), _words(reference)
    return _f_measure(longest_common_subsequence(found, wanted), len(found), len(wanted))


def _f_measure(matches: int, found: int, wanted: int) -> float:
    return 2 * matches / (found + wanted) if found + wanted else 1.0


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _ngrams(words: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[n : n + size]) for n in range(len(words) - size + 1))


METRICS: Mapping[str, Callable[[str, str], float]] = {
    "fuzzy_match": _fuzzy_match,
    "bleu": _bleu,
    "gleu": _gleu,
    "meteor": _meteor,
    **{f"rouge_{size}": partial(_rouge_n, size) for size in range(1, 6)},
    "rouge_l": _rouge_l,
}
