"""Splits an answer, as it streams, into text and calls of offered tools that are written in it; runs nothing.

A call begins a line, in a form that tool_call_text.py knows, or stands in tags anywhere. What may become a
call waits until it is whole; other text passes at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType

from sizewise.routing.text.tool_call_text import WrittenCall, read_calls

MAX_HELD_CHARS = 262_144
"""Characters of a call that is not whole yet; a longer one is text."""
FENCE = "```"
ENDS: Mapping[str, str] = MappingProxyType({"<tool_call>": "</tool_call>", "<function=": "</function>", FENCE: FENCE})
"""What begins a call, and what ends it. Every other call ends with its last bracket."""
MISTRAL = "[TOOL_CALLS]"
TAGS = ("<tool_call>", "<function=", MISTRAL)
LANGUAGES = frozenset({"", "json", "python", "py", "tool_call", "tool_calls", "tool_code", "xml"})
KEYS = frozenset(
    {"name", "tool", "function", "tool_calls", "function_call", "type", "id", "index", "call_id", "role", "content"}
    | {"arguments", "parameters", "args", "input"}
)
"""First keys of an object that may be a call."""
_OBJECT = re.compile(r'[\[{\s]{1,64}"([^"\\]{0,64})"')
_OPEN_OBJECT = re.compile(r'[\[{\s]{1,64}(?:"[^"\\]{0,64})?')
_HEADER = re.compile(r"```([\w+-]{0,20})[ \t\r]{0,8}\n\s{0,64}")
_OPEN_HEADER = re.compile(r"```[\w+-]{0,20}[ \t\r]{0,8}(?:\n\s{0,64})?")
_BLANKS = re.compile(r"[ \t\r\n]*+")
_LIST = re.compile(r"\[\s{0,63}")
BEGIN_CHARS = 512
"""Characters that decide, beside the longest name of a tool, whether a call begins: the patterns here read fewer."""
_BRACKETS = re.compile(r"[\"'\\\[\](){}]")

Accept = Callable[[WrittenCall], bool]
"""Whether a call is of an offered tool, with arguments that it takes."""
Piece = str | list[WrittenCall]


class ToolCallSplitter:
    """`names`: of the offered tools. `feed` and `finish` yield what is sure, in order. Blank lines around calls are
    left out.
    """

    def __init__(self, names: Collection[str], accept: Accept) -> None:
        self._names = tuple(f"{name}(" for name in names)
        self._starts = (*TAGS, *self._names)
        self._begin_chars = BEGIN_CHARS + max(map(len, self._names), default=0)
        self._keys = KEYS | set(names)
        self._accept = accept
        self._held = ""
        self._blanks = 0  # characters at the start of `_held` that are known to be blank
        self._at_line_start = True
        self._has_calls = False
        self._end: _CallEnd | None = None  # of the call that `_held` begins with
        self._start = 0  # of that call: characters of blanks before it

    def feed(self, text: str) -> Iterator[Piece]:
        self._held += text
        return self._split(is_last=False)

    def finish(self) -> Iterator[Piece]:
        return self._split(is_last=True)

    def _split(self, is_last: bool) -> Iterator[Piece]:
        while self._held:
            if self._end is None:
                text = self._take_text(is_last)
                if text:
                    yield text
                if self._end is None:
                    if not text:
                        return
                    continue
            piece = self._take_call(is_last)
            if not piece:
                return
            yield piece

    def _take_text(self, is_last: bool) -> str:
        """Text that belongs to no call. Sets `_end` where one may begin; empty if more is needed to know that."""
        held, place = self._held, 0
        if is_last and self._has_calls and not held.strip():
            self._held = ""
        while place < len(self._held):
            if self._at_line_start:
                start = _end_of(_BLANKS, held, max(place, self._blanks))
                begins = self._begins(held[start : start + self._begin_chars])
                if begins or (begins is None and not is_last):
                    text = self._take(place, start - place if begins else None)
                    self._blanks = start - place
                    return text
                self._at_line_start, place = False, start
            line = held.find("\n", place)
            until = len(held) if line < 0 else line + 1
            tag = _first_tag(held, place, until)
            if tag is not None and held.startswith(TAGS, tag):
                return self._take(tag, 0)
            if tag is not None and not is_last:
                return self._take(tag)
            place, self._at_line_start = until, line >= 0
        return self._take(place)

    def _take_call(self, is_last: bool) -> Piece:
        """The calls, or the text that was none, that `_held` begins with; empty if its end has not come."""
        assert self._end is not None
        end = self._end.find(self._held)
        if end is None and not is_last and len(self._held) <= MAX_HELD_CHARS:
            return ""
        self._end = None
        taken = self._take(len(self._held) if end is None else end)
        calls = read_calls(taken[self._start :])
        if calls and all(self._accept(call) for call in calls):
            self._at_line_start = self._has_calls = True
            return calls
        self._at_line_start = taken.endswith("\n")
        return taken

    def _take(self, size: int, start: int | None = None) -> str:
        """The first characters. `start`: a call may begin that many characters after them."""
        taken, self._held, self._blanks = self._held[:size], self._held[size:], 0
        if start is not None:
            self._start, self._end = start, _CallEnd(self._held, start)
        return taken

    def _begins(self, text: str) -> bool | None:
        """Whether a call begins with this text; None if more of it is needed."""
        if text.startswith(FENCE):
            header = _HEADER.match(text)
            if header is None:
                return None if _OPEN_HEADER.fullmatch(text) else False
            if header[1] not in LANGUAGES:
                return False
            return self._begins_bare(text[header.end() :])
        return None if text and FENCE.startswith(text) else self._begins_bare(text)

    def _begins_bare(self, text: str) -> bool | None:
        if text.startswith(self._starts):
            return True
        if not text or _may_begin(self._starts, text):
            return None
        if text[0] == "[" and (rest := text[_end_of(_LIST, text) :]) and rest[0] not in '{["':
            return True if rest.startswith(self._names) else None if _may_begin(self._names, rest) else False
        key = _OBJECT.match(text)
        return key[1] in self._keys if key else None if _OPEN_OBJECT.fullmatch(text) else False


def _may_begin(starts: Collection[str], text: str) -> bool:
    return any(start.startswith(text) for start in starts)


def _end_of(pattern: re.Pattern[str], text: str, start: int = 0) -> int:
    found = pattern.match(text, start)
    return start if found is None else found.end()


def _first_tag(text: str, start: int, end: int) -> int | None:
    """Where a tag begins, or may begin with the last characters."""
    place = min((found for tag in TAGS if (found := text.find(tag, start, end)) >= 0), default=None)
    if place is not None or end < len(text):
        return place
    for mark in ("<", "["):
        last = text.rfind(mark, max(start, end - len(MISTRAL)), end)
        if last >= 0 and _may_begin(TAGS, text[last:end]):
            return last
    return None


class _CallEnd:
    """Finds where the call ends that begins at `start` of a text. Reads each character once, however it arrives."""

    def __init__(self, text: str, start: int) -> None:
        self._mark = next((end for begin, end in ENDS.items() if text.startswith(begin, start)), "")
        self._place = start + len(FENCE if self._mark == FENCE else MISTRAL if text.startswith(MISTRAL, start) else "")
        self._depth = 0
        self._quote = ""

    def find(self, text: str) -> int | None:
        """The place after the call; `text` begins with what was searched before."""
        if not self._mark:
            return self._find_bracket(text)
        found = text.find(self._mark, self._place)
        self._place = max(self._place, len(text) - len(self._mark) + 1)
        return None if found < 0 else found + len(self._mark)

    def _find_bracket(self, text: str) -> int | None:
        while (found := _BRACKETS.search(text, self._place)) is not None:
            mark, self._place = found[0], found.end()
            if self._quote:
                if mark == "\\" and self._place == len(text):
                    self._place -= 1  # what it escapes has not come
                    return None
                self._place += mark == "\\"
                self._quote = "" if mark == self._quote else self._quote
            elif mark in "\"'":
                self._quote = mark
            elif mark != "\\":
                self._depth += 1 if mark in "[({" else -1
                if self._depth <= 0:
                    return self._place
        self._place = len(text)
        return None
