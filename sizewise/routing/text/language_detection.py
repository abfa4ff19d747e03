"""Language detection: the language of a text when it is certain, and whether a text mentions a language.

prompt_features.py guesses a language for every prompt, as one feature among many. Here a wrong guess would reject a
good answer, so most texts have no certain language: short ones, code, mixed ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sizewise.routing.text.prompt_features import STOP_WORDS, fold_text, guess_language, tokenize

MIN_STOP_WORDS = 3  # different frequent words of a language in a text
MIN_LEAD = 2  # times as many as of any other language
MIN_SCRIPT_SHARE = 0.7  # share of the letters that are in its script
MIN_LETTERS = 4  # letters of a text in a script of its own

SIMILAR_LANGUAGES: tuple[frozenset[str], ...] = (frozenset({"es", "pt", "it"}), frozenset({"ja", "zh"}))
"""Languages that are confused in short texts: Galician with Spanish, Japanese names with Chinese."""

_BEGINNINGS: Mapping[str, str] = {
    "english": "english german(?!y) french spanish castilian italian portugu brazilian dutch flemish polish turkish "
    "swedish danish norwegian finnish icelandic russian ukrainian bulgarian serbian croatian slova slove czech "
    "hungarian romanian chinese mandarin cantonese japanese korean vietnamese thai(?!land) indonesian malay hindi urdu "
    "bengali tamil arabic hebrew persian farsi greek latin catalan basque galician irish welsh gaelic swahili",
    "german": "englisch deutsch(?!land) franzosisch spanisch italienisch portugiesisch niederlandisch hollandisch "
    "polnisch turkisch schwedisch danisch russisch chinesisch japanisch koreanisch arabisch hebraisch griechisch",
    "french": "anglais allemand francais espagnol italien neerlandais polonais turc suedois russe chinois japonais "
    "coreen arabe grec",
    "spanish and portuguese": "ingles aleman alemao frances espan castellano holand polaco turco sueco ruso russo "
    "chino japones coreano griego",
    "italian": "inglese tedesco spagnolo olandese polacco svedese cinese giapponese",
    "dutch": "engels duits frans spaans italiaans nederlands pools zweeds",
    "polish": "angielsk niemieck francusk hiszpansk polsku polski rosyjsk",
    "turkish": "ingilizce almanca fransızca ispanyolca turkce rusca",
    "swedish": "engelsk tysk fransk spansk svensk",
    "russian": "англииск немецк французск испанск русск китаиск японск украинск украінськ",
    "to translate": "translat ubersetz dolmetsch tradu traduz vertaal vertal tłumacz przetłumacz cevir oversatt "
    "перевед перевод",
}
"""Beginnings of language names and of words for translating, in the form of `fold_text`."""

_SPOKEN_OF = re.compile(
    rf"\b(?:{'|'.join(each for listed in _BEGINNINGS.values() for each in listed.split())})"
    r"|[\u4e00-\u9fff][語语文]|翻[译譯訳]|[\uac00-\ud7af]어(?:로|\b)|번역|ترجم|תרגם|[إا]نجليز|عربي",
)
_LATIN = re.compile(r"[a-z\u00df-\u024f]")
_BY_WORDS = frozenset(name for names in STOP_WORDS.values() for name in names)


def detect_language(text: str) -> str:
    """The language, or a script of its own, as named in prompt_features.py; empty if uncertain."""
    folded = fold_text(text)
    found = tokenize(folded)
    name = guess_language(folded, found)
    letters, latin = sum(map(len, found)), len(_LATIN.findall(folded))
    if name not in _BY_WORDS:
        sure = name != "none" and letters >= MIN_LETTERS and latin <= (1 - MIN_SCRIPT_SHARE) * letters
    else:
        own, next_best = _evidence(found, name)
        sure = own >= MIN_STOP_WORDS and own >= MIN_LEAD * next_best and latin >= MIN_SCRIPT_SHARE * letters
    return name if sure else ""


def languages_differ(one: str, other: str) -> bool:
    """Whether these are different languages; False if either is uncertain."""
    return bool(one and other and one != other) and not any(one in kin and other in kin for kin in SIMILAR_LANGUAGES)


def mentions_language(text: str) -> bool:
    """Whether the text names a language or asks for a translation, in any of a dozen languages."""
    return _SPOKEN_OF.search(fold_text(text)) is not None


def _evidence(found: list[str], name: str) -> tuple[int, int]:
    """Number of different frequent words of this language, and of the next best."""
    seen: dict[str, int] = {}
    for each in set(found):
        for one in STOP_WORDS.get(each, ()):
            seen[one] = seen.get(one, 0) + 1
    return seen.pop(name, 0), max(seen.values(), default=0)
