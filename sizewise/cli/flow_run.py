"""`sizewise flow run`: a flow at the running server; its words go to stdout, what it cost to stderr."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from sizewise.cli.options import served, server, wants_json
from sizewise.cli.paper import dim, money, write_json
from sizewise.cli.said import PATH, Chunk, heard
from sizewise.cli.server import ANSWER, Server, refusal
from sizewise.errors import BadRequest, Outside


class Ours(Struct):
    flow: str = ""
    version: str = ""
    outputs: dict[str, object] = {}


class Body(Struct):
    sizewise: Ours


@click.command()
@click.argument("name")
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="An input; VALUE may be JSON, @FILE, or - for stdin.",
)
@served
def run(name: str, inputs: tuple[str, ...]) -> None:
    """Run a flow at the server; its words come as they are said.

    NAME may be NAME@VERSION. With --json all outputs are printed when it is over.

    \b
    Example: sizewise flow run support --input question="How do I return it?"
    """
    given = dict(_input(each) for each in inputs)
    question = given.get("question", "")
    body: dict[str, object] = {
        "model": f"flow:{name}",
        "messages": [{"role": "user", "content": question}],
        "metadata": given,
    }
    if wants_json():
        write_json(msgspec.to_builtins(asyncio.run(_whole(server(), body))))
        return
    asyncio.run(_streamed(server(), body))


def _input(said: str) -> tuple[str, str]:
    name, sign, value = said.partition("=")
    if not sign or not name:
        raise BadRequest(f"{said[:60]!r} is no input", "write it as --input question='Why?'")
    if value == "-":
        return name, sys.stdin.buffer.read().decode("utf-8", "replace")
    if value.startswith("@"):
        try:
            return name, Path(value[1:]).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise BadRequest(f"the file {value[1:]!r} cannot be read", "give the path of a text file") from error
    return name, value


async def _whole(server: Server, body: dict[str, object]) -> Ours:
    async with server.post(PATH, body) as response:
        data = await response.read(ANSWER)
        if response.status != 200:
            raise refusal(response.status, data)
    try:
        return msgspec.json.decode(data, type=Body).sizewise
    except msgspec.DecodeError as error:
        raise Outside("the server answers otherwise than expected", "are both of one version?") from error


async def _streamed(server: Server, body: dict[str, object]) -> None:
    seen: list[Chunk] = []
    spoke = ""

    def take(chunk: Chunk) -> None:
        nonlocal spoke
        words = "".join(choice.delta.content or "" for choice in chunk.choices)
        spoke = words or spoke
        click.echo(words, nl=False)
        if chunk.sizewise is not None:
            seen.append(chunk)

    request = {**body, "stream": True, "stream_options": {"include_usage": True}}
    async with server.post(PATH, request) as response:
        failure = await heard(response, take, "the flow")
    if spoke and not spoke.endswith("\n"):
        click.echo()
    if failure is not None:
        raise failure
    for chunk in seen[-1:]:
        ours, usage = chunk.sizewise, chunk.usage
        if ours is not None:
            asked = f"{ours.attempts} questions" if ours.attempts != 1 else "1 question"
            cost = None if ours.cost_usd == "unknown" else ours.cost_usd
            tokens = f"{usage.prompt_tokens}+{usage.completion_tokens} tokens" if usage is not None else ""
            click.echo(dim(" · ".join(filter(None, (ours.model, asked, money(cost), tokens)))), err=True)
