"""The answer of `sizewise ask`: sends the prompt, prints the words as they come, and what they cost; has no options."""

from __future__ import annotations

import asyncio
import time

import click
import msgspec
from msgspec import Struct

from sizewise.cli.api_client import ApiClient
from sizewise.cli.output import dim, format_money, write_json
from sizewise.cli.printable import printable
from sizewise.cli.status_line import StatusLine
from sizewise.cli.stream_reader import CHAT_PATH, StreamChunk, progress_text, read_stream


class Answer(Struct, rename="camel"):
    """The answer and its metadata; the format of --json."""

    answer: str = ""
    model: str = ""
    why: str = ""
    cost_usd: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    attempts: int = 1
    seconds: float = 0.0
    finish: str = ""
    degraded: str = ""
    freshness: str = ""
    trace: str = ""


def print_answer(server: ApiClient, body: dict[str, object], status: StatusLine, as_json: bool) -> None:
    """The answer to stdout, its model and cost to stderr; or all as JSON. Raises the server's own error."""
    answer = asyncio.run(_streamed(server, body, as_json, status))
    if as_json:
        write_json(msgspec.to_builtins(answer))
    else:
        click.echo(dim(printable(_account(answer))), err=True)


async def _streamed(server: ApiClient, body: dict[str, object], silent: bool, status: StatusLine) -> Answer:
    began = time.perf_counter()
    status.count_seconds(asyncio.get_running_loop())
    answer = Answer()
    request = {**body, "stream": True, "stream_options": {"include_usage": True}}

    def take(chunk: StreamChunk) -> None:
        if chunk.sizewise is not None and chunk.sizewise.progress is not None:
            if not answer.answer:  # a line amid the text would break it
                status.show(progress_text(chunk.sizewise.progress))
            return
        _apply_chunk(answer, chunk)
        if words := "".join(choice.delta.content or "" for choice in chunk.choices):
            status.clear()
            if not silent:
                click.echo(words, nl=False)

    async with server.post(CHAT_PATH, request) as response:
        failure = await read_stream(response, take)
    status.clear()
    if answer.answer and not answer.answer.endswith("\n") and not silent:
        click.echo()
    if failure is not None:
        raise failure
    answer.seconds = round(time.perf_counter() - began, 3)
    return answer


def _apply_chunk(answer: Answer, chunk: StreamChunk) -> None:
    for choice in chunk.choices:
        answer.answer += choice.delta.content or ""
        answer.finish = choice.finish_reason or answer.finish
    if chunk.usage is not None:
        answer.input_tokens, answer.output_tokens = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
    if (ours := chunk.sizewise) is not None:
        answer.model, answer.why, answer.trace = ours.model, ours.why, ours.trace
        answer.attempts, answer.degraded, answer.freshness = ours.attempts, ours.degraded, ours.freshness
        answer.cost_usd = None if ours.cost_usd == "unknown" else ours.cost_usd


def _account(answer: Answer) -> str:
    """Model, reason, cost, tokens, seconds."""
    asked = f"{answer.attempts} attempts" if answer.attempts > 1 else ""
    cut = "cut off at the maximum length" if answer.finish == "length" else ""
    tokens = f"{answer.input_tokens}+{answer.output_tokens} tokens"
    parts = (
        answer.model,
        answer.why,
        asked,
        format_money(answer.cost_usd),
        tokens,
        f"{answer.seconds:.1f} s",
        cut,
        f"not trusted: {answer.degraded}" if answer.degraded else "",
        f"may be out of date: {answer.freshness}" if answer.freshness else "",
    )
    return " · ".join(filter(None, parts))
