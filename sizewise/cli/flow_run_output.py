"""The output of `sizewise flow run`: streams the flow's text to stdout and its cost to stderr; has no options."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import click
import msgspec
from msgspec import Struct

from sizewise.cli import operations
from sizewise.cli.agent_calls import print_agents, print_cut_short
from sizewise.cli.api_client import MAX_RESPONSE_BYTES, ApiClient, parse_error
from sizewise.cli.flow_diagnostics import diagnostics_json, print_diagnostic
from sizewise.cli.flow_environments import SHORT
from sizewise.cli.flow_list import flows_folder
from sizewise.cli.flow_run_durable import check_inputs, run_durable
from sizewise.cli.flow_runs import print_steps
from sizewise.cli.options import wants_json
from sizewise.cli.output import dim, format_money, write_json
from sizewise.cli.printable import printable
from sizewise.cli.status_line import StatusLine
from sizewise.cli.stream_reader import CHAT_PATH, StreamChunk, progress_text, read_stream
from sizewise.errors import ExternalFailure, Forbidden
from sizewise.flows.file_source import FlowFile, load_flow_files
from sizewise.flows.node_registry import NodeRegistry

PUBLISHED_TRIES = 15
"""Five a second. A server publishes a file of its folder within a second, and somewhat later on a busy machine."""
STEP_FIELDS = ("steps", "agents")


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
    """`stop_reason`: why an agent of the flow was cut short; None: none was. `agents`: with `--steps`."""

    flow: str = ""
    version: str = ""
    outputs: dict[str, object] = {}
    stop_reason: str | None = None
    steps: list[FlowStep] = []
    agents: list[operations.AgentRun] = []


class FlowRunResponse(Struct):
    sizewise: FlowRunOutput


def print_run(
    server: ApiClient,
    name: str,
    inputs: Mapping[str, str],
    status: StatusLine,
    *,
    durable: bool,
    steps: bool,
    live: bool,
) -> int:
    """The exit code: 1 if the file of the flow has errors, so that nothing ran. Raises the flow's own error."""
    file = None if live or server.remote or "@" in name else load_flow_files(flows_folder(), NodeRegistry()).get(name)
    if file is not None and file.errors:
        _report_mistakes(name, file, status)
        return 1
    if file is not None:
        asyncio.run(_until_published(server, name))
    if durable:
        return run_durable(server, name, inputs, steps, status)
    if inputs:
        asyncio.run(check_inputs(server, name.partition("@")[0], inputs))
    body: dict[str, object] = {
        "model": f"flow:{name}",
        "messages": [{"role": "user", "content": inputs.get("question", "")}],
        "metadata": dict(inputs),
        **({"sizewise": {"tool_calls": True}} if steps else {}),
    }
    if wants_json():
        whole = asyncio.run(_whole(server, body))
        write_json({key: value for key, value in msgspec.to_builtins(whole).items() if steps or key not in STEP_FIELDS})
    else:
        flow = file.validation.flow if file is not None else None
        asyncio.run(_streamed(server, body, steps, status, "" if flow is None else flow.version))
    return 0


async def _until_published(server: ApiClient, name: str) -> None:
    """Returns when the flow is there, or after some seconds: its file may have been saved a moment ago."""
    with suppress(Forbidden):
        for _ in range(PUBLISHED_TRIES):
            if await operations.get_flow_inputs(server, name=name) is not None:
                return
            await asyncio.sleep(0.2)


def _report_mistakes(name: str, file: FlowFile, status: StatusLine) -> None:
    """Instead of a run: the server would run the published version."""
    status.clear()
    if wants_json():
        write_json(diagnostics_json({name: file}, {name: file.errors}))
        return
    for each in file.errors:
        print_diagnostic(file.path, each, err=True)
    click.echo("nothing ran; use --live to run the published version", err=True)


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


async def _streamed(
    server: ApiClient, body: dict[str, object], steps: bool, status: StatusLine, file_version: str
) -> None:
    """`file_version`: of the file in the folder; empty: there is none."""
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
        request["sizewise"] = {"progress": True} | ({"tool_calls": True} if steps else {})
    status.count_seconds(asyncio.get_running_loop())
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
                print_agents(msgspec.convert(ours.agents, list[operations.AgentRun]), err=True)
            elif ours.stop_reason:
                print_cut_short("an agent", ours.stop_reason)
            asked = f"{ours.attempts} model calls" if ours.attempts != 1 else "1 model call"
            cost = None if ours.cost_usd == "unknown" else ours.cost_usd
            tokens = f"{usage.prompt_tokens}+{usage.completion_tokens} tokens" if usage is not None else ""
            told = " · ".join(filter(None, (ours.model, asked, format_money(cost), tokens)))
            click.echo(dim(printable(told)), err=True)
            ran = ours.model.rpartition("@")[2]
            if file_version and ran and not file_version.startswith(ran):
                where = "`sizewise flow list` shows where it answers"
                click.echo(f"warning: the file here is another version, {file_version[:SHORT]}: {where}", err=True)
