"""One whole chat completion of the running server: its answer, tokens, cost and seconds; scores nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from types import MappingProxyType

import msgspec
from msgspec import Struct

from sizewise.cli.api_client import MAX_RESPONSE_BYTES, ApiClient, parse_error
from sizewise.cli.stream_reader import CHAT_PATH, StreamUsage
from sizewise.errors import ExternalFailure, SizewiseError
from sizewise.money import PICO_PER_DOLLAR, format_dollars


class _Function(Struct):
    name: str = ""
    arguments: str = ""


class _ToolCall(Struct):
    function: _Function = msgspec.field(default_factory=_Function)


class _Message(Struct):
    content: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Token(Struct):
    logprob: float = 0.0


class _Logprobs(Struct):
    content: list[_Token] | None = None


class _Choice(Struct):
    message: _Message = msgspec.field(default_factory=_Message)
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class WholeAnswer(Struct, frozen=True):
    """`calls`: (name, arguments as JSON text) of its tool calls. `logprobs`: of its tokens in order; empty: the model
    gives none. `cost`: pico-dollars; None: unknown. `seconds`: from the request to its end.
    """

    text: str
    calls: tuple[tuple[str, str], ...]
    finish: str
    logprobs: tuple[float, ...]
    tokens_in: int
    tokens_out: int
    cost: int | None
    seconds: float
    model: str = ""  # the model that answered
    tokens_thinking: int = 0  # part of tokens_out


class _Body(Struct):
    choices: list[_Choice] = []
    usage: StreamUsage | None = None


async def request_completion(
    server: ApiClient, body: dict[str, object], most: int | None, options: Mapping[str, object] = MappingProxyType({})
) -> WholeAnswer:
    """`most`: maximum cost in pico-dollars. `options`: of the body's `sizewise` object. Asks past the response cache.
    Raises the server's error.
    """
    limit = {} if most is None else {"max-cost-usd": format_dollars(most)}
    began = time.perf_counter()
    async with server.post(CHAT_PATH, {**body, "sizewise": {"cache": "no-store", **limit, **options}}) as response:
        raw, cost = await response.read(MAX_RESPONSE_BYTES), response.header("x-sizewise-cost-usd")
        seconds, model = time.perf_counter() - began, response.header("x-sizewise-model")
    if response.status != 200:  # raised here, since `post` takes an upstream's error for one of the connection
        raise parse_error(response.status, raw)
    try:
        shown = msgspec.json.decode(raw, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ExternalFailure("the server's response is no chat completion", "check that it is a Sizewise") from error
    if not shown.choices:
        raise SizewiseError("the answer has no choice", "sizewise records shows what happened")
    choice, usage = shown.choices[0], shown.usage or StreamUsage()
    tokens = None if choice.logprobs is None else choice.logprobs.content
    return WholeAnswer(
        text=choice.message.content or "",
        calls=tuple((each.function.name, each.function.arguments) for each in choice.message.tool_calls or ()),
        finish=choice.finish_reason or "",
        logprobs=tuple(token.logprob for token in tokens or ()),
        tokens_in=usage.prompt_tokens,
        tokens_out=usage.completion_tokens,
        cost=parse_pico_dollars(cost),
        seconds=seconds,
        model=model or "",
        tokens_thinking=usage.thinking_tokens,
    )


def parse_pico_dollars(dollars: str | None) -> int | None:
    try:
        return None if dollars is None else round(Decimal(dollars) * PICO_PER_DOLLAR)
    except InvalidOperation:  # "unknown"
        return None
