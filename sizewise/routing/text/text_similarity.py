"""Lexical text similarity: whether two texts say the same, differ, or are undecidable. Uses no embeddings.

Compared are content words (no frequent words, plurals as singulars), numbers, names and negated words. Texts agree if
their words overlap (F1 of both sets) and nothing contradicts:

    long texts      F1 of MIN_SAME_F1 or more, equal numbers, no word negated on one side only, no names exchanged
    short texts     the same, and no word or symbol exchanged: one text may only say more than the other

Exchanged: each side has an item that the other lacks, such as two capitals. One wrong word in a long text is not
detected.
"""

from __future__ import annotations

import re
from collections.abc import Set

from msgspec import Struct

from sizewise.routing.text.prompt_features import STOP_WORDS, fold_text, tokenize

MIN_SAME_F1 = 0.7
MAX_DIFFERENT_F1 = 0.1  # F1 up to which long texts are about different things
LONG_TEXT_WORDS = 60  # words of a long text
CODE_SYMBOL_SHARE = 0.03  # share of symbols from which a text counts as code or formulas
NEGATION_REACH = 3  # words after a negation that are searched for the negated word

_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?![\w])")
_SYMBOL = re.compile(r"[=<>+/%&|^~{}\[\]\\]|(?<=\s)[-*](?=\s)")
_ITEM = re.compile(r"^[ \t]*(?:\d+[.)]|[-*+])\s", re.MULTILINE)
_OPENING = re.compile(r"\W*(\w+)\s*(?:[,.!;:\u2013\u2014-]|\Z)")
_NAME = re.compile(r"(?<=[\w,;] )[^\W\d_a-zß-ÿ][\w-]+")
UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
_FILLS = (
    "a an on or if so by do we us me my our your up out off than then them these those there their its also very much "
    "more most can will would could should may might must has had been being does did about into over when while"
)
"""English words without content that are not among the few frequent ones of prompt_features.py."""
_DENIES = (
    "not no never none neither nor cannot without nothing nobody nicht kein keine keinen keiner nie niemals ohne weder "
    "ne pas jamais sans aucun aucune nunca sin ningun ninguna non senza nessun nessuno nao sem niet geen nooit zonder "
    "bez nigdy degil yok inte ingen aldrig utan не нет без никогда"
)
_NEGATIONS = frozenset(_DENIES.split())
_EMPTY = frozenset(_FILLS.split()) | frozenset(STOP_WORDS) | _NEGATIONS
_YES = frozenset({"yes", "ja", "oui", "si", "sim", "tak", "evet", "да"})
_NO = frozenset({"no", "nein", "non", "nao", "nee", "nie", "hayir", "nej", "нет"})


class TextContent(Struct, frozen=True):
    """The compared parts of a text. `starts_with_yes`: None if it starts with neither yes nor no."""

    word_count: int
    words: frozenset[str]
    numbers: frozenset[float]
    names: frozenset[str]
    negated_words: frozenset[str]
    symbols: tuple[str, ...]
    starts_with_yes: bool | None


def texts_agree(one: str, other: str) -> bool | None:
    """None if undecidable, as for code and scripts without spaces between words. Symmetric."""
    first, second = _content(one), _content(other)
    if not first.words or not second.words or any(map(_is_undecidable, (one, other))):
        return None
    long = first.word_count > LONG_TEXT_WORDS and second.word_count > LONG_TEXT_WORDS
    overlap = 2 * len(first.words & second.words) / (len(first.words) + len(second.words))
    if not long and _exchanged(first.numbers, second.numbers):
        return False
    if overlap < MIN_SAME_F1:
        return False if long and overlap <= MAX_DIFFERENT_F1 else None
    return _opposed(first, second, long)


def _is_undecidable(text: str) -> bool:
    return (
        "```" in text or UNSPACED.search(text) is not None or len(_SYMBOL.findall(text)) > CODE_SYMBOL_SHARE * len(text)
    )


def _opposed(first: TextContent, second: TextContent, long: bool) -> bool | None:
    """The result for texts of much the same words, which may still contradict each other."""
    names = _exchanged(first.names - second.words, second.names - first.words)
    if (
        first.starts_with_yes is not None
        and second.starts_with_yes is not None
        and first.starts_with_yes != second.starts_with_yes
    ):
        return False
    if (first.negated_words ^ second.negated_words) & first.words & second.words or _exchanged(
        first.numbers,
        second.numbers,
    ):
        return False
    if names and not long:
        return False
    if first.numbers != second.numbers or names:
        return None
    if not long and (_exchanged(first.words, second.words) or first.symbols != second.symbols):
        return None
    return True


def _exchanged(one: Set[object], other: Set[object]) -> bool:
    return bool(one - other) and bool(other - one)


def _content(text: str) -> TextContent:
    text = _ITEM.sub(" ", text)
    folded = fold_text(text).replace("n't", " not").replace("n’t", " not").replace("can not", "cannot")
    said = tokenize(folded)
    kept = [_singular(word) for word in said]
    negated = {
        found
        for place, word in enumerate(said)
        if word in _NEGATIONS
        for found in [next((kept[at] for at in _after(said, place) if _tells(said[at])), "")]
        if found
    }
    opening = _OPENING.match(folded)
    first = opening[1] if opening else ""
    return TextContent(
        word_count=len(said),
        words=frozenset(each for each, word in zip(kept, said, strict=True) if _tells(word)),
        numbers=frozenset(float(each.rstrip(",").replace(",", "")) for each in _NUMBER.findall(folded)),
        names=frozenset(_singular(fold_text(each)) for each in _NAME.findall(text)),
        negated_words=frozenset(negated),
        symbols=tuple(sorted(_SYMBOL.findall(text))),
        starts_with_yes=True if first in _YES else False if first in _NO else None,
    )


def _after(said: list[str], place: int) -> range:
    return range(place + 1, min(place + 1 + NEGATION_REACH, len(said)))


def _tells(word: str) -> bool:
    return word != "0" and word not in _EMPTY


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
