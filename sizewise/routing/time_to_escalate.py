"""Time to escalate: which small models can be judged so early that the large one can still meet the deadline. Pure."""

from __future__ import annotations

from sizewise.routing.policy import Candidate, Candidates


def with_time_to_escalate(small: Candidates, large: Candidate, time_left_s: float | None) -> Candidates:
    """Those of `small` that can be held and judged so early that `large` can still answer within the deadline."""
    if time_left_s is None or large.latest_s is None:
        return small
    spare = time_left_s - large.latest_s
    return tuple(each for each in small if each.expected_s is None or each.expected_s <= spare)
