"""What a model repeats of the marks around its data, taken out of its answer, also where they come in pieces; pure."""

from __future__ import annotations

import re
from collections import Counter

from sizewise.guardrails.pseudonymization import Restore
from sizewise.guardrails.stream_unmasking import Window
from sizewise.guardrails.untrusted_content import SIGN, Marked

_LEFT, _RIGHT = r"(?:<|\\u003[cC])", r"(?:>|\\u003[eE])"
_LINE = r"(?:\n|\\n)"
_TOKEN = "[0-9a-f]{0,16}"
_ENDS = rf"(?: (?:{_TOKEN}{_RIGHT}{{0,2}})?)?"
_ESCAPE = r"(?:\\(?:u(?:0(?:0(?:3)?)?|e(?:0(?:0(?:0)?)?)?)?)?)?"

MARK = re.compile(
    rf"{_LEFT}{_LEFT}data ([0-9a-f]{{16}}){_RIGHT}{_RIGHT}{_LINE}?"
    rf"|{_LINE}?{_LEFT}{_LEFT}end ([0-9a-f]{{16}}){_RIGHT}{_RIGHT}"
)
"""A mark as a model writes it, also in JSON, with the line break that belongs to it."""
BEGUN = re.compile(
    rf"{_LINE}?(?:{_LEFT}{{1,2}}(?:d(?:a(?:t(?:a{_ENDS})?)?)?|e(?:n(?:d{_ENDS})?)?)?)?{_ESCAPE}\Z", re.DOTALL
)
"""What may become one, or a sign between words, at the end of a text; empty where nothing may."""
SUSPECT = re.compile(rf"[<\\\\\n{SIGN}]|[0-9a-f]\Z")
"""What a text has that holds a mark, a sign, or their beginning at its end."""
LONGEST = 80
OPENED = re.compile(rf"{_RIGHT}{_RIGHT}\\?\Z")
"""An opening mark whose line break may be still to come."""


class Unmarked(Restore):
    """The way back of a text between marks. The token itself is taken out wherever it stands."""

    def __init__(self, marks: Marked) -> None:
        super().__init__({}, Counter())
        self.token = marks.token
        self._throughout = marks.throughout

    def text(self, text: str) -> str:
        if self.token in text:
            text = MARK.sub(self._none, text).replace(self.token, "")
        if self._throughout:
            text = text.replace(SIGN, " ").replace("\\ue000", " ")
        return text

    def json(self, text: str) -> str:
        return self.text(text)

    def name(self, name: str) -> str:
        return name.replace(self.token, "")

    def _none(self, match: re.Match[str]) -> str:
        return "" if self.token in match.groups() else match.group()


class Unmarking(Window):
    """The end of what was said, as long as it may be the beginning of a mark."""

    __slots__ = ("_unmarked",)

    def __init__(self, restore: Restore, json: bool = False) -> None:
        super().__init__(restore, json)
        assert isinstance(restore, Unmarked)
        self._unmarked = restore

    def feed(self, text: str) -> str:
        if not self._kept and not SUSPECT.search(text) and self._unmarked.token not in text:
            return text
        text = self._kept + text
        cut = self._cut(text)
        self._kept = text[cut:]
        return self._unmarked.text(text[:cut])

    def rest(self) -> str:
        kept, self._kept = self._kept, ""
        return self._unmarked.text(kept)

    def _cut(self, text: str) -> int:
        """From where on it may go on to be a mark."""
        token, whole = self._unmarked.token, 0
        if token in text:
            for match in MARK.finditer(text):
                if match[1] == token and OPENED.search(text, match.start()) and len(text) - match.end() < 2:
                    return match.start()
                whole = match.end()
        begun = BEGUN.search(text, max(whole, len(text) - LONGEST))
        cut = len(text) if begun is None else begun.start()
        for size in range(len(token) - 1, 0, -1):
            if text.endswith(token[:size]):
                return min(cut, len(text) - size)
        return cut
