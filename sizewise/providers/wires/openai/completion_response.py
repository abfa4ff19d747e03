"""Replies as OpenAI's legacy text completions, whole and as chunks of a stream; pure, reads no upstream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import NotTranslatable
from sizewise.messages import Choice, Reply, Usage
from sizewise.providers.wires.openai.completion_request import TextCompletion
from sizewise.providers.wires.openai.request_response import write_usage
from sizewise.providers.wires.openai.usage_and_errors import ABSENT

OBJECT = "text_completion"
FINISH_REASONS = frozenset({"stop", "length", "content_filter"})
"""The API's; any other is `stop`."""

_encode = msgspec.json.Encoder().encode


class LikelyToken(Struct):
    token: str = ""
    logprob: float = 0.0


class ScoredToken(Struct):
    token: str = ""
    logprob: float = 0.0
    top_logprobs: list[LikelyToken] | None = None


class ChatLogprobs(Struct):
    """A chat model's log-probabilities. `text_completion`: an endpoint's of text completions, as it gave them."""

    content: list[ScoredToken] | None = None
    text_completion: Raw = ABSENT


_logprobs = msgspec.json.Decoder(ChatLogprobs)


def finish_reason(reason: str | None) -> str:
    return reason if reason in FINISH_REASONS else "stop"


def write_logprobs(raw: Raw | None, offset: int) -> object:
    """Log-probabilities in this API's form. `offset`: characters of the choice's text before these tokens."""
    if raw is None:
        return None
    seen = _logprobs.decode(raw)
    if seen.text_completion is not ABSENT:
        return seen.text_completion
    tokens = seen.content or []
    offsets: list[int] = []
    for each in tokens:
        offsets.append(offset)
        offset += len(each.token)
    return {
        "tokens": [each.token for each in tokens],
        "token_logprobs": [each.logprob for each in tokens],
        "top_logprobs": [_top(each) for each in tokens],
        "text_offset": offsets,
    }


def _top(token: ScoredToken) -> dict[str, float]:
    """The likeliest tokens and the chosen one, as this API has it."""
    return {**{each.token: each.logprob for each in token.top_logprobs or ()}, token.token: token.logprob}


def best_choices(choices: Sequence[Choice], n: int) -> list[Choice]:
    """The `n` choices with the highest mean log-probability of a token, best first. Raises NotTranslatable."""
    if len(choices) <= n:
        return list(choices)
    return sorted(choices, key=_mean_logprob, reverse=True)[:n]


def _mean_logprob(choice: Choice) -> float:
    tokens = [] if choice.logprobs is None else _logprobs.decode(choice.logprobs).content or []
    if not tokens:
        if not choice.text:
            return float("-inf")
        hint = "leave out `best_of`, or use a model that reports log-probabilities"
        raise NotTranslatable("the chosen model gave no log-probabilities to tell the best by", hint, param="best_of")
    return sum(each.logprob for each in tokens) / len(tokens)


def write_completion(asked: TextCompletion, replies: Sequence[Reply], id: str, created: int, model: str) -> bytes:
    """The body for a client; the replies are in the order of the prompts. Raises NotTranslatable."""
    choices = [
        _write_choice(asked, choice, prompt, number * asked.n + place)
        for number, (reply, prompt) in enumerate(zip(replies, asked.prompts, strict=True))
        for place, choice in enumerate(best_choices(reply.choices, asked.n))
    ]
    degraded = next((reply.degraded for reply in replies if reply.degraded), "")
    return _encode(
        {
            "id": id,
            "object": OBJECT,
            "created": created,
            "model": model,
            "choices": choices,
            "usage": write_usage(total_usage(replies)),
            **({"degraded": degraded} if degraded else {}),
        },
    )


def _write_choice(asked: TextCompletion, choice: Choice, prompt: object, index: int) -> dict[str, Any]:
    before = prompt if asked.echoes_here and isinstance(prompt, str) else ""
    return {
        "text": before + choice.text,
        "index": index,
        "logprobs": write_logprobs(choice.logprobs, len(before)) if asked.logprobs is not None else None,
        "finish_reason": finish_reason(choice.finish_reason),
    }


def total_usage(replies: Sequence[Reply]) -> Usage:
    used = Usage()
    for reply in replies:
        used += reply.usage
    return used


class ChunkWriter:
    """Chunks of one stream. Knows of each choice how many characters of it were sent."""

    def __init__(self, asked: TextCompletion, id: str, created: int) -> None:
        self.model = asked.model
        self._asked = asked
        self._about: Mapping[str, object] = {"id": id, "object": OBJECT, "created": created}
        self._sent: dict[int, int] = {}

    def begin_as(self, id: str, created: int) -> None:
        """Before the first chunk."""
        self._about = {"id": id, "object": OBJECT, "created": created}

    def text(self, prompt: int, choice: int, text: str, logprobs: Raw | None) -> Iterator[bytes]:
        """The chunk of a text, after the prompt where that is echoed and was not sent yet."""
        yield from self._echo(prompt, choice)
        index = prompt * self._asked.n + choice
        told = write_logprobs(logprobs, self._sent[index]) if self._asked.logprobs is not None else None
        self._sent[index] += len(text)
        yield self._chunk([_choice(index, text, told)])

    def finish(self, prompt: int, choices: Sequence[Choice]) -> list[dict[str, object]]:
        """The chunks that end a prompt's choices, not encoded yet: the last one of a stream carries more."""
        ends = (_choice(prompt * self._asked.n + each.index, "", None, each.finish_reason) for each in choices)
        return [self._fields([end]) for end in ends]

    def unsent_echo(self, prompt: int) -> list[bytes]:
        """The prompt in front of choices that say nothing."""
        return [chunk for choice in range(self._asked.n) for chunk in self._echo(prompt, choice)]

    def usage(self, used: Usage) -> dict[str, object]:
        return self._fields([]) | {"usage": write_usage(used)}

    def _echo(self, prompt: int, choice: int) -> Iterator[bytes]:
        index, said = prompt * self._asked.n + choice, self._asked.prompts[prompt]
        if index in self._sent:
            return
        before = said if self._asked.echoes_here and isinstance(said, str) else ""
        self._sent[index] = len(before)
        if before:
            yield self._chunk([_choice(index, before, None)])

    def _chunk(self, choices: list[dict[str, object]]) -> bytes:
        return _encode(self._fields(choices))

    def _fields(self, choices: list[dict[str, object]]) -> dict[str, object]:
        return {**self._about, "model": self.model, "choices": choices}


def _choice(index: int, text: str, logprobs: object, reason: str | None = "") -> dict[str, object]:
    """`reason`: empty for a choice that goes on."""
    return {
        "text": text,
        "index": index,
        "logprobs": logprobs,
        "finish_reason": None if reason == "" else finish_reason(reason),
    }
