"""Final-answer extraction: the part that a reasoning reply marks as its answer. Does not judge correctness.

The last mark counts: \\boxed{X}, #### X, "the answer is X", "Answer: X" (in six languages), or a short last paragraph
that is a value or in bold. An enclosing code fence is removed. A reply without a mark is its own final answer.
"""

from __future__ import annotations

import re

MAX_TAIL_CHARS = 4_000  # characters at the end that are searched for a mark
MAX_LONE_CHARS = 40  # characters of a short last paragraph
MAX_LONE_WORDS = 4

_ANSWER = re.compile(
    r"\b(?:answer|antwort|ergebnis|réponse|respuesta|risposta|resposta)\b[*_]*\s*"
    r"(?:(?:is|ist|lautet|est|es|è|é)\b\s*:?|[:=])[*_]*\s*(?=\S)"
    r"(?!(?:not|that|because|it|complex|nicht|dass|weil)\b)",
    re.IGNORECASE,
)
_HASHES = re.compile(r"^####\s+(?=\S)", re.MULTILINE)
_BOXED = re.compile(r"\\boxed\s*\{")
_WRAPPED = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}")
_END = re.compile(r"(?<=[.!?])[*_\"”]*\s+(?=[A-ZÀ-Þ(])|\n")
_VALUE = re.compile(
    r"[-+$€£]?\d\S*(?:\s\S+)?|[A-Ja-j]|\[.*\d.*\]|\{.*\}|(\*\*|__)[^*_]+\1|true|false|yes|no",
    re.IGNORECASE,
)
_FENCED = re.compile(r"(`{3,})[\w+-]*\n(.*)\n\1\Z", re.DOTALL)
_AROUND = " \t\n*_$"


def final_answer(text: str) -> str:
    """Stripped, and idempotent: final_answer(final_answer(x)) == final_answer(x)."""
    text = text.strip()
    while (shorter := _marked(text[-MAX_TAIL_CHARS:]).strip()) and len(shorter) < len(text):
        text = shorter
    return text


def _marked(text: str) -> str:
    """The text that the last mark marks; empty without a mark."""
    fenced = _FENCED.match(text)
    if fenced is not None and fenced[1] not in fenced[2]:
        return fenced[2].strip()
    marks = [(match.start(), match) for mark in (_ANSWER, _HASHES, _BOXED) for match in mark.finditer(text)]
    if not marks:
        return _lone(text)
    match = max(marks, key=lambda each: each[0])[1]
    rest = text[match.end() :]
    if match.re is _BOXED:
        return _WRAPPED.sub(r"\1", _closed(rest)).strip()
    return _END.split(rest, maxsplit=1)[0].strip(_AROUND).rstrip(".").strip(_AROUND)


def _closed(text: str) -> str:
    """The text up to the closing brace; all of it if there is none."""
    depth = 1
    for place, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[:place]
    return text


def _lone(text: str) -> str:
    before, blank, last = text.rpartition("\n\n")
    last = last.strip()
    if not blank or "```" in text or len(last) > MAX_LONE_CHARS or len(last.split()) > MAX_LONE_WORDS:
        return ""
    signed = before.rstrip().endswith(",")  # as a letter is signed
    return last.strip(_AROUND).rstrip(".") if not signed and _VALUE.fullmatch(last.rstrip(".")) else ""
