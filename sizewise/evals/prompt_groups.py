"""Prompt groups: which recorded prompts are one piece of evidence: near copies, or of one declared group.

A group is independent of all others; prompts in one group are not independent of each other. Knows no score.

Near copies are found by resemblance (Broder 1997, "On the resemblance and containment of documents") with shingles of
one word, which survive another order and a few other words. Words weigh by the square of their inverse document
frequency, as in the cosine of TF-IDF vectors, so that an instruction which many prompts share counts for little. Two
prompts are near copies if the weight of their common words is at least half that of all their words (weighted Jaccard
index). Pairs are searched by prefix filtering (Bayardo, Ma and Srikant 2007, "Scaling up all pairs similarity search"):
two prompts so similar have one of their rarest words in common. This finds all pairs, and compares no prompt with all
others. A paraphrase in other words is not found.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from hashlib import sha256
from math import log

from sizewise.routing.text.prompt_features import fold_text

MIN_SIMILARITY = 0.5  # weighted Jaccard index from which two prompts are near copies, 0..1
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+|\d+")


def group_prompts(prompts: Sequence[str], names: Sequence[Collection[str]] = ()) -> list[int]:
    """The group of each prompt, numbered from 0 in the order of their first prompts.

    `names`: of each prompt, the groups that it was declared to belong to. Prompts with a common name are in one group,
    and so are near copies; a chain of near copies is one group.
    """
    groups = _DisjointSets(len(prompts))
    first: dict[str, int] = {}
    for row, its in enumerate(names):
        for name in its:
            groups.join(first.setdefault(name, row), row)
    for one, other in near_copies(prompts):
        groups.join(one, other)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(groups.find(row), len(numbers)) for row in range(len(prompts))]


def near_copies(prompts: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of rows that are near copies, with the pairs of equal prompts; of these only those that connect them."""
    distinct: dict[str, int] = {}
    found = list[tuple[int, int]]()
    for row, prompt in enumerate(prompts):
        text = " ".join(_WORD.findall(fold_text(prompt))) or prompt
        if (first := distinct.setdefault(text, row)) != row:
            found.append((first, row))
    texts, rows = list(distinct), list(distinct.values())
    return found + [(rows[one], rows[other]) for one, other in _similar_pairs(texts)]


def _similar_pairs(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of `texts` (words separated by spaces, all different) with a weighted Jaccard index of MIN_SIMILARITY."""
    sets = [frozenset(text.split(" ")) for text in texts]
    spread = Counter(each for its in sets for each in its)
    weights = {each: log((1 + len(texts)) / times) ** 2 for each, times in spread.items()}
    totals = [sum([weights[each] for each in its]) for its in sets]
    index: dict[str, list[int]] = {}
    found = list[tuple[int, int]]()
    for row, its in enumerate(sets):
        prefix = _rarest(its, weights, totals[row])
        near = {other for each in prefix for other in index.get(each, ())}
        for other in sorted(near):
            if min(totals[row], totals[other]) < MIN_SIMILARITY * max(totals[row], totals[other]):
                continue
            common = sum([weights[each] for each in its & sets[other]])
            if common >= MIN_SIMILARITY * (totals[row] + totals[other] - common):
                found.append((other, row))
        for each in prefix:
            if spread[each] > 1:
                index.setdefault(each, []).append(row)
    return found


def _rarest(words: Collection[str], weights: dict[str, float], total: float) -> list[str]:
    """The rarest of them, until the rest weighs less than what two near copies must have in common."""
    kept, rest = list[str](), total
    for each in sorted(words, key=lambda its: (-weights[its], its)):
        if rest < MIN_SIMILARITY * total * (1.0 - 1e-9):
            break
        kept.append(each)
        rest -= weights[each]
    return kept


def text_key(text: str) -> bytes:
    """A pseudo-random sort key of a text."""
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def seed_of(texts: Sequence[str]) -> int:
    """A seed for what needs random numbers, from the texts alone, in any order."""
    digest = sha256(b"".join(sorted(map(text_key, texts)))).digest()
    return int.from_bytes(digest[:4], "big")


class _DisjointSets:
    """Union-find with path halving (Tarjan and van Leeuwen 1984)."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def find(self, row: int) -> int:
        parent = self._parent
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    def join(self, one: int, other: int) -> None:
        first, second = sorted((self.find(one), self.find(other)))
        self._parent[second] = first
