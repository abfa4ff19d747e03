"""Passages of real text that is at hand everywhere, vectors made from their words, and questions with known answers.

The text is that of Python's standard library and of the packages installed beside Sizewise: prose, names and code, in
windows of 60 words. A vector is the sum of its words' random directions, each weighed by how rare it is: no model is
asked (100,000 passages would take an hour), and yet passages that share rare words are near. Recall by such vectors
says how well an index finds what is near, and nothing about how well an embedding model reads.
"""

from __future__ import annotations

import random
import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIZE = 384
WINDOW = 60  # words
WORD = re.compile(r"[A-Za-z]{2,}")
PARTS = 100
"""Each passage belongs to one part, by lot: a filter by part leaves one of a hundred."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Texts:
    """`questions[i]` was made from passage `answers[i]`."""

    passages: list[list[str]]
    vectors: Vectors  # (passages, SIZE), each of length 1
    parts: list[int]
    questions: list[list[str]]
    asked: Vectors
    answers: list[int]

    def nearest(self, many: int, part: int | None = None) -> list[list[int]]:
        """Of each question, by comparing all."""
        which = np.arange(len(self.passages)) if part is None else np.flatnonzero(np.array(self.parts) == part)
        told = []
        for question in self.asked:
            scores = self.vectors[which] @ question
            told.append([int(which[place]) for place in np.argsort(-scores)[:many]])
        return told


def term(word: str) -> int:
    """As good as a keyed one, for measuring."""
    return int.from_bytes(blake2b(word.encode(), digest_size=4).digest(), "big")


def made(many: int, questions: int) -> Texts:
    dice = random.Random(11)
    passages = list(islice(windows(dice), many))
    if len(passages) < many:
        raise SystemExit(f"there is text for {len(passages)} passages only: ask for fewer with --passages")
    common = Counter(word for passage in passages for word in set(passage))
    words = {word: number for number, (word, times) in enumerate(common.most_common(80_000)) if times < many / 10}
    places = {word: place for place, word in enumerate(words)}
    rare = np.array([np.log(many / common[word]) for word in words], dtype=np.float32)
    directions = np.random.default_rng(12).normal(size=(len(words), SIZE)).astype(np.float32) * rare[:, None]
    answers = [dice.randrange(many) for _ in range(questions)]
    asked = [_question(passages[answer], dice) for answer in answers]
    parts = [dice.randrange(PARTS) for _ in passages]
    return Texts(
        passages,
        _vectors(passages, places, directions),
        parts,
        asked,
        _vectors(asked, places, directions),
        answers,
    )


def windows(dice: random.Random) -> Iterator[list[str]]:
    """Words of each window, in lower case."""
    folders = [Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib"))]
    files = sorted({file for folder in folders for file in folder.rglob("*.py")})
    dice.shuffle(files)
    for file in files:
        words = [word.lower() for word in WORD.findall(file.read_text("utf-8", "replace")[:200_000])]
        for first in range(0, len(words) - WINDOW, WINDOW):
            window = words[first : first + WINDOW]
            if len(set(window)) > WINDOW / 3:  # no table of constants
                yield window


def _question(passage: list[str], dice: random.Random) -> list[str]:
    """Ten words of it in a row, every fourth forgotten."""
    first = dice.randrange(WINDOW - 10)
    return [word for place, word in enumerate(passage[first : first + 10]) if place % 4]


def _vectors(texts: list[list[str]], places: dict[str, int], directions: Vectors) -> Vectors:
    made = np.zeros((len(texts), SIZE), dtype=np.float32)
    for row, text in enumerate(texts):
        known = [places[word] for word in text if word in places]
        made[row] = directions[known].sum(axis=0) if known else directions[0]
    length = np.linalg.norm(made, axis=1, keepdims=True)
    return np.asarray(made / np.where(length == 0, 1, length), dtype=np.float32)
