"""Thinking budget of the Messages API <-> reasoning effort; pure, knows no other field.

Here it is a budget of tokens, an effort, or the model's own affair; there it is an effort.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

EFFORTS = ("low", "medium", "high", "xhigh")
"""What both call by the same name."""
EFFORT_BUDGETS: tuple[tuple[float, str], ...] = ((4_096, "low"), (16_384, "medium"), (float("inf"), "high"))
"""Tokens of thinking up to which it is this effort. Ours: no vendor says how its efforts compare to budgets."""
THINKING_KEYS: Mapping[str, frozenset[str]] = {
    "enabled": frozenset(("type", "budget_tokens")),
    "disabled": frozenset(("type",)),
    "adaptive": frozenset(("type",)),
}
"""What is understood of `thinking`, by its type."""


def effort_of_thinking(thinking: Json) -> str | None:
    """The effort that a budget stands for.

    `disabled` is what this wire does unasked, `adaptive` what others do: neither needs a word.
    """
    budget = thinking.get("budget_tokens") if thinking.get("type") == "enabled" else None
    return None if budget is None else next(effort for most, effort in EFFORT_BUDGETS if budget <= most)


def unsupported_thinking(thinking: Json) -> list[str]:
    """The paths of what it says beyond our words."""
    known = THINKING_KEYS.get(str(thinking.get("type")))
    if known is None or ("budget_tokens" in known and not isinstance(thinking.get("budget_tokens"), int)):
        return ["thinking"]
    return [f"thinking.{name}" for name, value in thinking.items() if name not in known and value is not None]
