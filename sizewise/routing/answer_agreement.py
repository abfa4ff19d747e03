"""Answer agreement: whether two answers say the same after normalization. Knows no model and no correct answer.

Short answers are compared as values, tool calls by name and arguments in whatever format they are written
(text/tool_call_text.py), prose by its words (text/text_similarity.py). None if undecidable: two good paragraphs are
rarely equal.
"""

from __future__ import annotations

import json
import re
from ast import literal_eval
from collections import Counter
from collections.abc import Sequence

import msgspec

from sizewise.messages import Choice, Reply, ToolCall
from sizewise.routing.text.final_answer import final_answer
from sizewise.routing.text.text_similarity import LONG_TEXT_WORDS, UNSPACED, texts_agree
from sizewise.routing.text.tool_call_text import canonical_arguments, written_calls

_BLANK = re.compile(r"\s+")
_AROUND = " \t\n.,;:!\"'`*$"
_NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?%?\Z")
MAX_NORMALIZED = 2_000
"""Characters up to which an answer is normalized; longer answers must be equal."""
BARE_ANSWER_WORDS = 4  # words of a bare answer, without a sentence around it
TRUNCATED_FINISHES = frozenset({"length", "content_filter"})
_WORD = re.compile(r"[^\W_]+")
_OPTION = re.compile(r"\(?([A-Ja-j])[).:](?:\s|\Z)")
_SAYING = re.compile(
    r"[=:]|\b(?:is|are|was|it|that|the|makes|ist|sind|das|es|der|die|est|sont|c|son|que)\b",
    re.IGNORECASE,
)
"""What precedes a bare answer in a very short text: `It is Paris` states Paris, but `New York` does not state York."""
_NEGATED = re.compile(
    r"\b(?:not?|never|nicht|keine?|pas|niet|geen|inte)\b|n['’]t\b|[不没非]|ない|ません",
    re.IGNORECASE,
)


def replies_agree(one: Reply, other: Reply) -> bool | None:
    """Whether the first choices of two replies to one request agree. Symmetric.

    Tool calls agree if names and arguments are equal as JSON, in any order; a tool call and a text do not. None if a
    reply is empty or was cut before its answer, or if the text is undecidable.
    """
    if not one.choices or not other.choices:
        return None
    first, second = one.choices[0], other.choices[0]
    if first.tool_calls or second.tool_calls:
        if any(call.function is None for call in (*first.tool_calls, *second.tool_calls)):
            return None
        return Counter(map(_call, first.tool_calls)) == Counter(map(_call, second.tool_calls))
    if first.text.strip() != second.text.strip() and (_cut_short(first) or _cut_short(second)):
        return None
    return answers_agree(first.text, second.text)


def self_consistency(replies: Sequence[Reply]) -> float | None:
    """Self-consistency: the share of all non-empty choices that agree with the most common answer, itself included;
    above 0, up to 1. Undecidable pairs count as no agreement. None for fewer than two choices, or if every pair is
    undecidable (Wang et al. 2022, arXiv:2203.11171).
    """
    found = majority_answer(replies)
    return None if found is None else found[0]


def majority_answer(replies: Sequence[Reply]) -> tuple[float, int] | None:
    """`self_consistency`, and the index of the first reply with the most common answer."""
    said = [
        (place, Reply((choice,), reply.usage))
        for place, reply in enumerate(replies)
        for choice in reply.choices
        if choice.text.strip() or choice.tool_calls
    ]
    told = [[replies_agree(one, other) for _, other in said if other is not one] for _, one in said]
    if all(each is None for row in told for each in row):
        return None
    most = max(range(len(said)), key=lambda at: told[at].count(True))
    return (1 + told[most].count(True)) / len(said), said[most][0]


def answers_agree(one: str, other: str) -> bool | None:
    """Whether two textual answers agree; None if undecidable or if one is empty. Symmetric."""
    first, second = sorted((final_answer(one), final_answer(other)), key=lambda each: (_length(each), len(each), each))
    calls = written_calls(first)
    if calls is not None and (others := written_calls(second)) is not None:
        return calls == others
    known = same_answer(first, second)
    if known is not False:
        return known
    if not isinstance(normalize_answer(first), str) and not isinstance(normalize_answer(second), str):
        return False  # two values
    option = _OPTION.match(second) if len(first) == 1 else None
    if option is not None:
        return option[1].casefold() == first.casefold()
    if _length(first) > BARE_ANSWER_WORDS:
        return texts_agree(first, second)
    return _stated(first, second) if _length(second) <= LONG_TEXT_WORDS else None


def _stated(answer: str, text: str) -> bool | None:
    """Whether a short text states this bare answer: it ends with the answer and contains no negation."""
    said, tail = str(normalize_answer(text)).rstrip("。．"), str(normalize_answer(answer)).rstrip("。．")
    if UNSPACED.search(answer):
        before, ends = said.removesuffix(tail), said.endswith(tail)
    else:
        split = text.strip(_AROUND).split()
        at = len(split) - len(answer.split())
        before, ends = " ".join(split[:at]), bool(same_answer(" ".join(split[at:]), answer))
    if ends and (_length(text) > BARE_ANSWER_WORDS or _SAYING.search(before)):
        return None if _NEGATED.search(text) else True
    bare = _length(text) <= BARE_ANSWER_WORDS
    return None if not bare and (tail in said or _words(answer) in _words(text)) else False


def _length(text: str) -> int:
    """Words; in scripts without spaces, two characters count as one."""
    return len(text.split()) + len(UNSPACED.findall(text)) // 2


def _words(text: str) -> str:
    return " ".join(["", *_WORD.findall(text.casefold()), ""])


def _call(call: ToolCall) -> tuple[str, str]:
    assert call.function is not None
    arguments = call.function.arguments or "{}"
    try:
        return call.function.name, canonical_arguments(json.loads(arguments))
    except (ValueError, RecursionError):
        return call.function.name, arguments


def _cut_short(choice: Choice) -> bool:
    return choice.finish_reason in TRUNCATED_FINISHES and final_answer(choice.text) == choice.text.strip()


def same_answer(one: str | None, other: str | None) -> bool | None:
    """None if one of them is empty: that is neither agreement nor disagreement."""
    if not one or not other or not one.strip() or not other.strip():
        return None
    return one == other or (
        len(one) <= MAX_NORMALIZED and len(other) <= MAX_NORMALIZED and normalize_answer(one) == normalize_answer(other)
    )


def normalize_answer(answer: str) -> object:
    """Numbers as floats, JSON and Python literals as values, other text lower-case without whitespace."""
    bare = answer.strip(_AROUND)
    if _NUMBER.match(bare):
        return float(bare.rstrip("%").replace(",", ""))
    for read in (msgspec.json.decode, literal_eval) if bare[:1] in ("[", "(", "{", "t", "f", "T", "F") else ():
        try:
            value = read(bare)
        except (msgspec.DecodeError, ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
        if isinstance(value, (list, tuple, dict, set, bool)):
            return _plain(value)
    return _BLANK.sub("", bare).casefold()


def _plain(value: object) -> object:
    """Lists and tuples become equal; numbers become floats."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, set):
        return sorted(map(repr, value))
    return float(value) if isinstance(value, (int, float)) else value
