"""One chat completion of the running server, whole: its message, usage, cost and seconds; knows no eval."""

from __future__ import annotations

import time
from decimal import Decimal, InvalidOperation

import msgspec
from msgspec import Struct

from sizewise.cli.api_client import MAX_RESPONSE_BYTES, ApiClient, parse_error
from sizewise.cli.stream_reader import CHAT_PATH, StreamUsage
from sizewise.errors import ExternalFailure, SizewiseError
from sizewise.money import PICO_PER_DOLLAR, format_dollars


class CalledFunction(Struct):
    name: str = ""
    arguments: str = ""


class ToolCallMessage(Struct):
    function: CalledFunction = msgspec.field(default_factory=CalledFunction)


class CompletionMessage(Struct):
    content: str | None = None
    tool_calls: list[ToolCallMessage] | None = None


class TokenLogprob(Struct):
    logprob: float = 0.0


class CompletionLogprobs(Struct):
    content: list[TokenLogprob] | None = None


class CompletionChoice(Struct):
    message: CompletionMessage = msgspec.field(default_factory=CompletionMessage)
    finish_reason: str | None = None
    logprobs: CompletionLogprobs | None = None


class ChatCompletion(Struct, frozen=True):
    """`cost`: pico-dollars; None: unknown. `seconds`: from the request to its whole answer."""

    choice: CompletionChoice
    usage: StreamUsage
    cost: int | None
    seconds: float


class _Body(Struct):
    choices: list[CompletionChoice] = []
    usage: StreamUsage | None = None


async def request_completion(server: ApiClient, body: dict[str, object], most: int | None) -> ChatCompletion:
    """`most`: maximum cost in pico-dollars. Asks past the response cache. Raises the server's error."""
    limit = {} if most is None else {"max-cost-usd": format_dollars(most)}
    began = time.perf_counter()
    async with server.post(CHAT_PATH, {**body, "sizewise": {"cache": "no-store", **limit}}) as response:
        raw, cost = await response.read(MAX_RESPONSE_BYTES), response.header("x-sizewise-cost-usd")
        seconds = time.perf_counter() - began
    if response.status != 200:  # raised here, since `post` takes an upstream's error for one of the connection
        raise parse_error(response.status, raw)
    try:
        shown = msgspec.json.decode(raw, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ExternalFailure("the server's response is no chat completion", "check that it is a Sizewise") from error
    if not shown.choices:
        raise SizewiseError("the answer has no choice", "sizewise records shows what happened")
    return ChatCompletion(shown.choices[0], shown.usage or StreamUsage(), _pico_dollars(cost), seconds)


def _pico_dollars(dollars: str | None) -> int | None:
    try:
        return None if dollars is None else round(Decimal(dollars) * PICO_PER_DOLLAR)
    except InvalidOperation:  # "unknown"
        return None
