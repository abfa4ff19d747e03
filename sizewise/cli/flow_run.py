"""`sizewise flow run`: runs a flow on the server; its text goes to stdout, its cost to stderr."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from sizewise.cli.api_client import MAX_RESPONSE_BYTES, ApiClient, parse_error
from sizewise.cli.flow_diagnostics import diagnostics_json, print_diagnostic
from sizewise.cli.flow_list import flows_folder
from sizewise.cli.flow_run_durable import check_inputs, run_durable
from sizewise.cli.flow_runs import print_steps
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import dim, format_money, printable, write_json
from sizewise.cli.status_line import StatusLine, progress_text, status_line
from sizewise.cli.stream_reader import CHAT_PATH, StreamChunk, read_stream
from sizewise.cli.value_completion import complete_flow
from sizewise.errors import BadRequest, ExternalFailure
from sizewise.flows.file_source import load_flow_files
from sizewise.flows.node_registry import NodeRegistry


class FlowStep(Struct, rename="camel"):
    """A step as /v1 reports it. `tokens`: of the prompt and the answer, None if unknown."""

    key: str
    state: str
    started: int
    ended: int | None = None
    decided_by: str = ""
    model: str = ""
    cost_usd: str | None = None
    error: str = ""
    tokens: tuple[int, int] | None = None


class FlowRunOutput(Struct):
    flow: str = ""
    version: str = ""
    outputs: dict[str, object] = {}
    steps: list[FlowStep] = []


class FlowRunResponse(Struct):
    sizewise: FlowRunOutput


@click.command()
@click.argument("name", shell_complete=complete_flow)
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="An input; VALUE may be JSON, @FILE, or - for stdin.",
)
@click.option("--durable", is_flag=True, help="Start a durable run and follow it; Ctrl-C leaves it running.")
@click.option("--steps", is_flag=True, help="Show each node when it ends: model, tokens, cost, time.")
@click.option("--live", is_flag=True, help="Run the published version, even if the file here has errors.")
@server_options
def run(name: str, inputs: tuple[str, ...], durable: bool, steps: bool, live: bool) -> int:
    """Run a flow on the server and stream its text.

    NAME may be NAME@VERSION. --json prints all outputs at the end. If the file in the folder has errors, they are
    reported and nothing runs.

    \b
    Example: sizewise flow run support --input question="How do I return it?"
    """
    found = api_client()
    if not live and not found.remote and "@" not in name and _mistaken(name):
        return 1
    given = dict(_input(each) for each in inputs)
    if durable:
        return run_durable(found, name, given, steps)
    if given:
        asyncio.run(check_inputs(found, name.partition("@")[0], given))
    body: dict[str, object] = {
        "model": f"flow:{name}",
        "messages": [{"role": "user", "content": given.get("question", "")}],
        "metadata": given,
    }
    if wants_json():
        whole = asyncio.run(_whole(found, body))
        write_json({key: value for key, value in msgspec.to_builtins(whole).items() if steps or key != "steps"})
    else:
        with status_line() as status:
            asyncio.run(_streamed(found, body, steps, status))
    return 0


def _mistaken(name: str) -> bool:
    """Whether the file of this name in the folder has errors, and reports them: the server would run the published
    version.
    """
    file = load_flow_files(flows_folder(), NodeRegistry()).get(name)
    if file is None or not file.errors:
        return False
    if wants_json():
        write_json(diagnostics_json({name: file}, {name: file.errors}))
        return True
    for each in file.errors:
        print_diagnostic(file.path, each, err=True)
    click.echo("nothing ran; use --live to run the published version", err=True)
    return True


def _input(said: str) -> tuple[str, str]:
    name, sign, value = said.partition("=")
    if not sign or not name:
        raise BadRequest(f"{said[:60]!r} is not an input", "write it as --input question='Why?'")
    if value == "-":
        return name, sys.stdin.buffer.read().decode("utf-8", "replace")
    if value.startswith("@"):
        try:
            return name, Path(value[1:]).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise BadRequest(f"the file {value[1:]!r} cannot be read", "give the path of a text file") from error
    return name, value


async def _whole(server: ApiClient, body: dict[str, object]) -> FlowRunOutput:
    async with server.post(CHAT_PATH, body) as response:
        data = await response.read(MAX_RESPONSE_BYTES)
        if response.status != 200:
            raise parse_error(response.status, data)
    try:
        return msgspec.json.decode(data, type=FlowRunResponse).sizewise
    except msgspec.DecodeError as error:
        raise ExternalFailure(
            "unexpected response from the server", "check that server and command have the same version"
        ) from error


async def _streamed(server: ApiClient, body: dict[str, object], steps: bool, status: StatusLine) -> None:
    seen: list[StreamChunk] = []
    spoke = ""

    def take(chunk: StreamChunk) -> None:
        nonlocal spoke
        if chunk.sizewise is not None and chunk.sizewise.progress is not None:
            if not spoke:  # a line amid the text would break it
                status.show(progress_text(chunk.sizewise.progress))
            return
        if words := "".join(choice.delta.content or "" for choice in chunk.choices):
            spoke = words
            status.clear()
            click.echo(words, nl=False)
        if chunk.sizewise is not None:
            seen.append(chunk)

    request = {**body, "stream": True, "stream_options": {"include_usage": True}}
    if status.shown:
        request["sizewise"] = {"progress": True}
    status.show(f"running {body['model']}")
    async with server.post(CHAT_PATH, request) as response:
        failure = await read_stream(response, take, "the flow")
    status.clear()
    if spoke and not spoke.endswith("\n"):
        click.echo()
    if failure is not None:
        raise failure
    for chunk in seen[-1:]:
        ours, usage = chunk.sizewise, chunk.usage
        if ours is not None:
            if steps:
                taken = msgspec.convert(ours.steps, list[FlowStep])
                print_steps(taken, {each.key: each.tokens for each in taken if each.tokens}, err=True)
            asked = f"{ours.attempts} model calls" if ours.attempts != 1 else "1 model call"
            cost = None if ours.cost_usd == "unknown" else ours.cost_usd
            tokens = f"{usage.prompt_tokens}+{usage.completion_tokens} tokens" if usage is not None else ""
            told = " · ".join(filter(None, (ours.model, asked, format_money(cost), tokens)))
            click.echo(dim(printable(told)), err=True)
