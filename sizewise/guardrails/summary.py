"""One-line summary of guardrail findings for the response header and the request record; counts only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from sizewise.handler import GuardrailAction, GuardrailTriggered

ACTIONS: tuple[GuardrailAction, ...] = get_args(GuardrailAction)


def guardrail_summary(events: Iterable[GuardrailTriggered]) -> str:
    """`pii:EMAIL=2 masked, injection:DIRECT=1 flagged`: the highest count and the strongest action of each kind."""
    told: dict[tuple[str, str], tuple[int, int]] = {}
    for event in events:
        done = ACTIONS.index(event.action)
        for guard, kind, count in event.findings:
            before = told.get((guard, kind), (0, 0))
            told[guard, kind] = max(count, before[0]), max(done, before[1])
    return ", ".join(f"{guard}:{kind}={count} {ACTIONS[done]}" for (guard, kind), (count, done) in told.items())
