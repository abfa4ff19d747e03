"""Finds hidden text: invisible Unicode, encoded payloads, and comments that a reader does not see.

Covers zero-width characters, tags and direction overrides; comments and invisible elements of HTML; instructions in
base64, hexadecimal, binary and percent encoding; words with a gap between all letters.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Iterator
from urllib.parse import unquote

from sizewise.guardrails.long_words import long_words

Span = tuple[int, int, float]
"""Start, end, score (0..1)."""

Encoding = tuple[Callable[[str], object], re.Pattern[str], Callable[[str], str]]
"""A cheap check without false negatives, the pattern, and the decoder of a match."""

SURE_SCORE = 0.99  # for characters that are suspicious by themselves
MIN_ENCODED_CHARS = 24  # shortest encoded text
MAX_DECODED_CHARS = 4_000  # of each match
MAX_PLACES = 64  # matches examined per kind

_TAGS = re.compile("[\U000e0000-\U000e007f]+")
_FLAG = "\U0001f3f4"  # black flag; followed by tags in the flags of England, Scotland and Wales
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
_THIN = re.compile("[\u200b\u200c\u200d\u2060-\u2064\ufeff\u180e]")
_ROW = re.compile("[\u200b\u200c\u200d\u2060-\u2064\ufeff\u180e]{8,}")
_CUT = re.compile("[A-Za-z]([\u200b\u200c\u200d\u2060-\u2064\ufeff\u180e\u00ad]+)[A-Za-z]")
_TURNED = re.compile("[\u202d\u202e]")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufefc]")
_CODED = re.compile(rf"[A-Za-z0-9+/_-]{{{MIN_ENCODED_CHARS},}}={{0,2}}")
_HEX = re.compile(rf"(?:[0-9a-fA-F]{{2}}[ :]?){{{MIN_ENCODED_CHARS},}}")
_PERCENT = re.compile(rf"(?:%[0-9a-fA-F]{{2}}){{{MIN_ENCODED_CHARS // 2},}}")
SHORT_TOKENS = re.compile(r"(?<!\S)(?:(?:\S{1,2}[ :]){8}|[01]{8} [01]{8})")
_FEW = re.compile(" ..?" * 5 + " ")
_EIGHTS = re.compile("[01][01]{7} ?[01]{8}")
"""_FEW or _EIGHTS matches every text that SHORT_TOKENS matches, with colons as spaces, and is ten times as fast."""
_LONG = 15  # characters
"""A text without a word this long and without SHORT_TOKENS encodes nothing."""
_BITS = re.compile(r"(?:[01]{8} ?){12,}")
_GAPS = re.compile(r"(?<!\w)\w(?:[ .\-_*]\w(?!\w)){7,}")
_TELLING = re.compile(
    "(ignore|disregard|forget|override|bypass|reveal|previous|prior|instructions?|rules|system|prompt|password|secret"
    "|jailbreak|restrictions|developer|everything|above|your|all|the|and|print|show|you|are|now)",
)
"""Words of instructions, to restore spaces in a text whose gaps are all alike."""
_UNSEEN = re.compile(
    r"""<[a-z][a-z0-9]{0,15}\s[^<>]{0,300}?
    (?:display\s?:\s?none|visibility\s?:\s?hidden|font-size\s?:\s?0|opacity\s?:\s?0[;"'.\s]
    |(?<![-\w])color\s?:\s?(?:white|\#fff(?:fff)?|transparent|rgba?\(255,\s?255,\s?255)|(?<=\s)hidden[\s>=])""",
    re.IGNORECASE | re.VERBOSE,
)
_ELEMENT = 2_000  # characters of an invisible element that are examined


def find_hidden_text(text: str, score_text: Callable[[str], float], threshold: float) -> list[Span]:
    """Spans of hidden text. `score_text` is the probability that a text is an instruction, 0..1. Decoded or invisible
    text is reported above `threshold`.
    """
    found = list[Span]()
    if not text.isascii():
        found += _unseen_signs(text, score_text, threshold)
    for start, end, said in _places(text):
        if said and (score := score_text(said)) > threshold:
            found.append((start, end, score))
    return found


def _places(text: str) -> Iterator[tuple[int, int, str]]:
    if "<!--" in text:
        yield from _comments(text)
    if "<" in text and ("style" in text or "STYLE" in text or "hidden" in text or "HIDDEN" in text):
        yield from _elements(text)
    if not may_be_encoded(text):
        return
    for look, pattern, decode in ENCODINGS:
        if look(text):
            for _, match in zip(range(MAX_PLACES), pattern.finditer(text), strict=False):
                yield *match.span(), decode(match.group())


def may_be_encoded(text: str) -> bool:
    """Whether the text could hold an encoding: it has longer or shorter words than prose."""
    if long_words(text, _LONG) and max(map(len, text.split())) >= _LONG:
        return True
    short = _FEW.search(text.replace(":", " ")) or _EIGHTS.search(text)
    return short is not None and SHORT_TOKENS.search(text) is not None


def _comments(text: str) -> Iterator[tuple[int, int, str]]:
    end = 0
    for _ in range(MAX_PLACES):
        start = text.find("<!--", end)
        if start < 0:
            return
        closed = text.find("-->", start + 4)
        inside = text[start + 4 :] if closed < 0 else text[start + 4 : closed]
        end = len(text) if closed < 0 else closed + 3
        yield start, end, inside[:MAX_DECODED_CHARS]


def _elements(text: str) -> Iterator[tuple[int, int, str]]:
    for _, match in zip(range(MAX_PLACES), _UNSEEN.finditer(text), strict=False):
        opened = text.find(">", match.start(), match.start() + _ELEMENT)
        if opened >= 0:
            closed = text.find("</", opened, opened + _ELEMENT)
            end = min(len(text), opened + _ELEMENT) if closed < 0 else closed
            yield match.start(), end, text[opened + 1 : end]


def _unseen_signs(text: str, score_text: Callable[[str], float], threshold: float) -> Iterator[Span]:
    for match in _TAGS.finditer(text):
        if match.start() == 0 or text[match.start() - 1] != _FLAG:
            yield *match.span(), SURE_SCORE
    for pattern in (_SELECTORS, _ROW):
        for match in pattern.finditer(text):
            yield *match.span(), SURE_SCORE
    if not _RIGHT_TO_LEFT.search(text):
        for match in _TURNED.finditer(text):
            yield *match.span(), SURE_SCORE
    cuts = [match.span(1) for match in _CUT.finditer(text)]
    if cuts and (score := score_text(_THIN.sub("", text).replace("\u00ad", ""))) > threshold:
        yield cuts[0][0], cuts[-1][1], score


def _base64(said: str) -> str:
    if said.isalpha() and (said.islower() or said.isupper()):
        return ""  # an ordinary long word
    letters = said[:MAX_DECODED_CHARS].rstrip("=").replace("-", "+").replace("_", "/")
    letters = letters[: len(letters) // 4 * 4] if len(letters) % 4 == 1 else letters + "=" * (-len(letters) % 4)
    try:
        return _spoken(b64decode(letters))
    except (Error, ValueError):
        return ""


def _hexadecimal(said: str) -> str:
    digits = re.sub("[ :]", "", said[:MAX_DECODED_CHARS])
    return _spoken(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _percent(said: str) -> str:
    return unquote(said[:MAX_DECODED_CHARS], errors="replace")


def _closed(said: str) -> str:
    return _TELLING.sub(r" \1 ", re.sub(r"[ .\-_*]", "", said[:MAX_DECODED_CHARS]).lower())


def _bits(said: str) -> str:
    return _spoken(bytes(int(each, 2) for each in re.findall("[01]{8}", said[:MAX_DECODED_CHARS])))


def _spoken(data: bytes) -> str:
    """`data` as text; empty if it is not UTF-8 or less than 95 % printable."""
    try:
        said = data.decode()
    except UnicodeDecodeError:
        return ""
    return said if sum(map(str.isprintable, said)) * 20 >= len(said) * 19 else ""


ENCODINGS: tuple[Encoding, ...] = (
    (lambda text: long_words(text, MIN_ENCODED_CHARS), _CODED, _base64),
    (re.compile(r"[0-9a-fA-F][0-9a-fA-F](?:[ :]?[0-9a-fA-F]{2}){7}").search, _HEX, _hexadecimal),
    (lambda text: text.count("%") >= MIN_ENCODED_CHARS // 2, _PERCENT, _percent),
    (_EIGHTS.search, _BITS, _bits),
    (re.compile(r"[ .\-_*]\w[ .\-_*]\w[ .\-_*]\w").search, _GAPS, _closed),
)
