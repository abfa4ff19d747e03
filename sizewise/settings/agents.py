"""Settings of agents and their memory."""

from __future__ import annotations

from dataclasses import dataclass

from sizewise.settings.guardrails import tool_pattern
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import name


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """An agent: a model with tools, called in a loop until it is done or reaches a limit."""

    description: str = setting("", "What the agent is good at; read by agents that can call it.")
    system: str = setting("", "System prompt.")
    model: str = setting("auto", "Model: auto, auto:POLICY, small, large or PROVIDER/MODEL.")
    policy: str = setting("", "Policy to use if the model is `auto`.")
    tools: tuple[str, ...] = setting(
        (),
        "Tools, by name or as a prefix with a *.",
        validator=tool_pattern,
    )
    subagents: tuple[str, ...] = setting(
        (), "Agents that it can delegate tasks to; they return the result.", validator=name
    )
    handoffs: tuple[str, ...] = setting((), "Agents that it can hand the conversation over to.", validator=name)
    memory: bool = setting(False, "Let it remember, recall and forget facts about the user or session.")
    auto_approve: tuple[str, ...] = setting(
        (),
        "Dangerous tools that need no approval, by name or as a prefix with a *.",
        validator=tool_pattern,
    )
    max_steps: int = setting(
        10,
        "Maximum number of model calls, including those of agents it hands over to.",
        minimum=1,
        maximum=1_000,
    )
    max_cost_usd: float = setting(
        0.0,
        "Maximum cost of one task in dollars; 0: no limit.",
        minimum=0,
        maximum=1e6,
    )
    timeout_s: float = setting(600.0, "Timeout of one task in seconds.", minimum=0.1, maximum=86_400)
    max_tokens: int = setting(
        0, "Maximum output tokens per call; 0: the model's default.", minimum=0, maximum=1_000_000
    )
    approval_timeout_s: float = setting(
        86_400.0,
        "Seconds to wait for the approval of a dangerous tool.",
        minimum=0.1,
        maximum=31_536_000,
    )


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """Facts that agents and flows remember about users and sessions, stored encrypted."""

    retention_days: int = setting(365, "Days until a memory is deleted.", minimum=1, maximum=36_500)
    max_per_user: int = setting(
        1_000,
        "Maximum memories per user or session; the oldest are deleted first.",
        minimum=1,
        maximum=10_000,
    )
    max_rows: int = setting(1_000_000, "Maximum memories in total; the oldest are deleted first.", minimum=1)
    max_bytes: int = setting(1_000_000_000, "Maximum bytes in total; the oldest are deleted first.", minimum=1_000_000)
