"""Probabilities of options from the log-probabilities of an embedded model; pure, asks no model.

Each option is written as JSON text, and a grammar allows nothing else. At each position the tokens that continue an
option share the probability: one token is mostly enough, more where options begin alike.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import exp

import msgspec
from msgspec import Raw, Struct

from sizewise.messages import ChatRequest, Message
from sizewise.providers.wires.openai.decision_upstream import CarriedQuestion

TOP_TOKENS = 64
"""Tokens whose log-probabilities are asked for at each position."""

_encode = msgspec.json.Encoder().encode


def option_chat(chat: ChatRequest, asked: CarriedQuestion, *, is_adapted: bool) -> ChatRequest:
    """The chat as the model gets it. An adapter has learned the answers, so they are listed for others alone."""
    messages = [(each.role, each.text) for each in chat.messages]
    if not is_adapted:
        told = f"Answer with exactly one of these, and nothing else: {', '.join(asked.options)}"
        first = messages[0]
        if first[0] in ("system", "developer"):
            messages[0] = (first[0], f"{first[1]}\n\n{told}")
        else:
            messages.insert(0, ("system", told))
    said = Raw(_encode([{"role": role, "content": text} for role, text in messages]))
    fields = {
        "model": chat.fields["model"],
        "messages": said,
        "temperature": Raw(b"0"),
        "logprobs": Raw(b"true"),
        "top_logprobs": Raw(b"%d" % TOP_TOKENS),
        "grammar": Raw(_encode("root ::= " + " | ".join(json.dumps(each) for each in asked.options))),
        "stream_options": Raw(b'{"include_usage":true}'),
    }
    return ChatRequest(chat.model, msgspec.json.decode(said, type=list[Message]), fields, logprobs=True)


class OptionToken(Struct):
    """A token of llama.cpp's log-probabilities. `bytes`: its own, which may be a part of a character."""

    token: str = ""
    logprob: float = 0.0
    bytes: list[int] | None = None
    top_logprobs: list[OptionToken] = []


class OptionReader:
    """Reads the answer token by token. `is_decided`: no later token changes which option it is."""

    def __init__(self, options: Sequence[str]) -> None:
        self._options = [each.encode() for each in options]
        self._shares = [0.0] * len(options)
        self._open = list(range(len(options)))  # options that the answer so far may become
        self._mass = 1.0  # of these
        self._said = b""

    @property
    def is_decided(self) -> bool:
        return len(self._open) == 1

    def read(self, tokens: Sequence[OptionToken]) -> None:
        for token in tokens:
            if self.is_decided:
                return
            self._step(_text(token), {_text(each): each.logprob for each in token.top_logprobs})

    def probabilities(self) -> tuple[float, ...]:
        found = list(self._shares)
        for at in self._open:
            found[at] += self._mass / len(self._open)
        whole = sum(found)
        return tuple(each / whole for each in found)

    def _step(self, said: bytes, tops: dict[bytes, float]) -> None:
        done = len(self._said)
        rest = {at: self._options[at][done:] for at in self._open}
        going = [at for at in self._open if said and rest[at].startswith(said)]
        if not going:  # the answer is an option that begins others, and ends here
            ended = [at for at in self._open if not rest[at]]
            self._open = ended or self._open
            return
        weights = {text: exp(value) for text, value in tops.items() if text and text != said}
        weights = {text: each for text, each in weights.items() if any(its.startswith(text) for its in rest.values())}
        least = exp(min(tops.values(), default=0.0))  # no token that is not listed is likelier
        chosen = exp(tops[said]) if said in tops else least
        ended = [at for at in self._open if not rest[at]]
        listed = [said, *weights]
        for at in self._open:
            if rest[at] and not any(rest[at].startswith(text) for text in listed):
                weights[rest[at]] = least
        beyond = max(0.0, 1.0 - chosen - sum(weights.values())) if ended else 0.0
        whole = max(chosen + sum(weights.values()) + beyond, 1e-12)
        for text, weight in weights.items():
            its = [at for at in self._open if rest[at].startswith(text)]
            for at in its:
                self._shares[at] += self._mass * weight / whole / len(its)
        for at in ended:
            self._shares[at] += self._mass * beyond / whole / len(ended)
        self._mass *= chosen / whole
        self._open = going
        self._said += said


def _text(token: OptionToken) -> bytes:
    return bytes(token.bytes) if token.bytes else token.token.encode("utf-8", "surrogatepass")
