"""Agents of a run, for the terminal: each tool call with arguments and result, and why one was cut short."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import click

from sizewise.cli import operations
from sizewise.cli.output import dim
from sizewise.cli.printable import printable

MAX_SHOWN = 160
"""Characters of a call's arguments, and of its result, on one line each; --json has more."""
CUT_SHORT: Mapping[str, str] = MappingProxyType(
    {
        "step_limit": "reached its step limit, and answered from what it had (`max_steps`)",
        "cost_limit": "reached its cost limit without an answer (`max_cost_usd`)",
        "time_limit": "reached its time limit without an answer (`timeout_s`)",
        "repeated_calls": "kept making the same call, and answered from what it had",
    }
)


def print_agents(agents: Iterable[operations.AgentRun], *, calls: bool = True, err: bool = False) -> None:
    """`calls`: also the tool calls, two lines each; without them only what was cut short. `err`: to stderr."""
    found = list(agents)
    keys = [call.key for agent in found for call in agent.tool_calls] if calls else []
    if keys:
        click.echo(f"\n{dim('TOOL CALLS')}", err=err)
    wide = max(map(len, keys), default=0)
    for agent in found:
        for call in agent.tool_calls if calls else ():
            print_tool_call(f"{call.key.ljust(wide)}  ", call, err=err)
    for agent in found:
        if agent.stop_reason is not None and agent.stop_reason in CUT_SHORT:
            print_cut_short(f"the agent {agent.key}", agent.stop_reason, err=err)


def print_tool_call(head: str, call: operations.AgentToolCall, *, err: bool = False) -> None:
    """Two lines, the second one as far in as `head` is wide."""
    click.echo(f"{head}{printable(call.tool)} {_one_line(call.arguments)}".rstrip(), err=err)
    click.echo(f"{' ' * len(head)}{_result(call)}", err=err)


def cut_short(agents: Iterable[operations.AgentRun] | None) -> str | None:
    """Why the first agent of a run stopped before it was done; None: none did, or the contents are another's. Agents
    that another one asked do not count: they report to it.
    """
    own = (each for each in agents or () if not each.key.rpartition(".")[2].isdigit())
    return next((each.stop_reason for each in own if each.stop_reason in CUT_SHORT), None)


def print_cut_short(agent: str, reason: str, *, err: bool = True) -> None:
    click.echo(f"cut short: {agent} {CUT_SHORT.get(reason, f'stopped: {reason}')}", err=err)


def _result(call: operations.AgentToolCall) -> str:
    if call.result is None:
        return "-> no result yet"
    return f"-> {'failed: ' if call.failed else ''}{_one_line(call.result) or '(nothing)'}"


def _one_line(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= MAX_SHOWN else line[: MAX_SHOWN - 1] + "…"
