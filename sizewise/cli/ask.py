"""`sizewise ask`: one question to the running server; its words go to stdout, who answered and why to stderr."""

from __future__ import annotations

import asyncio
import sys
import time

import click
import msgspec
from msgspec import Struct

from sizewise.cli.options import served, server, wants_json
from sizewise.cli.paper import dim, money, write_json
from sizewise.cli.server import ANSWER, Server, Trouble, again, refusal
from sizewise.client import Response
from sizewise.errors import BadRequest, Outside, SizewiseError
from sizewise.providers.wires.sse import Frames

PATH = "/v1/chat/completions"
STDIN = "-"


class Usage(Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Ours(Struct):
    """What Sizewise says of its own in the last chunk."""

    model: str = ""
    why: str = ""
    cost_usd: str = "unknown"
    attempts: int = 1
    trace: str = ""
    degraded: str = ""


class Delta(Struct):
    content: str | None = None


class Choice(Struct):
    delta: Delta = msgspec.field(default_factory=Delta)
    finish_reason: str | None = None


class Chunk(Struct):
    choices: list[Choice] = []
    usage: Usage | None = None
    sizewise: Ours | None = None
    error: Trouble | None = None


class Answer(Struct, rename="camel"):
    """All that came of it; the shape that --json prints."""

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
    trace: str = ""


@click.command()
@click.argument("question", nargs=-1)
@click.option("-m", "--model", default="auto", help="auto, auto:<policy>, small, large or <provider>/<model>. [auto]")
@click.option("-p", "--policy", default="", help="Choose by this policy, as auto:<policy> does.")
@click.option("-s", "--system", default="", help="What the model should know about its task.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="The longest answer, in tokens.")
@served
def ask(question: tuple[str, ...], model: str, policy: str, system: str, max_tokens: int | None) -> None:
    """Ask one question through the router.

    The answer goes to stdout while it is said; which model answered, why and at what cost to stderr. Without a
    QUESTION it is read from stdin, and a - among its words stands for what stdin holds.

    \b
    Example: sizewise ask "Why is the sky blue?"
             git diff | sizewise ask "Write a commit message for this:" -
    """
    body: dict[str, object] = {"model": model, "messages": _messages(system, _text(question))}
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    if policy:
        body["sizewise"] = {"policy": policy}
    silent = wants_json()
    answer = asyncio.run(_asked(server(), body, silent))
    if silent:
        write_json(msgspec.to_builtins(answer))
    else:
        click.echo(dim(_account(answer)), err=True)


def _text(words: tuple[str, ...]) -> str:
    if words and STDIN not in words:
        return " ".join(words)
    if not words and sys.stdin.isatty():
        raise BadRequest("there is no question", 'sizewise ask "Why is the sky blue?"')
    piped = sys.stdin.buffer.read().decode("utf-8", "replace").strip()
    text = "\n\n".join(filter(None, _paragraphs(words or (STDIN,), piped)))
    if not text:
        raise BadRequest("the question is empty", 'sizewise ask "Why is the sky blue?"')
    return text


def _paragraphs(words: tuple[str, ...], piped: str) -> list[str]:
    """The words as they stand, with what was piped in a paragraph of its own where the - is."""
    before, after = words[: words.index(STDIN)], words[words.index(STDIN) + 1 :]
    return [" ".join(before), piped, " ".join(after)]


def _messages(system: str, text: str) -> list[dict[str, str]]:
    messages = [{"role": "user", "content": text}]
    return [{"role": "system", "content": system}, *messages] if system else messages


async def _asked(server: Server, body: dict[str, object], silent: bool) -> Answer:
    began = time.perf_counter()
    answer = Answer()
    request = {**body, "stream": True, "stream_options": {"include_usage": True}}
    async with server.post(PATH, request) as response:
        failure = await _heard(response, answer, silent)
    if answer.answer and not answer.answer.endswith("\n") and not silent:
        click.echo()
    if failure is not None:
        raise failure
    answer.seconds = round(time.perf_counter() - began, 3)
    return answer


async def _heard(response: Response, answer: Answer, silent: bool) -> SizewiseError | None:
    """Says the words as they come. None at a good end, otherwise the server's error, kept apart from the line's own."""
    if response.status != 200:
        return refusal(response.status, await response.read(ANSWER))
    frames = Frames()
    while data := await response.chunk():
        for payload in frames.feed(data):
            if payload == b"[DONE]":
                response.finish()
                return None
            chunk = msgspec.json.decode(payload, type=Chunk)
            if chunk.error is not None:
                return again(chunk.error)
            _note(answer, chunk)
            if not silent:
                click.echo("".join(choice.delta.content or "" for choice in chunk.choices), nl=False)
    return Outside("the answer broke off", "ask again; sizewise records shows what happened")


def _note(answer: Answer, chunk: Chunk) -> None:
    for choice in chunk.choices:
        answer.answer += choice.delta.content or ""
        answer.finish = choice.finish_reason or answer.finish
    if chunk.usage is not None:
        answer.input_tokens, answer.output_tokens = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
    if (ours := chunk.sizewise) is not None:
        answer.model, answer.why, answer.trace = ours.model, ours.why, ours.trace
        answer.attempts, answer.degraded = ours.attempts, ours.degraded
        answer.cost_usd = None if ours.cost_usd == "unknown" else ours.cost_usd


def _account(answer: Answer) -> str:
    """Which model answered and why, cost, tokens, seconds."""
    asked = f"{answer.attempts} attempts" if answer.attempts > 1 else ""
    cut = "cut at the longest answer allowed" if answer.finish == "length" else ""
    tokens = f"{answer.input_tokens}+{answer.output_tokens} tokens"
    parts = (
        answer.model,
        answer.why,
        asked,
        money(answer.cost_usd),
        tokens,
        f"{answer.seconds:.1f} s",
        cut,
        f"not trusted: {answer.degraded}" if answer.degraded else "",
    )
    return " · ".join(filter(None, parts))
