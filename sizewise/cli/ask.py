"""`sizewise ask`: sends one prompt to the running server; the answer goes to stdout, model and cost to stderr."""

from __future__ import annotations

import asyncio
import sys
import time

import click
import msgspec
from msgspec import Struct

from sizewise.cli.api_client import ApiClient
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import dim, format_money, printable, write_json
from sizewise.cli.request_options import model_option, policy_option
from sizewise.cli.status_line import StatusLine, progress_text, status_line
from sizewise.cli.stream_reader import CHAT_PATH, STDIN, StreamChunk, join_prompt, read_stream
from sizewise.errors import BadRequest


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


@click.command()
@click.argument("question", nargs=-1)
@model_option
@policy_option
@click.option("-s", "--system", default="", help="System prompt.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Maximum output tokens.")
@server_options
def ask(question: tuple[str, ...], model: str, policy: str, system: str, max_tokens: int | None) -> None:
    """Ask one question through the router.

    The answer streams to stdout. The model, the reason for it and the cost go to stderr. Without a QUESTION it is read
    from stdin; a - among the words is replaced by stdin.

    \b
    Example: sizewise ask "Why is the sky blue?"
             git diff | sizewise ask "Write a commit message for this:" -
    """
    body: dict[str, object] = {"model": model, "messages": _messages(system, _text(question))}
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    silent, server = wants_json(), api_client()
    with status_line() as status:
        options = {"policy": policy or None, "progress": status.shown or None}
        if wanted := {name: value for name, value in options.items() if value}:
            body["sizewise"] = wanted
        answer = asyncio.run(_ask(server, body, silent, status))
    if silent:
        write_json(msgspec.to_builtins(answer))
    else:
        click.echo(dim(printable(_account(answer))), err=True)


def _text(words: tuple[str, ...]) -> str:
    if not words and sys.stdin.isatty():
        raise BadRequest("there is no question", 'sizewise ask "Why is the sky blue?"')
    text = join_prompt(words or (STDIN,))
    if not text:
        raise BadRequest("the question is empty", 'sizewise ask "Why is the sky blue?"')
    return text


def _messages(system: str, text: str) -> list[dict[str, str]]:
    messages = [{"role": "user", "content": text}]
    return [{"role": "system", "content": system}, *messages] if system else messages


async def _ask(server: ApiClient, body: dict[str, object], silent: bool, status: StatusLine) -> Answer:
    began = time.perf_counter()
    status.show(f"asking {body['model']}")
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
