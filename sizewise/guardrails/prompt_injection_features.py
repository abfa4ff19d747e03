"""Feature hashing for the prompt injection classifier: words, n-grams and neighbors as table indexes.

Used when the table is written (bench/guardrails/train_prompt_injection.py) and when it is read (injection.py).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from math import sqrt
from unicodedata import combining, normalize
from zlib import crc32

TABLE_SIZE = 1 << 17  # places
TABLE_MASK = TABLE_SIZE - 1

FILE_HEADER = struct.Struct("<4sHff")
"""Of the file: MAGIC, FORMAT, what a step of a weight is worth, the bias; SIZE signed bytes follow, a weight each."""
MAGIC = b"swin"
FORMAT = 1

WINDOW_SIZES = (12, 32, 96)
"""Words that are judged together, each window half of itself after the last: a sentence, a paragraph, a page."""

MAX_WORD_LETTERS = 40  # letters of a word that are read

_ALONE = (
    r"\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # scripts whose letters are words, as they set no spaces
)
WORD = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+|[<>\[\]{{}}|#=*~`\-:\"]{{2,}}")
"""A run of letters and digits, one sign of a script without spaces, or a row of signs as in ### or <|."""

_ROWS = re.compile(r"([<>\[\]{}|#=*~`\-:\"]{2,})")
_LETTERS: Mapping[int, str] = {each: chr(each) if chr(each).isalnum() else " " for each in range(128)}


def tokenize_words(text: str) -> list[str]:
    """As WORD finds them; of ASCII alone, in a fourth of the time."""
    if not text.isascii():
        return WORD.findall(text)
    found = list[str]()
    for number, part in enumerate(_ROWS.split(text)):
        found += (part,) if number % 2 else part.translate(_LETTERS).split()
    return found


_LEET: Mapping[int, int] = str.maketrans("0134578", "oieastb")
_ALIKE: Mapping[int, int] = str.maketrans("аеорсухіјѕԁһοαεικνρτυ", "aeopcyxijsdhoaeikvptu")
"""Cyrillic and Greek letters that look like Latin ones, where a word mixes both."""


def fold_word(word: str) -> str:
    """Folded: no case, accents or width, numbers as 0, and what is written with look-alikes as it is read."""
    word = word[:MAX_WORD_LETTERS]
    if word.isascii():
        word = word.lower()
    else:
        word = "".join(each for each in normalize("NFKD", word).casefold() if not combining(each))
        if any("a" <= each <= "z" for each in word):
            word = word.translate(_ALIKE)
        word = normalize("NFC", word)
    if word.isdigit():
        return "0"
    if word.isalnum() and not word.isalpha() and sum(map(str.isalpha, word)) * 3 >= len(word) > 1:
        return word.translate(_LEET)
    return word


def ngram_buckets(word: str) -> list[int]:
    """Places of the parts of a word, 3 to 5 letters each; its ends count as letters."""
    if len(word) < 3 or not word[0].isalpha():
        return []
    framed = f"^{word}$"
    return [
        crc32(f"p{framed[at : at + size]}".encode()) & TABLE_MASK
        for size in (3, 4, 5)
        for at in range(len(framed) - size + 1)
    ]


def ngram_weight(count: int) -> float:
    """What each of a word's `count` pieces weighs, where the word weighs 1."""
    return 1.0 / sqrt(count) if count else 0.0


def word_buckets(word: str) -> tuple[int, int, int, int]:
    """Of a word: its place when it comes last, just before another, first of three, and first with one left out.

    The place of a pair is before ^ last, of a triple first ^ before ^ last, of a gap skipped ^ last.
    """
    mixed = crc32(word.encode("utf-8", "replace"))
    return (
        mixed & TABLE_MASK,
        (mixed * 0x9E3779B1 >> 7) & TABLE_MASK,
        (mixed * 0x85EBCA6B >> 9) & TABLE_MASK,
        (mixed * 0xC2B2AE35 >> 11) & TABLE_MASK,
    )


def window_norm(word_count: int) -> float:
    """What the sum over a window of so many words is divided by."""
    return sqrt(word_count + 2.0)


def word_windows(count: int) -> list[tuple[int, int]]:
    """Which of `count` words are judged together: the first, and the one after the last. Their number is linear."""
    found = list[tuple[int, int]]()
    for size in WINDOW_SIZES:
        if count <= size:
            found.append((0, count))
            break
        found += [(at, min(at + size, count)) for at in range(0, count - size // 2, size // 2)]
    return found
