"""A request made once more of another model, and the one that puts two answers before a judge; pure, asks nobody."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from sizewise.handler import Ask, Wishes
from sizewise.messages import Chat, Message
from sizewise.providers.wires.original_body import FIELD

_encode = msgspec.json.Encoder().encode

SENT = frozenset({"stream", "stream_options", "logprobs", "top_logprobs", "store", "metadata"})
"""Fields that are about how an answer comes, and where it is kept."""
VERDICT = 1_000
"""Tokens of a judge's answer at most: a word, and what a reasoning model thinks before. No temperature is said, for
some models refuse any."""


def again(ask: Ask, model: str, started: float, max_cost: int | None) -> Ask:
    """The same request to `model`: of the same caller, class of data and reach, but of no session and kept nowhere.

    What came in another wire stays as it came, or it could not be sent on as it is.
    """
    chat = ask.what
    assert isinstance(chat, Chat)
    named = {"model": Raw(_encode(model))}
    if FIELD in chat.fields:
        what = msgspec.structs.replace(chat, model=model, fields=chat.fields | named)
    else:
        fields = {name: raw for name, raw in chat.fields.items() if name not in SENT} | named
        what = msgspec.structs.replace(
            chat, model=model, fields=fields, stream=False, include_usage=False, logprobs=False
        )
    return Ask(what, ask.caller, ask.trace, started, _wishes(ask, max_cost), "shadow")


def judging(ask: Ask, model: str, prompt: str, started: float, max_cost: int | None) -> Ask:
    """A judge's question about an answer to `ask`: as closely kept as that was."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_completion_tokens": VERDICT,
    }
    fields = {name: Raw(_encode(value)) for name, value in body.items()}
    what = Chat(model, [Message("user", prompt)], fields, max_tokens=VERDICT)
    return Ask(what, ask.caller, ask.trace, started, _wishes(ask, max_cost), "judge")


def _wishes(ask: Ask, max_cost: int | None) -> Wishes:
    """An empty session is none, whatever else in the request would name one."""
    asked = ask.wishes
    return Wishes(max_cost=max_cost, data_class=asked.data_class, online=asked.online, session="", cache="no-store")


def comparable(ask: Ask) -> bool:
    """Whether words alone say which of two answers is better: one choice, and nothing to look at or to listen to.

    One that wishes for another quality than was promised tells nothing of the promise.
    """
    chat = ask.what
    return isinstance(chat, Chat) and chat.n == 1 and ask.wishes.min_quality is None and not chat.sees()
