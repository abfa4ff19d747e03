"""Removes the markers around passages from replies, also across stream chunks: a small model repeats what it read.

Spotlighting knows its own token; here the markers are in the request (a flow's passages, what a search found), and a
model may have changed one as it copied it. So everything of the shape of a marker goes, and each token of the request.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Coroutine

from sizewise.guardrails.pseudonymization import Unmasker
from sizewise.guardrails.stream_unmasking import StreamUnmasker, UnmaskingSend, unmask_reply
from sizewise.guardrails.untrusted_content import DATAMARK
from sizewise.handler import Handler, Request, Send
from sizewise.messages import ChatRequest, Reply

_TOKENS = re.compile(rb"<<(?:data|end) ([0-9a-f]{16})\b")
_L, _R = r"(?:<|\\u003[cC])", r"(?:>|\\u003[eE])"
_INNER = r"(?:(?!\\u003)[^<>\n]){0,300}"
_OPEN = rf"(?: [0-9a-f]{{4,16}}\b| from \[){_INNER}(?:{_R}|(?=\n)|\Z)"
_SHAPE = re.compile(rf"{_L}{_L}/?(?:data|end)\b(?:{_INNER}{_R}{_R}|{_OPEN})(?:\n|\\n)?")
"""A marker as a model writes it, also cut off, JSON-escaped or with another token."""
_PART = r"\\(?:u(?:0(?:0(?:3)?)?)?)?"
_NAMED = rf"/?(?:d|da|dat|data|e|en|end|(?:data|end)\b{_INNER}{_R}{{0,2}}(?:{_PART})?)?"
_BEGUN = re.compile(rf"(?:{_L}(?:{_L}{_NAMED}|(?:{_PART})?)|{_PART})\Z")
"""The end of a text that may become a marker."""
_HEXADECIMAL = frozenset("0123456789abcdef")


def without_markers(handler: Handler) -> Handler:
    """`handler`, whose replies have no marker of passages that the request has. Others pass byte for byte."""

    def ask(request: Request, send: Send) -> Coroutine[object, object, Reply]:
        chat = request.payload
        if not isinstance(chat, ChatRequest) or not (found := _TOKENS.findall(chat.fields["messages"])):
            return handler(request, send)
        return _cleaned(handler, request, send, _Remover(frozenset(each.decode() for each in found)))

    return ask


async def _cleaned(handler: Handler, request: Request, send: Send, remover: _Remover) -> Reply:
    cleaning = UnmaskingSend(remover, send, _StreamRemover)
    reply = await handler(request, cleaning)
    await cleaning.end()
    return unmask_reply(reply, remover)


class _Remover(Unmasker):
    def __init__(self, tokens: frozenset[str]) -> None:
        super().__init__({}, Counter())
        self.tokens = tokens
        self._token = re.compile("|".join(sorted(tokens)))

    def text(self, text: str) -> str:
        if "<" in text or "\\u003" in text:
            text = _SHAPE.sub("", text)
        return self._token.sub("", text).replace(DATAMARK, " ")

    def json(self, text: str) -> str:
        return self.text(text)

    def name(self, name: str) -> str:
        return self._token.sub("", name)


class _StreamRemover(StreamUnmasker):
    """Holds back the end of a text while it may be the beginning of a marker or of a token."""

    __slots__ = ("_remover",)

    def __init__(self, unmasker: Unmasker, json: bool = False) -> None:
        super().__init__(unmasker, json)
        assert isinstance(unmasker, _Remover)
        self._remover = unmasker

    def feed(self, text: str) -> str:
        text = self._held + text
        begun = _BEGUN.search(text)
        cut = len(text) if begun is None else begun.start()
        cut = min(cut, self._token_begins(text))
        self._held = text[cut:]
        return self._remover.text(text[:cut])

    def flush(self) -> str:
        kept, self._held = self._held, ""
        return self._remover.text(kept)

    def _token_begins(self, text: str) -> int:
        """Where a token may begin that is not whole yet; the length of the text if none does."""
        at = len(text)
        while at and len(text) - at < 15 and text[at - 1] in _HEXADECIMAL:
            at -= 1
        for start in range(at, len(text)):
            if any(token.startswith(text[start:]) for token in self._remover.tokens):
                return start
        return len(text)
