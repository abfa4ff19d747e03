"""An answer as bytes that can lie somewhere, and back: the whole reply and what its stream said; knows no place."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import asdict, replace

from sizewise.handler import Chosen, Extra, Finished, Text, Thought, ToolDelta
from sizewise.messages import Choice, Reply
from sizewise.providers.wires.openai.usage_and_errors import ABSENT, present
from sizewise.reply_events import Word, told


class Answer(Struct, frozen=True):
    """Who gave it and why, and what it was. `words`: of a stream; empty where the reply came as one."""

    chosen: Chosen
    reply: Reply
    words: tuple[Word, ...] = ()

    def events(self) -> tuple[Word, ...]:
        """It as a stream tells it."""
        return self.words or tuple(told(self.reply))


class _Packed(Struct, frozen=True, array_like=True):
    """JSON where parts of a body lie as they came, so that they stay so; `body` beside it, for it need not be text."""

    chosen: Chosen
    reply: bytes
    body: bytes | None
    words: bytes


class _Choice(Choice, frozen=True):
    """As it is read: msgspec reads bytes of JSON where there are some, or nothing at all."""

    logprobs: Raw = ABSENT
    message: Raw = ABSENT


class _Reply(Reply, frozen=True):
    choices: tuple[_Choice, ...]


class _Text(Text, frozen=True):
    logprobs: Raw = ABSENT


KINDS: Mapping[str, type[Word]] = MappingProxyType(
    {"Text": _Text, **{kind.__name__: kind for kind in (ToolDelta, Thought, Extra, Finished)}}
)


def packed(answer: Answer) -> bytes:
    reply = msgspec.json.encode(replace(answer.reply, body=None))
    words = msgspec.json.encode([(type(word).__name__, word) for word in answer.words])
    return msgspec.msgpack.encode(_Packed(answer.chosen, reply, answer.reply.body, words))


def unpacked(data: bytes) -> Answer:
    seen = msgspec.msgpack.decode(data, type=_Packed)
    reply = msgspec.json.decode(seen.reply, type=_Reply)
    words = msgspec.json.decode(seen.words, type=list[tuple[str, Raw]])
    said = {**asdict(reply), "choices": tuple(map(_choice, reply.choices)), "body": seen.body}
    return Answer(seen.chosen, Reply(**said), tuple(_word(kind, raw) for kind, raw in words))


def _choice(seen: _Choice) -> Choice:
    raw = {"logprobs": present(seen.logprobs), "message": present(seen.message)}
    return Choice(**{**asdict(seen), **raw})


def _word(kind: str, raw: Raw) -> Word:
    word = msgspec.json.decode(raw, type=KINDS[kind])
    return Text(word.choice, word.text, present(word.logprobs)) if isinstance(word, _Text) else word
