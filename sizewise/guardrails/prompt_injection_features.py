"""Feature hashing for the prompt injection classifier: words, n-grams and neighbors as table indexes.

Shared by training (bench/guardrails/train_prompt_injection.py) and inference (prompt_injection.py).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from math import sqrt
from unicodedata import combining, normalize
from zlib import crc32

TABLE_SIZE = 1 << 17  # weights
TABLE_MASK = TABLE_SIZE - 1

FILE_HEADER = struct.Struct("<4sHff")
"""MAGIC, FORMAT, quantization step, bias. TABLE_SIZE weights follow, a signed byte each."""
MAGIC = b"swin"
FORMAT = 1

WINDOW_SIZES = (12, 32, 96)
"""Words of a window: a sentence, a paragraph, a page. Windows overlap by half."""

MAX_WORD_LETTERS = 40  # further letters of a word are ignored

_ALONE = r"\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # scripts without spaces: each letter is a word
WORD = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+|[<>\[\]{{}}|#=*~`\-:\"]{{2,}}")
"""A run of letters and digits, one letter of a script without spaces, or a run of punctuation such as ### or <|."""

_ROWS = re.compile(r"([<>\[\]{}|#=*~`\-:\"]{2,})")
_LETTERS: Mapping[int, str] = {each: chr(each) if chr(each).isalnum() else " " for each in range(128)}


def tokenize_words(text: str) -> list[str]:
    """All matches of WORD. ASCII takes a fast path, in a quarter of the time."""
    if not text.isascii():
        return WORD.findall(text)
    found = list[str]()
    for number, part in enumerate(_ROWS.split(text)):
        found += (part,) if number % 2 else part.translate(_LETTERS).split()
    return found


_LEET: Mapping[int, int] = str.maketrans("0134578", "oieastb")
_ALIKE: Mapping[int, int] = str.maketrans("аеорсухіјѕԁһοαεικνρτυ", "aeopcyxijsdhoaeikvptu")
"""Cyrillic and Greek letters that look like Latin ones; applied to words that mix scripts."""


def fold_word(word: str) -> str:
    """`word` without case, accents and width; numbers become 0, look-alike letters and leetspeak become Latin."""
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
    """Table indexes of a word's n-grams of 3 to 5 letters; both ends count as letters."""
    if len(word) < 3 or not word[0].isalpha():
        return []
    framed = f"^{word}$"
    return [
        crc32(f"p{framed[at : at + size]}".encode()) & TABLE_MASK
        for size in (3, 4, 5)
        for at in range(len(framed) - size + 1)
    ]


def ngram_weight(count: int) -> float:
    """Weight of each of a word's `count` n-grams, relative to 1 for the word."""
    return 1.0 / sqrt(count) if count else 0.0


def word_buckets(word: str) -> tuple[int, int, int, int]:
    """Four hashes of a word: last, before, first, skipped.

    Table index of a word: last; a pair: before ^ last; a triple: first ^ before ^ last; a pair with a gap of one word:
    skipped ^ last.
    """
    mixed = crc32(word.encode("utf-8", "replace"))
    return (
        mixed & TABLE_MASK,
        (mixed * 0x9E3779B1 >> 7) & TABLE_MASK,
        (mixed * 0x85EBCA6B >> 9) & TABLE_MASK,
        (mixed * 0xC2B2AE35 >> 11) & TABLE_MASK,
    )


def window_norm(word_count: int) -> float:
    """Divisor of the sum over a window of `word_count` words."""
    return sqrt(word_count + 2.0)


def word_windows(count: int) -> list[tuple[int, int]]:
    """(first word, last word + 1) of each window of a text of `count` words; linear in number."""
    found = list[tuple[int, int]]()
    for size in WINDOW_SIZES:
        if count <= size:
            found.append((0, count))
            break
        found += [(at, min(at + size, count)) for at in range(0, count - size // 2, size // 2)]
    return found
