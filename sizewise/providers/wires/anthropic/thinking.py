"""Thinking budget of the Messages API <-> reasoning effort; pure, knows no other field.

The Messages API takes a token budget, an effort, or leaves it to the model; the internal format has only the effort.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

EFFORTS = ("low", "medium", "high", "xhigh")
"""Efforts with the same name in both."""
NEAREST_EFFORTS: Mapping[str, str] = {"max": "xhigh"}
"""Efforts of this API alone -> the nearest of the internal format."""
EFFORT_BUDGETS: tuple[tuple[float, str], ...] = ((4_096, "low"), (16_384, "medium"), (float("inf"), "high"))
"""The most thinking tokens for each effort. Our own choice: no vendor documents how efforts map to budgets."""
THINKING_KEYS: Mapping[str, frozenset[str]] = {
    "enabled": frozenset(("type", "budget_tokens", "display")),
    "disabled": frozenset(("type",)),
    "adaptive": frozenset(("type", "display")),
}
"""The supported keys of `thinking`, by its type. `display`: other models show what reasoning they have."""


def effort_of_thinking(thinking: Json) -> str | None:
    """The effort for a thinking budget; None for other types.

    `disabled` is this API's default and `adaptive` that of the others, so neither needs a field.
    """
    budget = thinking.get("budget_tokens") if thinking.get("type") == "enabled" else None
    return None if budget is None else next(effort for most, effort in EFFORT_BUDGETS if budget <= most)


def unsupported_thinking(thinking: Json) -> list[str]:
    """The paths in `thinking` without an equivalent in the internal format."""
    known = THINKING_KEYS.get(str(thinking.get("type")))
    if known is None or ("budget_tokens" in known and not isinstance(thinking.get("budget_tokens"), int)):
        return ["thinking"]
    return [f"thinking.{name}" for name, value in thinking.items() if name not in known and value is not None]
