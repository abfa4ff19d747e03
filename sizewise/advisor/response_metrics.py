"""Response metrics: word count, reading grade and key-fact recall; calls no model.

Each fact is declared with regular expressions. They match words, not truth: "the speed of light is not constant" counts
as the fact. An unforeseen wording is missed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sizewise.errors import BadRequest
from sizewise.evals.linear_regex import compile_linear

FORMULA = "Flesch-Kincaid grade, English only"
LEAST_WORDS = 30
"""Minimum for the reading grade: its averages mean nothing for a sentence or two."""
ENGLISH = 0.15
"""Share of ENGLISH_WORDS from which a text is taken for English; English prose has 0.25 to 0.4."""
ENGLISH_WORDS = frozenset(
    (
        "the",
        "of",
        "and",
        "to",
        "is",
        "that",
        "it",
        "with",
        "for",
        "as",
        "are",
        "this",
        "be",
        "not",
        "by",
        "from",
        "have",
    ),
)
"""Frequent in English and not in related languages (so without a, in, on, an, was, no)."""

FENCED = re.compile(r"^[ \t]*```.*?^[ \t]*```", re.MULTILINE | re.DOTALL)
WORD = re.compile(r"\w+(?:['’-]\w+|[.,]\d+)*")
LETTERS = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
SENTENCE_END = re.compile(r"(?<![.!?])[.!?]+[\"')\]*]*(?=\s|$)|\n+")
VOWELS = re.compile(r"[aeiouyà-öø-ÿ]+")
SILENT = re.compile(r"(?<=[^laeiouy])(?:e|es|ed)$|(?<=[aeiouy]l)(?:e|es|ed)$")
SOUNDED = re.compile(r"(?:[td]ed|[sxzc]es|[sc]hes|ges)$")
DRAWN = re.compile(r"[*_`]|\\[()\[\]]|\$")
"""Markup of Markdown and TeX, to be removed."""


@dataclass(frozen=True, slots=True)
class KeyFact:
    """`patterns`: case-insensitive regular expressions; one match is enough."""

    name: str
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ResponseMetrics:
    """`reading_grade`: US school grade by FORMULA; None for short or non-English texts. `facts`: names of the facts
    found.
    """

    words: int
    reading_grade: float | None
    facts: tuple[str, ...]


def measure_response(answer: str, facts: Sequence[KeyFact] = ()) -> ResponseMetrics:
    """Raises BadRequest for an invalid regular expression."""
    return ResponseMetrics(
        len(WORD.findall(answer)),
        reading_grade(answer),
        tuple(fact.name for fact in facts if contains_fact(answer, fact)),
    )


def reading_grade(text: str) -> float | None:
    """0.39 * words / sentences + 11.8 * syllables / words - 15.59 (Kincaid, Fishburne, Rogers, Chissom 1975).

    Ignores fenced code. A line break ends a sentence, as in lists and headings. Syllables are approximated by groups of
    vowels without a silent e, as is usual.
    """
    prose = FENCED.sub("\n", text)
    words = LETTERS.findall(prose)
    if len(words) < LEAST_WORDS or not is_english(words):
        return None
    sentences = sum(1 for part in SENTENCE_END.split(prose) if LETTERS.search(part))
    return round(0.39 * len(words) / sentences + 11.8 * sum(map(count_syllables, words)) / len(words) - 15.59, 1)


def is_english(words: Sequence[str]) -> bool:
    return sum(word.lower() in ENGLISH_WORDS for word in words) >= ENGLISH * len(words) > 0


def count_syllables(word: str) -> int:
    """At least 1."""
    spoken = word.lower()
    if not SOUNDED.search(spoken):
        spoken = SILENT.sub("", spoken)
    return max(1, len(VOWELS.findall(spoken)))


def contains_fact(answer: str, fact: KeyFact) -> bool:
    said = _plain(answer)
    return any(_pattern(fact.name, each)(said) for each in fact.patterns)


def parse_facts(declared: Mapping[str, object]) -> tuple[KeyFact, ...]:
    """Name -> a pattern, or a list of them. Raises BadRequest for anything else."""
    found = []
    for name, wanted in declared.items():
        patterns = [wanted] if isinstance(wanted, str) else wanted
        if not isinstance(patterns, list) or not patterns or not all(isinstance(p, str) and p for p in patterns):
            raise BadRequest(f"the fact {name!r} has no patterns", "write a pattern or a list of patterns, as strings")
        for each in patterns:
            _pattern(name, each)
        found.append(KeyFact(name, tuple(patterns)))
    if not found:
        raise BadRequest("there are no facts", 'add them below [facts]: "time dilation" = ["time dilat"]')
    return tuple(found)


def _pattern(name: str, pattern: str) -> Callable[[str], bool]:
    try:
        return compile_linear(pattern)
    except BadRequest as why:
        hint = f"patterns are regular expressions; write a literal ( or * as \\( or \\*. {why.hint}"
        raise BadRequest(f"the fact {name!r} has an invalid pattern, {pattern!r}", hint) from why


def _plain(text: str) -> str:
    """One line, marks of Markdown and TeX dropped, ² as 2, curly apostrophes straight, every dash a hyphen."""
    told = unicodedata.normalize("NFKC", DRAWN.sub("", text)).replace("’", "'")
    return " ".join(re.sub("[\u2010-\u2015\u2212]", "-", told).split())


EXAMPLE_PROMPT = "Can you explain the theory of relativity and how it changed our understanding of space and time?"

EXAMPLE_FACTS = (
    KeyFact("special and general theory", (r"\bspecial\b.*\bgeneral\b", r"\bgeneral\b.*\bspecial\b")),
    KeyFact(
        "the same laws of physics for every observer",
        (r"laws? of (?:physics|nature)[^.]{0,80}\b(?:same|identical|invariant)", r"principle of relativity"),
    ),
    KeyFact(
        "the speed of light is the same for every observer",
        (
            r"speed of light[^.]{0,120}\b(?:constant|same|invariant|independent|fixed|absolute|unchang)",
            r"\b(?:constant|same|invariant|constancy)[^.]{0,60}speed of light",
            r"light[^.]{0,40}\bsame speed",
        ),
    ),
    KeyFact("simultaneity is relative", (r"simultane",)),
    KeyFact(
        "time dilation",
        (
            r"time[- ]dilat",
            r"dilation of time",
            r"clocks?\b[^.]{0,80}\bslow",
            r"\btime\b[^.]{0,60}\b(?:slows?|slower|slowly|slowed|slowing)\b",
        ),
    ),
    KeyFact(
        "length contraction",
        (
            r"length[- ]contract",
            r"contraction of length",
            r"\b(?:objects?|rulers?|lengths?)\b[^.]{0,60}\b(?:contract|short)",
        ),
    ),
    KeyFact(
        "mass is energy, E = mc²",
        (
            r"\be ?= ?m ?[·×x]? ?c ?\^? ?\{?2",
            r"mass[- ]+energy equivalence",
            r"(?:mass and energy|energy and mass)[^.]{0,60}(?:equivalent|interchangeable|same|converted|related)",
            r"equivalence (?:of|between) (?:mass and energy|energy and mass)",
        ),
    ),
    KeyFact("space and time are one: spacetime", (r"\bspace-? ?time\b",)),
    KeyFact(
        "space and time are not absolute",
        (
            r"\b(?:space|time)\b[^.]{0,80}\b(?:not|no longer|neither)\b[^.]{0,30}\b(?:absolute|fixed|separate)",
            r"\b(?:space|time)\b[^.]{0,60}\b(?:is|are|be) relative\b",
            r"\b(?:depend\w*|relative)\b[^.]{0,40}\b(?:observer|frames? of reference|relative motion)",
        ),
    ),
    KeyFact(
        "spacetime is curved",
        (
            r"(?:curv|warp|bend|bent|distort)[^.]{0,60}\bspace-? ?time",
            r"space-? ?time[^.]{0,80}(?:curv|warp|bend|bent|distort)",
        ),
    ),
    KeyFact(
        "gravity is curvature and not a force",
        (
            r"gravit[^.]{0,120}(?:curv|warp|geometr)",
            r"(?:curv|warp|geometr)[^.]{0,120}gravit",
            r"gravit[^.]{0,60}\bnot an? (?:\w+ )?force",
        ),
    ),
    KeyFact(
        "gravity and acceleration are equivalent",
        (r"equivalence principle", r"principle of equivalence", r"accelerat[^.]{0,80}(?:indistinguish|equivalent)"),
    ),
    KeyFact(
        "gravity bends light and slows clocks",
        (
            r"\b(?:star)?light\b[^.]{0,60}\b(?:bend|bent|deflect)",
            r"\b(?:bend|deflect)\w*[^.]{0,40}\b(?:star)?light\b",
            r"gravitational (?:lens|time|redshift)",
        ),
    ),
    KeyFact(
        "it was confirmed by measurement",
        (r"\bgps\b", r"perihelion", r"\bmercury\b", r"\beclipse\b", r"gravitational waves?", r"\bmuons?\b"),
    ),
)
"""Facts that a good answer to EXAMPLE_PROMPT contains. The patterns were written before any answer was seen."""
