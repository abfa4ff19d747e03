"""One decision by an embedded model: asks for the next token among the options, and stops once they are told apart."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from sizewise.messages import ChatRequest, Reply, Usage
from sizewise.providers.local.llamacpp import LlamaCppModel
from sizewise.providers.local.option_probabilities import OptionReader, OptionToken, option_chat
from sizewise.providers.wires.openai.decision_upstream import CarriedQuestion, OptionAnswer, option_reply


class _Decided(Exception):
    """The model is stopped: no later token changes the answer."""


class _Logprobs(Struct):
    content: list[OptionToken] = []


class _Choice(Struct):
    logprobs: _Logprobs | None = None


class _Frame(Struct):
    choices: list[_Choice] = []


async def choose_option(
    llama: LlamaCppModel,
    chat: ChatRequest,
    asked: CarriedQuestion,
    write: Callable[[ChatRequest], bytes],
    *,
    is_adapted: bool,
) -> Reply:
    """The option with the highest probability, and the probability of each. `write`: llama.cpp's body of a chat."""
    options, body = OptionReader(asked.options), write(option_chat(chat, asked, is_adapted=is_adapted))
    tokens = 0

    async def take(frame: bytes) -> None:
        nonlocal tokens
        for choice in msgspec.json.decode(frame, type=_Frame).choices:
            said = choice.logprobs.content if choice.logprobs is not None else []
            tokens += len(said)
            options.read(said)
        if options.is_decided:
            raise _Decided

    prompt = await llama.count_tokens(body)
    try:
        await llama.chat(body, take)
    except _Decided:
        pass
    shares = options.probabilities()
    found = OptionAnswer(shares.index(max(shares)), shares, "tuned" if is_adapted else "next token")
    return option_reply(asked, found, Usage(prompt, tokens), llama.name)
