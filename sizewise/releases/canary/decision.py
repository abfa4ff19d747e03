"""Decision about a canary: go on, next step, promote or roll back, with its reason in one sentence; does no I/O.

It may end a canary at any time, for worse; for better only after every step has had its sessions and minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from msgspec import Struct

from sizewise.releases.canary.guards import GuardState, Metric
from sizewise.releases.canary.tables import SHADOW, Canary
from sizewise.settings.canary import at_step

MINUTE_MS = 60_000
NAMES: Mapping[Metric, str] = MappingProxyType(
    {"error": "errors", "quality": "quality", "slow": "slow answers", "cost": "cost"}
)

Action = Literal["wait", "next_step", "promote", "roll_back"]


class CanaryDecision(Struct, frozen=True):
    """`reason`: of an action, or what it waits for."""

    action: Action
    reason: str


def decide(canary: Canary, now: int) -> CanaryDecision:
    """`now`: unix ms."""
    if fault := fault_of(canary):
        return CanaryDecision("roll_back", fault)
    settings, progress = canary.settings, canary.progress
    if canary.paused:
        return CanaryDecision("wait", "it is paused; its guards go on: sizewise release resume")
    if canary.state == SHADOW:
        if progress.pairs < settings.shadow_pairs:
            return CanaryDecision("wait", f"{progress.pairs} of {settings.shadow_pairs} shadow pairs are there")
        return CanaryDecision("next_step", f"nothing was found in {progress.pairs} shadow pairs")
    units, minutes = int(at_step(settings.units, canary.step)), at_step(settings.minutes, canary.step)
    left = canary.step_since + round(minutes * MINUTE_MS) - now
    if progress.step_units < units:
        return CanaryDecision("wait", f"{progress.step_units} of {units} sessions of this step are there")
    if left > 0:
        return CanaryDecision("wait", f"this step takes {-(-left // MINUTE_MS)} min more")
    if canary.step + 1 < len(settings.steps):
        return CanaryDecision("next_step", f"nothing was found in {progress.step_units} sessions of its step")
    return _at_the_end(canary)


def _at_the_end(canary: Canary) -> CanaryDecision:
    certified = canary.progress.guards.certification()
    if canary.settings.promote == "manual":
        return CanaryDecision("wait", "all steps are done: sizewise release promote makes it live")
    if canary.settings.promote == "timed":
        return CanaryDecision("promote", f"nothing was found in {canary.progress.canary_units} of its sessions")
    if certified >= canary.needed:
        return CanaryDecision("promote", f"certified to be within its margins: evidence {_number(certified)}")
    least = canary.progress.guards.least_certified()
    return CanaryDecision(
        "wait", f"it is not certified yet: evidence {_number(certified)} of {_number(canary.needed)} on {NAMES[least]}"
    )


def fault_of(canary: Canary) -> str:
    """Why it is to be rolled back; empty: nothing was found."""
    progress = canary.progress
    if progress.ratio.is_broken:
        entered = progress.canary_units + progress.stable_units
        return (
            f"sample-ratio mismatch: it has {progress.canary_units} of {entered} sessions, which its share does not"
            " explain: requests are lost before they are recorded"
        )
    cause = progress.guards.rollback()
    if cause.value < canary.needed:
        return ""
    where = {"pairs": "shadow pairs", "first": "first requests", "session": "sessions"}[cause.clock]
    said = arms_text(progress.guards, cause.clock, cause.metric)
    return f"{NAMES[cause.metric]}, by {where}: {said}; evidence {_number(cause.value)} of {_number(canary.needed)}"


def arms_text(guards: GuardState, clock: Literal["pairs", "first", "session"], metric: Metric) -> str:
    """Both arms in numbers, such as `30.2 % of 41 canary, 1.0 % of 771 stable`."""
    seen = guards.evidence[clock][metric]
    if seen.canary.mean is None or seen.stable.mean is None:
        margin, _ = guards.margins.of(metric)
        worse = seen.total / seen.count + margin if seen.count else 0.0
        return f"{100 * worse:.1f} points worse in {seen.count}"
    if metric == "cost":
        ratio = seen.canary.mean / seen.stable.mean if seen.stable.mean else 0.0
        return f"{ratio:.2f} times that of stable in {seen.canary.count} canary and {seen.stable.count} stable"
    canary, stable = (f"{100 * (each.mean or 0):.1f} % of {each.count}" for each in (seen.canary, seen.stable))
    return f"{canary} canary, {stable} stable"


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{min(value, 1e6):.0f}"
