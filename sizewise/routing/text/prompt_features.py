"""Prompt features: the user's own words as normalized tokens, n-grams and numbers. Knows no model and no outcome.

Insensitive to case, accents, width, white space, politeness, contractions and doubled letters, so that a careless copy
of a question has the same features. Their meaning is learned in quality/predictor.py.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping
from itertools import pairwise
from math import log1p
from types import MappingProxyType
from unicodedata import combining, normalize

from sizewise.messages import ChatRequest

MAX_CHARS = 20_000
"""Characters that are read; of a longer text half from its start and half from its end."""

# A tag name with a hyphen or an underscore comes from a harness, never from HTML; the others are listed by name.
_TAG_NAME = r"([a-z]+[-_][\w-]*|context|attachment|attachments|document|documents|memory|env|environment)"
_OPENING_TAG = re.compile(rf"<{_TAG_NAME}\b[^<>]*>", re.IGNORECASE)
_CLOSING_TAG = re.compile(rf"</{_TAG_NAME}\s*>", re.IGNORECASE)
_PASTED_BEGIN = re.compile(r"^[ \t]*-{3,} *(?:begin|start)\b", re.IGNORECASE | re.MULTILINE)
_PASTED_END = re.compile(r"^[ \t]*-{3,} *end\b.*$", re.IGNORECASE | re.MULTILINE)
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+|\d+")
_SPACED: bytes = bytes(b if 97 <= b <= 122 else 48 if 48 <= b <= 57 else 32 for b in range(256))
"""Small ASCII text -> its letters, 0 for a digit, a space for all else: splits it ten times as fast as _WORD."""
_ZEROS = re.compile(r"0+")
_NUMBER = re.compile(r"\d+")
_SYMBOL = re.compile(r"[+=*/^()\[\]{}<>\\|&%$#@~]")
_LINE = re.compile(r"\n\s*")
_DOUBLED = re.compile(r"([a-z])\1+")
_POLITE = re.compile(
    r"^(?:hi|hello|hey)\b[!,.]*|\b(?:please|kindly|thanks|thank you|(?:can|could|would|will) you)\b"
    r"(?: tell me| help me)?[!,.:]*",
)
_COURTESY = ("please", "kindly", "thank", "can you", "ould you", "will you")
_GREETING = ("hi", "hello", "hey")
_IS = re.compile(r"\b(what|who|where|when|how|it|that|there|here|he|she)'s\b")  # elsewhere 's is a genitive
_CONTRACTED = (
    ("can't", "cannot"),
    ("won't", "will not"),
    ("n't", " not"),
    ("'re", " are"),
    ("'m", " am"),
    ("'ve", " have"),
    ("'ll", " will"),
    ("let's", "let us"),
)


def user_text(chat: ChatRequest) -> str:
    """The user's own words, from the last user message with any. Tool results and harness text do not count."""
    for message in reversed(chat.messages):
        if message.role == "user" and (words := strip_harness_text(message.text)):
            return words
    return ""


def strip_harness_text(text: str) -> str:
    """`text` without text added by a harness: `<system-reminder>…</system-reminder>` and other elements whose name has
    a hyphen or an underscore, `<context>` and similar, and `--- begin … --- end` blocks.
    """
    if "</" in text:
        text = _without_blocks(text, _OPENING_TAG, _CLOSING_TAG)
    if "---" in text:
        text = _without_blocks(text, _PASTED_BEGIN, _PASTED_END)
    return text.strip()


def _without_blocks(text: str, opening: re.Pattern[str], closing: re.Pattern[str]) -> str:
    """`text` with each block from an opening to the next closing of the same name replaced by a space.

    Linear in the text, which one pattern for a whole block is not: each opening without a closing reads to the end.
    """
    ends: dict[str, list[tuple[int, int]]] = {}
    for each in closing.finditer(text):
        ends.setdefault(each.group(1).lower() if closing.groups else "", []).append(each.span())
    if not ends:
        return text
    pieces: list[str] = []
    place = at = 0
    while (match := opening.search(text, at)) is not None:
        closings = ends.get(match.group(1).lower() if opening.groups else "", [])
        number = bisect_left(closings, (match.end(), 0))
        at = match.end()
        if number < len(closings):
            pieces.append(text[place : match.start()])
            place = at = closings[number][1]
    return " ".join([*pieces, text[place:]])


def fold_text(text: str) -> str:
    """Normalized text: one width, lower case, no accents on Latin letters, no contractions, no polite phrases."""
    if len(text) > MAX_CHARS:
        text = f"{text[: MAX_CHARS // 2]}\n{text[-MAX_CHARS // 2 :]}"
    if text.isascii():
        return _strip_courtesy(text.lower())
    folded = normalize("NFKD", text.replace("\u2019", "'")).casefold()
    return _strip_courtesy(normalize("NFC", "".join(c for c in folded if not combining(c) or c > "\u036f")))


def _strip_courtesy(folded: str) -> str:
    if "'" in folded:
        folded = _IS.sub(r"\1 is", folded)
        for short, long in _CONTRACTED:
            folded = folded.replace(short, long)
    folded = folded.strip()
    if folded.startswith(_GREETING) or any(word in folded for word in _COURTESY):  # a failing regex search is slow
        folded = _POLITE.sub("", folded).strip()
    return folded


def tokenize(folded: str) -> list[str]:
    """Runs of letters; every number is `0`; a Chinese or Japanese character is a word."""
    if folded.isascii():
        spaced = folded.encode("ascii").translate(_SPACED).decode("ascii")
        return (_ZEROS.sub(" 0 ", spaced) if "0" in spaced else spaced).split()
    return _WORD.findall(_NUMBER.sub("0", folded))


def ngrams(tokens: list[str]) -> list[str]:
    """The words, and each word with its successor."""
    return tokens + [f"{one} {two}" for one, two in pairwise(tokens)]


def collapse_doubled(tokens: list[str]) -> list[str]:
    """Each doubled letter once: a common typo, and hardly any two words differ by it alone."""
    return _DOUBLED.sub(r"\1", "\n".join(tokens)).split("\n") if tokens else []


SURFACE_FEATURES = (
    "log characters",
    "log words",
    "digits",
    "symbols",
    "different words",
    "word length",
    "log lines",
    "negation",
    "question mark",
    "formula",
)
"""The values of `surface_features`, in order."""


def surface_features(folded: str, tokens: list[str]) -> tuple[float, ...]:
    """Shape of a prompt: log counts, shares from 0 to 1, characters per word, and three flags of 0 or 1."""
    size = len(folded) - folded.count("  ") or 1
    number = len(tokens) or 1
    different = set(tokens)
    return (
        log1p(size),
        log1p(len(tokens)),
        tokens.count("0") / number,
        len(_SYMBOL.findall(folded)) / size,
        len(different) / number,
        min(size / number, 20.0),
        log1p(len(_LINE.findall(folded.strip()))),
        float("not" in different or "except" in different),
        float("?" in folded),
        float("\\" in folded or "$" in folded),
    )


_LISTED: Mapping[str, str] = {
    "en": "the of and to in is that it for was are with as his they be at have this from what which how why",
    "de": "der die das und ist nicht ein eine den dem mit fur auf ich sie wie was wir zu von im werden warum",
    "fr": "le la les des et est une dans que qui pour pas sur avec ce il sont du au quel quelle comment vous",
    "es": "el los las una que en por con para como se del es al mas cual son pero su lo este porque cuando",
    "it": "gli una che di per con non sono della del nel come piu questo alla dei delle perche quale anche",
    "pt": "os uma que em para com nao por mais como dos das ao ele seu sua qual sao voce isso porque foi",
    "nl": "het een van en dat niet zijn op met voor aan wat hoe ook maar wordt naar deze bij waarom welke",
    "pl": "nie na jest ze sie do jak to czy dla przez od jego oraz ktory ktora dlaczego kiedy jaki jest po",
    "tr": "bir ve bu icin ile ne nasil olarak daha gibi var mi neden hangi olan cok en ama kadar sonra",
    "sv": "och att det som en for av ar den inte med till ett om har vad hur varfor vilken eller kan",
}
STOP_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        word: tuple(name for name, listed in _LISTED.items() if word in listed.split())
        for word in " ".join(_LISTED.values()).split()
    },
)
"""Frequent words, as in `tokenize`, and the languages in which they are frequent; enough for a guess."""

_SCRIPTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af\u1100-\u11ff]")),
    ("zh", re.compile(r"[\u3400-\u9fff]")),
    ("cyrillic", re.compile(r"[\u0400-\u052f]")),
    ("greek", re.compile(r"[\u0370-\u03ff]")),
    ("arabic", re.compile(r"[\u0600-\u06ff]")),
    ("hebrew", re.compile(r"[\u0590-\u05ff]")),
    ("indic", re.compile(r"[\u0900-\u0dff]")),
    ("thai", re.compile(r"[\u0e00-\u0e7f]")),
)
MIN_SCRIPT_SHARE = 0.2  # of the letters: a Greek letter in a formula does not make a text Greek
MIN_STOP_WORD_LEAD = 2  # stop words that a language needs in addition to the number of English ones


def guess_language(folded: str, tokens: list[str]) -> str:
    """A guess: `en` and nine more by their stop words, other scripts by their letters; `none` if neither decides, as in
    code, formulas and very short texts.
    """
    if not folded.isascii():
        letters = sum(map(len, tokens)) or 1
        for name, script in _SCRIPTS:
            if len(script.findall(folded)) >= MIN_SCRIPT_SHARE * letters:
                return name
    seen: dict[str, int] = {}
    for word in set(tokens):
        for name in STOP_WORDS.get(word, ()):
            seen[name] = seen.get(name, 0) + 1
    english = seen.pop("en", 0)
    best = max(seen, key=lambda name: seen[name], default="none")
    if best != "none" and seen[best] >= english + MIN_STOP_WORD_LEAD:
        return best
    return "en" if english else "none"
