"""`sizewise ask`: shows at once what it asks, then sends the prompt to the running server; imports little before."""

from __future__ import annotations

import sys

import click

from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.prompt_words import STDIN, join_prompt
from sizewise.cli.request_options import model_option, policy_option
from sizewise.cli.status_line import status_line
from sizewise.errors import BadRequest


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
    with status_line() as status:
        status.show(f"asking {model}")
        from sizewise.cli.ask_answer import print_answer  # takes 100 ms, so the line comes first

        options = {"policy": policy or None, "progress": status.shown or None}
        if wanted := {name: value for name, value in options.items() if value}:
            body["sizewise"] = wanted
        print_answer(api_client(), body, status, wants_json())


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
