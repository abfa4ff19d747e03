"""Whole answers of named models from the running server, with their log-probabilities and cost; scores nothing."""

from __future__ import annotations

import time
from decimal import Decimal, InvalidOperation

import msgspec
from msgspec import Struct

from sizewise.cli.api_client import MAX_RESPONSE_BYTES, ApiClient, parse_error
from sizewise.cli.stream_reader import CHAT_PATH, StreamUsage
from sizewise.errors import BadRequest, ExternalFailure, NoModelFits, SizewiseError, UpstreamRejected
from sizewise.evals.outcome_job import ModelAnswer
from sizewise.money import PICO_PER_DOLLAR, format_dollars

REFUSALS = (BadRequest, NoModelFits, UpstreamRejected)
"""Errors by which a model may refuse log-probabilities."""


class _Message(Struct):
    content: str | None = None


class _Token(Struct):
    logprob: float = 0.0


class _Logprobs(Struct):
    content: list[_Token] | None = None


class _Choice(Struct):
    message: _Message = msgspec.field(default_factory=_Message)
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Completion(Struct):
    choices: list[_Choice] = []
    usage: StreamUsage | None = None


class ChatAnswers:
    """`await answers(model, prompt, most)` asks once, greedily. A model that refuses log-probabilities is asked without
    them from then on.
    """

    def __init__(self, server: ApiClient, max_tokens: int, system: str = "") -> None:
        self._server = server
        self._max_tokens = max_tokens
        self._system = [{"role": "system", "content": system}] if system else []
        self._without_logprobs: set[str] = set()

    async def __call__(self, model: str, prompt: str, most: int | None) -> ModelAnswer:
        """`most`: maximum cost in pico-dollars. Raises the server's error."""
        if model in self._without_logprobs:
            return await self._ask(model, prompt, most, logprobs=False)
        try:
            return await self._ask(model, prompt, most, logprobs=True)
        except REFUSALS:
            answer = await self._ask(model, prompt, most, logprobs=False)
            self._without_logprobs.add(model)
            return answer

    async def _ask(self, model: str, prompt: str, most: int | None, *, logprobs: bool) -> ModelAnswer:
        body: dict[str, object] = {
            "model": model,
            "messages": [*self._system, {"role": "user", "content": prompt}],
            "max_tokens": self._max_tokens,
            "temperature": 0,
            "seed": 1,
            "sizewise": {"cache": "no-store", **({} if most is None else {"max-cost-usd": format_dollars(most)})},
        }
        if logprobs:
            body["logprobs"] = True
        began = time.perf_counter()
        async with self._server.post(CHAT_PATH, body) as response:
            raw, cost = await response.read(MAX_RESPONSE_BYTES), response.header("x-sizewise-cost-usd")
            seconds = time.perf_counter() - began
        if response.status != 200:  # raised here, since `post` takes an upstream's error for one of the connection
            raise parse_error(response.status, raw)
        return _answer(raw, cost, seconds)


def _answer(raw: bytes, cost: str | None, seconds: float) -> ModelAnswer:
    try:
        shown = msgspec.json.decode(raw, type=_Completion)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ExternalFailure("the server's response is no chat completion", "check that it is a Sizewise") from error
    if not shown.choices:
        raise SizewiseError("the answer has no choice", "sizewise records shows what happened")
    choice, usage = shown.choices[0], shown.usage or StreamUsage()
    tokens = None if choice.logprobs is None else choice.logprobs.content
    return ModelAnswer(
        text=choice.message.content or "",
        tokens_in=usage.prompt_tokens,
        tokens_out=usage.completion_tokens,
        seconds=seconds,
        finish=choice.finish_reason or "",
        cost=_pico_dollars(cost),
        logprobs=tuple(token.logprob for token in tokens or ()),
    )


def _pico_dollars(dollars: str | None) -> int | None:
    try:
        return None if dollars is None else round(Decimal(dollars) * PICO_PER_DOLLAR)
    except InvalidOperation:  # "unknown"
        return None
