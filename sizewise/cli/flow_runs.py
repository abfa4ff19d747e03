"""`sizewise flow runs`, `status`, `cancel`, `resume`, `waiting`, `decide`, `versions`: runs on the server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Protocol, get_args

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.agent_calls import print_agents
from sizewise.cli.api_client import ApiClient
from sizewise.cli.flow_environments import SHORT, places_of
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import dim, format_money, format_seconds, format_time, write_json, write_pairs, write_table
from sizewise.cli.printable import printable
from sizewise.cli.value_completion import complete_flow
from sizewise.errors import BadRequest, Forbidden, PathNotFound

UNDERWAY = ("queued", "running", "waiting")
STATES: tuple[operations.FlowRunState, ...] = get_args(operations.FlowRunState)
NO_TOKENS: Mapping[str, tuple[int, int]] = MappingProxyType({})
SHOWN = 100
"""Characters shown of what a run asks."""

_last = click.option("-n", "--last", default=20, type=click.IntRange(1, 1_000), help="Number of runs. [20]")


class ReportedStep(Protocol):
    """A step of a run, as GraphQL or /v1 reports it. Times are unix ms."""

    @property
    def key(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def started(self) -> int: ...
    @property
    def ended(self) -> int | None: ...
    @property
    def decided_by(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def cost_usd(self) -> str | None: ...
    @property
    def error(self) -> str: ...


@click.command()
@click.argument("flow", default="", shell_complete=complete_flow)
@click.option("--state", type=click.Choice(STATES), help="Only runs in this state.")
@click.option("--before", default=0, type=click.IntRange(0), metavar="NUMBER", help="The page before this number.")
@_last
@server_options
def runs(flow: str, state: operations.FlowRunState | None, before: int, last: int) -> None:
    """List runs on the server, newest first.

    With FLOW only its runs. A flow run without --durable leaves no run.

    \b
    Example: sizewise flow runs support --state failed
    """
    page = operations.list_flow_runs(api_client(), flow=flow, state=state, before=before, last=last)
    found = asyncio.run(page)
    if wants_json():
        write_json(msgspec.to_builtins({"runs": found}))
        return
    if not found:
        click.echo("there is no such run", err=True)
        return
    write_table(
        ("STARTED", "RUN", "FLOW", "STATE", "TOOK", "BY", "ERROR"),
        [
            (format_time(r.created), r.id, _called(r), r.state, _took(r.started, r.ended), r.endpoint, r.error)
            for r in found
        ],
        right="TOOK",
    )
    if len(found) == last and found[-1].number:
        words = [
            "sizewise flow runs",
            flow,
            f"--state {state}" if state else "",
            f"--last {last}" if last != 20 else "",
        ]
        click.echo(dim(f"more: {' '.join(filter(None, words))} --before {found[-1].number}"), err=True)


async def fetch_run(server: ApiClient, id: str) -> operations.FlowRunDetails:
    """Raises PathNotFound."""
    found = await operations.get_flow_run(server, id=id)
    if found is None:
        raise PathNotFound(f"there is no run {id[:64]!r}", "list the runs: sizewise flow runs")
    return found


async def fetch_agents(server: ApiClient, id: str) -> list[operations.AgentRun] | None:
    """None if the caller may not read the run's contents."""
    found = await operations.get_flow_run_agents(server, id=id)
    return None if found is None else found.agents


@click.command()
@click.argument("run")
@click.option("--outputs", is_flag=True, help="Also show what it gave: for who started it, and with read_contents.")
@server_options
def status(run: str, outputs: bool) -> None:
    """Show a run node by node: state, model, time, cost.

    It also says why a run failed.
    Tool calls of its agents are shown with arguments and results, to whoever may read the run's contents.

    \b
    Example: sizewise flow status 4e4ab55cf1afa797c8a97d7a74388f8a --outputs
    """
    server = api_client()
    found = asyncio.run(fetch_run(server, run))
    ended = asyncio.run(_output(server, found, outputs))
    agents = asyncio.run(fetch_agents(server, run))
    if wants_json():
        given = {"outputs": ended.outputs if ended is not None else None} if outputs else {}
        write_json({**msgspec.to_builtins(found), "agents": msgspec.to_builtins(agents), **given})
        return
    write_pairs(
        [
            ("run", found.id),
            ("flow", f"{_called(found)} in {found.project!r}"),
            ("state", f"{found.state} {found.error}".rstrip()),
            *([("why", ended.failure.message)] if ended is not None and ended.failure is not None else []),
            ("started", f"{format_time(found.created)} by {found.endpoint}, key {found.key}"),
            ("took", _took(found.started, found.ended)),
            *([("attempt", str(found.attempt))] if found.attempt > 1 else []),
        ],
    )
    click.echo()
    print_steps(found.steps)
    print_agents(agents or ())
    if outputs and ended is not None and ended.outputs is not None:
        text = msgspec.json.format(msgspec.json.encode(ended.outputs)).decode()
        click.echo(f"\n{printable(text, lines=True)}")
    if hint := _next(found):
        click.echo(f"\n{hint}")


async def _output(server: ApiClient, run: operations.FlowRun, outputs: bool) -> operations.FlowRunOutput | None:
    """What a run gave, or why it failed; None: it has neither. Raises Forbidden if `outputs` may not be read."""
    if run.state != "failed" and not outputs:
        return None
    try:
        return await operations.get_flow_run_output(server, id=run.id)
    except Forbidden:
        if outputs:
            raise
        return None


@click.command()
@click.argument("run")
@server_options
def cancel(run: str) -> None:
    """Cancel a run.

    \b
    Example: sizewise flow cancel 4e4ab55cf1afa797c8a97d7a74388f8a
    """
    _tell(asyncio.run(operations.cancel_flow_run(api_client(), id=run)))


@click.command()
@click.argument("run")
@server_options
def resume(run: str) -> None:
    """Resume a run that failed or was cancelled.

    Completed nodes are not run again: it resumes at the node that failed.

    \b
    Example: sizewise flow resume 4e4ab55cf1afa797c8a97d7a74388f8a
    """
    _tell(asyncio.run(operations.resume_flow_run(api_client(), id=run)))


@click.command()
@_last
@server_options
def waiting(last: int) -> None:
    """List runs that wait for a decision, what they ask, and who can decide.

    What a run asks is shown to those who can decide it: with the permission `approve`, not to the starter of the run,
    and only to the approvers that a step names.

    \b
    Example: sizewise flow waiting
    """
    found = asyncio.run(operations.list_waiting_runs(api_client(), last=last))
    if wants_json():
        write_json(msgspec.to_builtins({"waiting": found}))
        return
    if not found:
        click.echo("no run is waiting", err=True)
        return
    write_table(
        ("SINCE", "RUN", "NODE", "FLOW", "DECIDED BY", "ASKS"),
        [
            (
                format_time(each.run.created),
                each.run.id,
                each.key,
                _called(each.run),
                format_deciders(each),
                format_question(each.request) if each.may_decide else "-",
            )
            for each in found
        ],
    )


@click.command()
@click.argument("run")
@click.argument("node")
@click.argument("decision", metavar="yes|no|JSON")
@click.option("--note", default="", help="A note to store with the decision.")
@server_options
def decide(run: str, node: str, decision: str, note: str) -> None:
    """Answer a waiting run with yes, no, or JSON.

    You cannot decide a run that you started. NODE is as shown by `sizewise flow waiting`. JSON means yes with that
    value; an object may set `approved` itself.

    \b
    Example: sizewise flow decide 4e4ab55cf1afa797c8a97d7a74388f8a refund no --note "too much"
    """
    approved, value = _decided(decision)
    told = operations.decide(api_client(), id=run, key=node, approved=approved, note=note, value=value)
    _tell(asyncio.run(told))


@click.command()
@click.argument("name", shell_complete=complete_flow)
@_last
@server_options
def versions(name: str, last: int) -> None:
    """List versions of a flow, newest first, and where each is live.

    \b
    Example: sizewise flow versions support
    """
    found, environments = asyncio.run(_versions(api_client(), name, last))
    if not found:
        raise BadRequest(f"there is no version of the flow {name[:60]!r}", "run: sizewise flow list")
    if wants_json():
        shown: list[dict[str, object]] = [msgspec.to_builtins(each) for each in found]
        write_json(
            {"versions": [each | {"places": places_of(environments, name, str(each["version"]))} for each in shown]}
        )
        return
    write_table(
        ("VERSION", "SINCE", "BY", "LIVE"),
        [
            (each.version[:SHORT], format_time(each.created), each.created_by, _live(each, environments, name))
            for each in found
        ],
    )


async def _versions(
    server: ApiClient, name: str, last: int
) -> tuple[list[operations.FlowVersion], list[operations.EnvironmentFlows]]:
    return await asyncio.gather(
        operations.list_flow_versions(server, name=name, limit=last), operations.list_flows_by_environment(server)
    )


def _live(version: operations.FlowVersion, environments: list[operations.EnvironmentFlows], name: str) -> str:
    """Where there are environments, those in which it answers; else whether it is what is published."""
    if environments:
        return ", ".join(places_of(environments, name, version.version))
    return "live" if version.live else ""


def print_steps(
    steps: Iterable[ReportedStep],
    tokens: Mapping[str, tuple[int, int]] = NO_TOKENS,
    err: bool = False,
) -> None:
    """One line per node. `err`: to stderr, apart from the flow's text."""
    heads = ("NODE", "STATE", "MODEL", *(("TOKENS",) if tokens else ()), "COST", "TIME", "")
    rows = [
        (
            each.key,
            each.state,
            each.model or "-",
            *(("+".join(map(str, tokens.get(each.key, ()))) or "-",) if tokens else ()),
            format_money(each.cost_usd) if each.model or each.cost_usd not in ("0", None) else "-",
            _took(each.started, each.ended),
            each.error or (f"by {each.decided_by}" if each.decided_by else ""),
        )
        for each in steps
    ]
    write_table(heads, rows, right="TOKENS COST TIME", err=err)


def format_deciders(waiting: operations.WaitingRun) -> str:
    """Who can decide, in one line."""
    if waiting.may_decide:
        return "you"
    return ", ".join(waiting.approvers) or "others with `approve`"


def format_question(asked: object) -> str:
    """What a run asks, in one line."""
    said = asked.get("question") if isinstance(asked, dict) else None
    text = said if isinstance(said, str) and said else msgspec.json.encode(asked).decode()
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"


def _decided(said: str) -> tuple[bool, object]:
    """Raises BadRequest."""
    if said.lower() in ("yes", "no"):
        return said.lower() == "yes", None
    try:
        value = msgspec.json.decode(said)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise BadRequest(f"{said[:60]!r} is not a decision", "use yes, no, or JSON") from error
    if isinstance(value, dict) and isinstance(value.get("approved"), bool):
        return value["approved"], value.get("value")
    return True, value


def _tell(run: operations.FlowRun) -> None:
    if wants_json():
        write_json(msgspec.to_builtins(run))
    else:
        click.echo(f"the run {run.id} is {run.state}")


def _next(run: operations.FlowRunDetails) -> str:
    if run.state == "waiting":
        waits = next((each.key for each in run.steps if each.state == "waiting"), "NODE")
        return f"decide: sizewise flow decide {run.id} {waits} yes"
    return f"resume: sizewise flow resume {run.id}" if run.state in ("failed", "cancelled") else ""


def _called(run: operations.FlowRun) -> str:
    return f"{run.flow}@{run.version[:SHORT]}"


def _took(began: int | None, ended: int | None) -> str:
    return "-" if began is None or ended is None else format_seconds(ended - began)
