"""Settings of agents and their memory."""

from __future__ import annotations

from dataclasses import dataclass

from sizewise.settings.guardrails import tool_pattern
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import name


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """A model with tools, which is asked again and again until it is done or a limit is reached."""

    description: str = setting("", "What it is good for: what another agent reads that may ask it.")
    system: str = setting("", "What it is told before anything else.")
    model: str = setting("auto", "Who thinks: auto, auto:POLICY, small, large or PROVIDER/MODEL.")
    policy: str = setting("", "The policy, where the model is `auto`.")
    tools: tuple[str, ...] = setting(
        (),
        "Its tools, by name or as the beginning of names and a *.",
        validator=tool_pattern,
    )
    subagents: tuple[str, ...] = setting((), "Agents that it gives tasks to and hears back from.", validator=name)
    handoffs: tuple[str, ...] = setting((), "Agents that can go on in its place.", validator=name)
    memory: bool = setting(False, "Let it remember, recall and forget what concerns the user or session.")
    auto_approve: tuple[str, ...] = setting(
        (),
        "Dangerous tools that it calls without asking a person, by name or beginning and a *.",
        validator=tool_pattern,
    )
    max_steps: int = setting(
        10,
        "Questions to models until it stops, those of agents after it too.",
        minimum=1,
        maximum=1_000,
    )
    max_cost_usd: float = setting(
        0.0,
        "Dollars that one task may cost; 0: no limit of its own.",
        minimum=0,
        maximum=1e6,
    )
    timeout_s: float = setting(600.0, "Seconds that one task may take.", minimum=0.1, maximum=86_400)
    max_tokens: int = setting(0, "The longest answer, in tokens; 0: as the model has it.", minimum=0, maximum=1_000_000)
    approval_timeout_s: float = setting(
        86_400.0,
        "Seconds that a person may take to say yes to a dangerous tool.",
        minimum=0.1,
        maximum=31_536_000,
    )


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """What agents and flows remember of users and sessions; kept sealed."""

    retention_days: int = setting(365, "Days until a memory is forgotten.", minimum=1, maximum=36_500)
    max_per_user: int = setting(
        1_000,
        "Memories of one user or session; the oldest go first.",
        minimum=1,
        maximum=10_000,
    )
    max_rows: int = setting(1_000_000, "Memories kept at most; the oldest go first.", minimum=1)
    max_bytes: int = setting(1_000_000_000, "Bytes that they may take; the oldest go first.", minimum=1_000_000)
