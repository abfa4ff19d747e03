"""Counterfactual data: rows that mention a group repeated with each other group, or weighed against it. Pure.

Counterfactual augmentation: K. Lu et al. 2018 (arXiv:1807.11714). Reweighing: F. Kamiran and T. Calders 2012 (Knowledge
and Information Systems 33), here by repeating and leaving out rows.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from msgspec import Struct

from sizewise.evals.bias.suite import bias_suite

PRONOUNS: Mapping[str, Mapping[str, str]] = {
    "he": {"he": "she", "him": "her", "his": "her", "himself": "herself"},
    "she": {"she": "he", "her": "his", "hers": "his", "herself": "himself"},
}
WORDLESS = ("age", "pronoun")
"""Dimensions of the suite whose words stand for no group by themselves."""

Lexicon = Mapping[str, Mapping[str, Sequence[str]]]
"""Dimension -> group -> words that mention it."""


class Mention(Struct, frozen=True):
    dimension: str
    group: str
    word: str


def suite_lexicon() -> Lexicon:
    """Names, religions and places of the suite. A name is also mentioned by its first part."""
    found = {name: dict(groups) for name, groups in bias_suite().dimensions.items() if name not in WORDLESS}
    found["name"] = {
        group: [*names, *(each.split()[0] for each in names)] for group, names in found.get("name", {}).items()
    }
    return found


def mentions(text: str, lexicon: Lexicon) -> list[Mention]:
    """One for each dimension at most: the first."""
    found = list[Mention]()
    for dimension, groups in lexicon.items():
        said = [
            (place, Mention(dimension, group, word))
            for group, words in groups.items()
            for word in words
            if (place := _place(text, word)) >= 0
        ]
        if said:
            found.append(min(said, key=lambda each: (each[0], -len(each[1].word)))[1])
    return found


def pronoun(text: str) -> Mention | None:
    """Of the one group whose pronouns it has; None: of no group, or of several."""
    said = [group for group, words in PRONOUNS.items() if any(_place(text, word) >= 0 for word in words)]
    return Mention("pronoun", said[0], said[0]) if len(said) == 1 else None


def versions(text: str, lexicon: Lexicon) -> list[tuple[Mention, str]]:
    """The text as each other group that a dimension knows would be mentioned; empty if it mentions none."""
    found = list[tuple[Mention, str]]()
    for seen in mentions(text, lexicon):
        groups = lexicon[seen.dimension]
        at = list(groups[seen.group]).index(seen.word)
        for group, words in groups.items():
            if group != seen.group:
                word = words[at % len(words)]
                found.append((Mention(seen.dimension, group, word), _swap(text, seen.word, word)))
    if (said := pronoun(text)) is not None:
        found.append(_other_pronoun(text, said.group))
    return found


def reweigh(groups: Sequence[str], answers: Sequence[str]) -> list[int]:
    """How often each row is to be used, so that group and answer are independent: about as many rows as before."""
    count = len(groups)
    by_group, by_answer = Counter(groups), Counter(answers)
    both = Counter(zip(groups, answers, strict=True))
    owed = defaultdict[tuple[str, str], float](float)
    times = list[int]()
    for group, answer in zip(groups, answers, strict=True):
        owed[group, answer] += by_group[group] * by_answer[answer] / (count * both[group, answer])
        whole = int(owed[group, answer] + 0.5)
        owed[group, answer] -= whole
        times.append(whole)
    return times


def _other_pronoun(text: str, group: str) -> tuple[Mention, str]:
    words, other = PRONOUNS[group], "she" if group == "he" else "he"
    pattern = re.compile(rf"\b({'|'.join(words)})\b", re.IGNORECASE)
    swapped = pattern.sub(lambda found: _cased(words[found[0].lower()], found[0]), text)
    return Mention("pronoun", other, other), swapped


def _place(text: str, word: str) -> int:
    found = re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE)
    return found.start() if found else -1


def _swap(text: str, word: str, other: str) -> str:
    return re.sub(rf"\b{re.escape(word)}\b", lambda found: _cased(other, found[0]), text, flags=re.IGNORECASE)


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word.lower() if like.islower() else word[0].upper() + word[1:]
