"""Agent spec: model, system prompt, tools, workers, handoffs and limits, from settings or from a flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sizewise.errors import BadRequest, ConfigError, did_you_mean
from sizewise.money import PICO_PER_DOLLAR
from sizewise.settings.agents import AgentSettings

SpecText = Annotated[str, Meta(max_length=32_768)]
NameList = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...], Meta(max_length=100)]

MAX_DEPTH = 4
"""Levels of subagents below an agent."""


class AgentSpec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One agent. `model` is a policy, a role or a model, so a planner can be large and its workers small.

    `subagents`: agents that get a task from it and report back. `handoffs`: agents that can continue in its place, with
    the whole conversation. The step and cost limits include its subagents, which have their own limits within them;
    the time of a subagent is counted when it returns.
    """

    name: str = "agent"
    description: SpecText = ""
    system: SpecText = ""
    model: Annotated[str, Meta(min_length=1, max_length=300)] = "auto"
    policy: str | None = None
    tools: NameList = ()
    subagents: NameList = ()
    handoffs: NameList = ()
    memory: bool = False
    auto_approve: NameList = ()
    """Tools called without the approval that they need otherwise."""
    max_steps: Annotated[int, Meta(ge=1, le=1_000)] = 10
    max_cost: Annotated[int, Meta(ge=1)] | None = None  # pico-dollars
    timeout_s: Annotated[float, Meta(gt=0, le=86_400)] = 600.0
    max_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None  # of each model answer
    approval_timeout_s: Annotated[float, Meta(gt=0, le=31_536_000)] = 86_400.0
    """How long to wait for a person to approve a tool call."""


SETTINGS_ONLY_FIELDS = ("auto_approve",)
"""Fields that a flow may not set: it cannot skip the approval of a tool."""


def spec_from_settings(settings: AgentSettings, name: str) -> AgentSpec:
    """Copies the settings field by field, so that mypy finds a rename on either side. Raises ConfigError."""
    spec = AgentSpec(
        name=name,
        description=settings.description,
        system=settings.system,
        model=settings.model,
        policy=settings.policy or None,
        tools=settings.tools,
        subagents=settings.subagents,
        handoffs=settings.handoffs,
        memory=settings.memory,
        auto_approve=settings.auto_approve,
        max_steps=settings.max_steps,
        max_cost=round(settings.max_cost_usd * PICO_PER_DOLLAR) or None,
        timeout_s=settings.timeout_s,
        max_tokens=settings.max_tokens or None,
        approval_timeout_s=settings.approval_timeout_s,
    )
    try:
        return msgspec.convert(msgspec.structs.asdict(spec), AgentSpec)  # a constructor checks no limits
    except msgspec.ValidationError as error:
        raise ConfigError(f"agents.{name}: {error}", "fix it in sizewise.toml") from error


def resolve_agent(agent: Mapping[str, object], agents: Mapping[str, AgentSpec]) -> AgentSpec:
    """The agent that a flow gives: a whole spec, or the name of a configured agent with a lower `max_steps`.

    Raises BadRequest.
    """
    name = agent.get("name")
    if isinstance(name, str) and name in agents:
        own = agents[name]
        steps = agent.get("max_steps")
        beyond = agent.keys() - {"name", "max_steps"}
        if beyond:
            raise BadRequest(
                f"the agent {name!r} is declared in the settings, which set `{min(beyond)}`",
                "remove the field, or use another name",
            )
        return msgspec.structs.replace(own, max_steps=min(own.max_steps, steps)) if isinstance(steps, int) else own
    if isinstance(name, str) and agent.keys() <= {"name", "max_steps"}:
        hint = did_you_mean(name, list(agents)) or "declare it: [agents.NAME] in sizewise.toml"
        raise BadRequest(f"there is no agent {name[:100]!r}", hint)
    if any(field in agent for field in SETTINGS_ONLY_FIELDS):
        raise BadRequest(
            "a flow cannot approve tools automatically",
            "set `auto_approve` in [agents.NAME] of sizewise.toml",
        )
    try:
        return msgspec.convert(dict(agent), AgentSpec)
    except msgspec.ValidationError as error:
        raise BadRequest(
            f"the agent is not valid: {error}", "see the fields of [agents.NAME] in docs/reference/settings.md"
        ) from error


def validate_agents(agents: Mapping[str, AgentSpec]) -> None:
    """Raises ConfigError if an agent names an unknown agent, or if subagents form a cycle or nest too deep."""
    for name, spec in agents.items():
        for other in (*spec.subagents, *spec.handoffs):
            if other not in agents:
                hint = did_you_mean(other, list(agents)) or f"known: {', '.join(agents)}"
                raise ConfigError(f"agents.{name}: there is no agent {other!r}", hint)
        _check_workers(name, agents, ())


def _check_workers(name: str, agents: Mapping[str, AgentSpec], parents: tuple[str, ...]) -> None:
    if name in parents:
        raise ConfigError(f"agents.{name}: is its own subagent, through {', '.join(parents)}", "remove the cycle")
    if len(parents) > MAX_DEPTH:
        raise ConfigError(
            f"agents.{parents[0]}: subagents are nested deeper than {MAX_DEPTH} levels",
            "nest fewer subagents",
        )
    for other in agents[name].subagents if name in agents else ():
        _check_workers(other, agents, (*parents, name))
