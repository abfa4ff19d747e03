"""What guards found in one request, as one line for its response and its record: counts alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from sizewise.handler import Done, Guarded

DONE: tuple[Done, ...] = get_args(Done)


def noted(events: Iterable[Guarded]) -> str:
    """`pii:EMAIL=2 masked, injection:PROMPT=1 flagged`: of each kind the most that was found, and the most done."""
    told: dict[tuple[str, str], tuple[int, int]] = {}
    for event in events:
        done = DONE.index(event.done)
        for guard, kind, count in event.found:
            before = told.get((guard, kind), (0, 0))
            told[guard, kind] = max(count, before[0]), max(done, before[1])
    return ", ".join(f"{guard}:{kind}={count} {DONE[done]}" for (guard, kind), (count, done) in told.items())
