"""Removes spotlighting markers that a model repeats in its reply, also across stream chunks."""

from __future__ import annotations

import re
from collections import Counter

from sizewise.guardrails.pseudonymization import Unmasker
from sizewise.guardrails.stream_unmasking import StreamUnmasker
from sizewise.guardrails.untrusted_content import DATAMARK, ContentMarkers

_LEFT, _RIGHT = r"(?:<|\\u003[cC])", r"(?:>|\\u003[eE])"
_LINE = r"(?:\n|\\n)"
_TOKEN = "[0-9a-f]{0,16}"
_ENDS = rf"(?: (?:{_TOKEN}{_RIGHT}{{0,2}})?)?"
_ESCAPE = r"(?:\\(?:u(?:0(?:0(?:3)?)?|e(?:0(?:0(?:0)?)?)?)?)?)?"

MARKER = re.compile(
    rf"{_LEFT}{_LEFT}data ([0-9a-f]{{16}}){_RIGHT}{_RIGHT}{_LINE}?"
    rf"|{_LINE}?{_LEFT}{_LEFT}end ([0-9a-f]{{16}}){_RIGHT}{_RIGHT}",
)
"""A marker as a model writes it, also JSON-escaped, with its line break."""
PARTIAL_MARKER = re.compile(
    rf"{_LINE}?(?:{_LEFT}{{1,2}}(?:d(?:a(?:t(?:a{_ENDS})?)?)?|e(?:n(?:d{_ENDS})?)?)?)?{_ESCAPE}\Z",
    re.DOTALL,
)
"""An incomplete marker, or an escape that may become a datamark, at the end of a text; empty if there is none."""
POSSIBLE_MARKER = re.compile(rf"[<\\\\\n{DATAMARK}]|[0-9a-f]\Z")
"""Matches every text that holds a marker, a datamark or, at its end, the beginning of either."""
MAX_MARKER_CHARS = 80
OPENING_MARKER_END = re.compile(rf"{_RIGHT}{_RIGHT}\\?\Z")
"""An opening marker whose line break may still follow."""


class MarkerRemover(Unmasker):
    """Removes markers and datamarks from a reply, and the token wherever it appears."""

    def __init__(self, markers: ContentMarkers) -> None:
        super().__init__({}, Counter())
        self.token = markers.token
        self._datamarked = markers.datamarked

    def text(self, text: str) -> str:
        if self.token in text:
            text = MARKER.sub(self._none, text).replace(self.token, "")
        if self._datamarked:
            text = text.replace(DATAMARK, " ").replace("\\ue000", " ")
        return text

    def json(self, text: str) -> str:
        return self.text(text)

    def name(self, name: str) -> str:
        return name.replace(self.token, "")

    def _none(self, match: re.Match[str]) -> str:
        return "" if self.token in match.groups() else match.group()


class StreamMarkerRemover(StreamUnmasker):
    """Holds back the end of a text while it may be the beginning of a marker."""

    __slots__ = ("_remover",)

    def __init__(self, unmasker: Unmasker, json: bool = False) -> None:
        super().__init__(unmasker, json)
        assert isinstance(unmasker, MarkerRemover)
        self._remover = unmasker

    def feed(self, text: str) -> str:
        if not self._held and not POSSIBLE_MARKER.search(text) and self._remover.token not in text:
            return text
        text = self._held + text
        cut = self._safe_length(text)
        self._held = text[cut:]
        return self._remover.text(text[:cut])

    def flush(self) -> str:
        kept, self._held = self._held, ""
        return self._remover.text(kept)

    def _safe_length(self, text: str) -> int:
        """Length of the prefix that can be sent: what follows may be the beginning of a marker."""
        token, whole = self._remover.token, 0
        if token in text:
            for match in MARKER.finditer(text):
                if match[1] == token and OPENING_MARKER_END.search(text, match.start()) and len(text) - match.end() < 2:
                    return match.start()
                whole = match.end()
        begun = PARTIAL_MARKER.search(text, max(whole, len(text) - MAX_MARKER_CHARS))
        cut = len(text) if begun is None else begun.start()
        for size in range(len(token) - 1, 0, -1):
            if text.endswith(token[:size]):
                token_start = len(text) - size
                escape = PARTIAL_MARKER.search(text, max(whole, token_start - MAX_MARKER_CHARS), token_start)
                return min(cut, token_start if escape is None else escape.start())  # `\\ue000` may overlap the token
        return cut
