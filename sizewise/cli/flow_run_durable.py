"""`sizewise flow run --durable`: starts a durable run on the server and follows it until it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.agent_calls import cut_short, print_agents
from sizewise.cli.api_client import ApiClient, ErrorDetails, to_exception
from sizewise.cli.flow_runs import UNDERWAY, fetch_agents, fetch_run, format_deciders, format_question, print_steps
from sizewise.cli.options import wants_json
from sizewise.cli.output import dim, write_json
from sizewise.cli.status_line import StatusLine
from sizewise.errors import BadRequest, Conflict, Forbidden, did_you_mean

LOOK_S = 0.05, 1.0
"""Seconds between two polls: at first, and at most."""
PLAIN = ("text", "json")


def run_durable(server: ApiClient, name: str, given: Mapping[str, str], steps: bool, status: StatusLine) -> int:
    """Raises the error that the run failed with."""
    flow, _, version = name.partition("@")
    inputs = asyncio.run(_typed(server, flow, given))
    run = asyncio.run(operations.start_flow_run(server, flow=flow, version=version, inputs=inputs)).id
    status.clear()
    click.echo(dim(f"run {run}"), err=True)
    try:
        ended = asyncio.run(_ended(server, run, status))
    except (KeyboardInterrupt, asyncio.CancelledError):
        status.clear()
        click.echo(f"\nthe run continues: sizewise flow status {run}\ncancel it: sizewise flow cancel {run}", err=True)
        raise
    status.clear()
    agents = asyncio.run(fetch_agents(server, run))
    if not wants_json():
        if steps:
            print_steps(ended.steps, err=True)
        print_agents(agents or (), calls=steps, err=True)
    said = asyncio.run(operations.get_flow_run_output(server, id=run))
    if ended.state == "cancelled":
        raise Conflict(f"the run {run} was cancelled", f"resume it: sizewise flow resume {run}")
    if said is not None and said.failure is not None:
        wrong = said.failure
        hint = (
            f"{wrong.hint}; then: sizewise flow resume {run}"
            if wrong.hint
            else (f"resume it: sizewise flow resume {run}")
        )
        raise to_exception(ErrorDetails(wrong.message, wrong.code, hint))
    outputs = None if said is None else said.outputs
    if wants_json():
        told = {"run": run, "flow": ended.flow, "version": ended.version, "outputs": outputs}
        shown = {"steps": ended.steps, "agents": agents} if steps else {}
        write_json(told | {"stop_reason": cut_short(agents)} | msgspec.to_builtins(shown))
    else:
        click.echo(_shown(outputs))
    return 0


async def check_inputs(server: ApiClient, flow: str, inputs: Mapping[str, str]) -> None:
    """Raises BadRequest for an input that the flow does not have, as far as this key may read its inputs."""
    try:
        known = await operations.get_flow_inputs(server, name=flow)
    except Forbidden:
        return
    names = [each.name for each in known.inputs] if known is not None else list(inputs)
    for name in inputs:
        if name not in names:
            hint = did_you_mean(name, names) or f"inputs of the flow {flow!r}: {', '.join(names) or 'none'}"
            raise BadRequest(f"there is no input {name[:60]!r}", hint)


async def _typed(server: ApiClient, flow: str, inputs: Mapping[str, str]) -> dict[str, object]:
    """Converts the command-line text to the type of the flow's input; passes it unchanged if that fails."""
    known = await operations.get_flow_inputs(server, name=flow)
    plain = {each.name for each in known.inputs if each.type in PLAIN} if known is not None else set()
    return {name: said if name in plain else _value(said) for name, said in inputs.items()}


def _value(said: str) -> object:
    try:
        return msgspec.json.decode(said)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return said


async def _ended(server: ApiClient, run: str, status: StatusLine) -> operations.FlowRunDetails:
    """The run when it has ended; reports each node that waits for a decision once."""
    status.count_seconds(asyncio.get_running_loop())
    pause, most = LOOK_S
    told: set[str] = set()
    while (found := await fetch_run(server, run)).state in UNDERWAY:
        status.update(_status(found))
        waits = {each.key for each in found.steps if each.state == "waiting"} - told
        if waits:
            told |= waits
            for each in await operations.list_waiting_runs(server, last=1_000):
                if each.run.id == run and each.key in waits:
                    status.clear()
                    asks = format_question(each.request) if each.may_decide else f"for {format_deciders(each)}"
                    click.echo(f"{each.key} waits: {asks}", err=True)
                    click.echo(f"  sizewise flow decide {run} {each.key} yes", err=True)
        await asyncio.sleep(pause)
        pause = min(most, pause * 1.5)
    return found


def _status(run: operations.FlowRunDetails) -> str:
    """The nodes that run or wait now."""
    running = [f"running {each.key}" for each in run.steps if each.state == "running"]
    waiting = [f"{each.key} waits for a person" for each in run.steps if each.state == "waiting"]
    return " · ".join([*running, *waiting]) or f"the run is {run.state}"


def _shown(outputs: object) -> str:
    """A string as it is, everything else as JSON."""
    if isinstance(outputs, dict) and len(outputs) == 1:
        (only,) = outputs.values()
        if isinstance(only, str):
            return only
    return msgspec.json.format(msgspec.json.encode(outputs), indent=2).decode()
