"""Features of the named-entity tagger: a text as tokens, and each token's clues as rows of a table of weights.

Shared by training (bench/guardrails/train_names.py) and inference (entity_tagger.py). Needs the standard library alone.
"""

from __future__ import annotations

import re
import struct
from zlib import crc32

LABELS = ("", "PERSON", "PLACE", "ORGANIZATION", "ADDRESS")
"""What a token can belong to; the first is nothing."""

TABLE_SIZE = 1 << 17  # rows of len(LABELS) weights
TABLE_MASK = TABLE_SIZE - 1
FILE_HEADER = struct.Struct("<4sHff25f")
"""MAGIC, FORMAT, size of a quantization step, bias of "nothing", and the weight of each label after each. The rows
follow, a signed byte a weight."""
MAGIC = b"swne"
FORMAT = 1

TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+|\n|[^\w\s]|_")
"""A word, a number, a line break or a sign."""
EDGE = "<>"
"""The token before the first and after the last."""
MAX_LETTERS = 30  # further letters of a word are ignored

Keys = tuple[list[int], list[int], list[int], list[int], list[int], int, int]
"""Rows of a token itself, as the one before, after, two before and two after another; its hash and its shape's."""


def shape(word: str) -> str:
    """The letters' case and the number of digits: `Xx`, `XX`, `xx`, `dd4`; others as they are."""
    if word.isdigit():
        return f"d{min(len(word), 6)}"
    if not word[0].isalpha():
        return word
    if len(word) == 1:
        return "X" if word.isupper() else "x"
    if word.islower():
        return "xx" if len(word) > 3 else "x3"
    if word.isupper():
        return "XX" if len(word) > 3 else "X3"
    if word[0].isupper() and word[1:].islower():
        return "Xx"
    return "xX" if word[0].islower() else "XxX"


def word_keys(word: str) -> Keys:
    """The rows and hashes that depend on a token alone."""
    word = word[:MAX_LETTERS]
    low, form = ("0" if word.isdigit() and len(word) > 2 else word.lower()), shape(word)
    end, begin = low[-3:], low[:3]
    own = [f"w{low}", f"s{form}"]
    if word[0].isalpha():
        own += [f"p{begin}{form}", f"q{low[:4]}", f"x{low[-2:]}{form}", f"y{end}", f"z{low[-4:]}"]
        framed = f"^{low}$"
        own += [f"t{framed[at : at + 4]}" for at in range(1, len(framed) - 4)]
    return (
        [_row(each) for each in own],
        [_row(each) for each in (f"A{low}", f"B{form}", f"C{end}")],
        [_row(each) for each in (f"D{low}", f"E{form}", f"F{end}")],
        [_row(each) for each in (f"G{low}", f"H{form}")],
        [_row(each) for each in (f"I{low}", f"J{form}")],
        crc32(low.encode("utf-8", "replace")),
        crc32(form.encode("utf-8", "replace")),
    )


def _row(key: str) -> int:
    return crc32(key.encode("utf-8", "replace")) & TABLE_MASK


def pair_rows(before: int, word: int) -> tuple[int, int]:
    """Rows of two neighbors by their hashes: the first for the left one, the second for the right one."""
    mixed = (before * 0x9E3779B1 ^ word * 0x85EBCA6B) & 0xFFFFFFFF
    return (mixed >> 5) & TABLE_MASK, (mixed >> 9 ^ 0x155) & TABLE_MASK


def shape_row(before: int, word: int, after: int) -> int:
    """Row of three neighbors by the hashes of their shapes, for the middle one."""
    return ((before * 0x9E3779B1 ^ word * 0x85EBCA6B ^ after * 0xC2B2AE35) >> 7) & TABLE_MASK
