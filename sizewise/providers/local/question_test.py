"""How many of 200 short questions a local model answers right; the questions are in questions.tsv.

Seven kinds: arithmetic, geography, science, history and culture, words, reading, order and logic. Written for this
test, each with the answers that count as right, so no judge is needed. It tells models apart, not fit from unfit.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files

from msgspec import Struct

TIME_LIMIT_S = 300.0
"""A slow model is asked as many as it answers by then; the order of the file is random."""
MAX_TOKENS = 24
INSTRUCTION = "Answer with one word or number."
_WORD = re.compile(r"\d+(?:[.-]\d+)?|\w+")
FILLERS = frozenset({"the", "a", "an", "it", "is", "answer", "that", "it's", "word", "number", "letter", "s"})
"""Words with which an answer may begin."""

Ask = Callable[[str, int], Awaitable[str]]
"""The answer to a question, with at most so many tokens."""
Progress = Callable[[int, int], None]
"""Called with the questions that are answered and all."""


class Question(Struct, frozen=True):
    kind: str
    text: str
    answers: tuple[str, ...]


class QuestionScore(Struct, frozen=True):
    asked: int
    right: int


def load_questions() -> list[Question]:
    text = files("sizewise.providers.local").joinpath("questions.tsv").read_text("utf-8")
    rows = (line.split("\t") for line in text.splitlines())
    return [Question(kind, question, tuple(answers.split("|"))) for kind, question, answers in rows]


async def measure_questions(ask: Ask, progress: Progress, clock: Callable[[], float] = time.monotonic) -> QuestionScore:
    questions, begun, right, asked = load_questions(), clock(), 0, 0
    for asked, question in enumerate(questions, 1):
        reply = await ask(f"{question.text} {INSTRUCTION}", MAX_TOKENS)
        right += is_right(reply, question)
        progress(asked, len(questions))
        if clock() - begun > TIME_LIMIT_S:
            break
    return QuestionScore(asked, right)


def is_right(reply: str, question: Question) -> bool:
    """Whether an answer stands in the first line of the reply. One that the question names itself has to begin it."""
    line = next((line for line in reply.splitlines() if line.strip()), "")
    words, named = _words(line), _words(question.text)
    while words and words[0] in FILLERS:
        words = words[1:]
    for answer in map(_words, question.answers):
        if words[: len(answer)] == answer or (not _contains(named, answer) and _contains(words, answer)):
            return True
    return False


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _contains(words: Sequence[str], part: Sequence[str]) -> bool:
    return any(words[at : at + len(part)] == part for at in range(len(words) - len(part) + 1))
