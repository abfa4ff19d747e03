"""An agent as data: what it is told, which model thinks, which tools and agents it has, and where it stops; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sizewise.errors import BadRequest, ConfigError, nearest
from sizewise.money import PICO
from sizewise.settings.agents import Agent as Row

Words = Annotated[str, Meta(max_length=32_768)]
Names = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...], Meta(max_length=100)]

DEEPEST = 4
"""Agents that ask agents."""


class Spec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One agent. `model`, as everywhere: a policy, a role or a model, so a planner may be large and its workers small.

    `subagents`: agents that it can give a task and hear back from. `handoffs`: agents that can go on in its place, with
    the whole conversation. Limits hold for it and all that it asks; a worker has its own within them.
    """

    name: str = "agent"
    description: Words = ""
    system: Words = ""
    model: Annotated[str, Meta(min_length=1, max_length=300)] = "auto"
    policy: str | None = None
    tools: Names = ()
    subagents: Names = ()
    handoffs: Names = ()
    memory: bool = False
    auto_approve: Names = ()
    """Dangerous tools for which nobody is asked."""
    max_steps: Annotated[int, Meta(ge=1, le=1_000)] = 10
    max_cost: Annotated[int, Meta(ge=1)] | None = None  # pico-dollars
    timeout_s: Annotated[float, Meta(gt=0, le=86_400)] = 600.0
    max_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None  # of each answer
    approval_timeout_s: Annotated[float, Meta(gt=0, le=31_536_000)] = 86_400.0
    """How long a person may take to say yes to a dangerous tool."""


TRUSTED = ("auto_approve",)
"""What only the settings say: no flow may excuse a tool from asking."""


def read(row: Row, name: str) -> Spec:
    """Of the settings. Raises ConfigError."""
    said = {field: getattr(row, field) for field in Spec.__struct_fields__ if hasattr(row, field)}
    said |= {"name": name, "max_cost": round(row.max_cost_usd * PICO) or None, "policy": row.policy or None}
    said["max_tokens"] = row.max_tokens or None
    try:
        return msgspec.convert(said, Spec)
    except msgspec.ValidationError as error:
        raise ConfigError(f"agents.{name}: {error}", "fix it in sizewise.toml") from error


def given(said: Mapping[str, object], known: Mapping[str, Spec]) -> Spec:
    """Of a flow: all of an agent, or the name of one and what is narrower than there. Raises BadRequest."""
    name = said.get("name")
    if isinstance(name, str) and name in known:
        own = known[name]
        steps = said.get("max_steps")
        beyond = said.keys() - {"name", "max_steps"}
        if beyond:
            raise BadRequest(
                f"the agent {name!r} is one of the settings: `{min(beyond)}` is said there", "leave it out"
            )
        return msgspec.structs.replace(own, max_steps=min(own.max_steps, steps)) if isinstance(steps, int) else own
    if isinstance(name, str) and said.keys() <= {"name", "max_steps"}:
        hint = nearest(name, list(known)) or "declare it: [agents.NAME] in sizewise.toml"
        raise BadRequest(f"there is no agent {name[:100]!r}", hint)
    if any(field in said for field in TRUSTED):
        raise BadRequest(
            "a flow cannot excuse tools from asking a person", "the settings can: [agents.NAME] `auto_approve`"
        )
    try:
        return msgspec.convert(dict(said), Spec)
    except msgspec.ValidationError as error:
        raise BadRequest(f"this is no agent: {error}", "see [agents.NAME] of the settings for what it has") from error


def checked(known: Mapping[str, Spec]) -> None:
    """Raises ConfigError where one names an agent that is not there, or workers go round in a circle."""
    for name, spec in known.items():
        for other in (*spec.subagents, *spec.handoffs):
            if other not in known:
                hint = nearest(other, list(known)) or f"known: {', '.join(known)}"
                raise ConfigError(f"agents.{name}: there is no agent {other!r}", hint)
        _descend(name, known, ())


def _descend(name: str, known: Mapping[str, Spec], above: tuple[str, ...]) -> None:
    if name in above:
        raise ConfigError(f"agents.{name}: it is a worker of itself, by way of {', '.join(above)}", "cut the circle")
    if len(above) > DEEPEST:
        raise ConfigError(f"agents.{above[0]}: its workers have workers more than {DEEPEST} deep", "make it flatter")
    for other in known[name].subagents if name in known else ():
        _descend(other, known, (*above, name))
