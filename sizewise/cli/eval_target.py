"""Answers of a target to an eval's items, and verdicts of judges, from the running server; scores nothing."""

from __future__ import annotations

import time
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from msgspec import Struct

from sizewise.cli.api_client import MAX_RESPONSE_BYTES, ApiClient, parse_error
from sizewise.cli.stream_reader import CHAT_PATH, StreamUsage
from sizewise.errors import ExternalFailure, SizewiseError
from sizewise.evals.runs.eval_items import EvalItem
from sizewise.evals.runs.eval_spec import EvalTarget
from sizewise.evals.runs.item_scorers import TargetAnswer
from sizewise.money import PICO_PER_DOLLAR, format_dollars

VERDICT_TOKENS = 16
"""Maximum tokens of a judge's answer: one word of its scale."""


class _Function(Struct):
    name: str = ""
    arguments: str = ""


class _ToolCall(Struct):
    function: _Function = msgspec.field(default_factory=_Function)


class _Message(Struct):
    content: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(Struct):
    message: _Message = msgspec.field(default_factory=_Message)


class _Completion(Struct):
    choices: list[_Choice] = []
    usage: StreamUsage | None = None


class EvalTargets:
    """Asks without the response cache: a repeat is a new answer."""

    def __init__(self, server: ApiClient, target: EvalTarget) -> None:
        self._server = server
        self._target = target

    async def ask(self, model: str, item: EvalItem, repeat: int, most: int | None) -> TargetAnswer:
        """`most`: maximum cost in pico-dollars. Raises the server's error."""
        system = [{"role": "system", "content": self._target.system}] if self._target.system else []
        body: dict[str, Any] = {
            "model": model,
            "messages": [*system, *item.messages()],
            "max_tokens": self._target.max_tokens,
            "temperature": self._target.temperature,
            "seed": repeat + 1,
        }
        if item.tools:
            body["tools"] = item.tools
        return await self._post(body, most)

    async def judge(self, model: str, prompt: str, most: int | None) -> TargetAnswer:
        message = {"role": "user", "content": prompt}
        body = {"model": model, "messages": [message], "max_tokens": VERDICT_TOKENS, "temperature": 0, "seed": 1}
        return await self._post(body, most)

    async def _post(self, body: dict[str, Any], most: int | None) -> TargetAnswer:
        body["sizewise"] = {"cache": "no-store", **({} if most is None else {"max-cost-usd": format_dollars(most)})}
        began = time.perf_counter()
        async with self._server.post(CHAT_PATH, body) as response:
            raw, cost = await response.read(MAX_RESPONSE_BYTES), response.header("x-sizewise-cost-usd")
            seconds = time.perf_counter() - began
        if response.status != 200:  # raised here, since `post` takes an upstream's error for one of the connection
            raise parse_error(response.status, raw)
        return _answer(raw, cost, seconds)


def _answer(raw: bytes, cost: str | None, seconds: float) -> TargetAnswer:
    try:
        shown = msgspec.json.decode(raw, type=_Completion)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ExternalFailure("the server's response is no chat completion", "check that it is a Sizewise") from error
    if not shown.choices:
        raise SizewiseError("the answer has no choice", "sizewise records shows what happened")
    message, usage = shown.choices[0].message, shown.usage or StreamUsage()
    return TargetAnswer(
        text=message.content or "",
        calls=tuple((each.function.name, each.function.arguments) for each in message.tool_calls or ()),
        tokens=usage.prompt_tokens + usage.completion_tokens,
        seconds=seconds,
        cost=_pico_dollars(cost),
    )


def _pico_dollars(dollars: str | None) -> int | None:
    try:
        return None if dollars is None else round(Decimal(dollars) * PICO_PER_DOLLAR)
    except InvalidOperation:  # "unknown"
        return None
