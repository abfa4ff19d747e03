"""A double of a server that scores prompts, as vLLM does: a text completion by tokens, with `echo` and `logprobs`."""

from __future__ import annotations

import asyncio
from typing import Any

from sizewise.testing.upstream import FakeOpenAI, FaultResponder
from tests.gateway.text_completion_upstream import USAGE, answer_whole


class PromptScorer(FakeOpenAI):
    """Even tokens are likely, odd ones are not."""

    def fault(self, model: str) -> FaultResponder:
        return _score


async def _score(body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    prompts = body["prompt"] if isinstance(body["prompt"][0], list) else [body["prompt"]]
    assert body["echo"] and body["logprobs"] == 1, "it only scores"
    choices = [
        {"index": at, "text": "", "finish_reason": "length", "logprobs": _logprobs([*prompt, 0])}
        for at, prompt in enumerate(prompts)
    ]
    return answer_whole(
        writer, {"id": "cmpl-up", "object": "text_completion", "created": 1, "choices": choices, "usage": USAGE}
    )


def _logprobs(tokens: list[int]) -> dict[str, list[Any]]:
    found = [-3.0 if token % 2 else -0.1 for token in tokens]
    return {
        "tokens": [str(token) for token in tokens],
        "token_logprobs": [None, *found[1:]],
        "top_logprobs": [
            None,
            *({"likely": -0.1, str(token): each} for token, each in zip(tokens[1:], found[1:], strict=True)),
        ],
        "text_offset": [0] * len(tokens),
    }
