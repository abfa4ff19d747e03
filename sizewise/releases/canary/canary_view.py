"""View of a canary: one sentence, its evidence and the honest limits of what its traffic can show; does no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil
from types import MappingProxyType

from msgspec import Struct

from sizewise.releases.canary.canary_reports import CanaryReport
from sizewise.releases.canary.decision import NAMES
from sizewise.releases.canary.forecast import DAY_MS, days, units_to_certify, units_to_find
from sizewise.releases.canary.guards import CLOCKS, GuardState, Metric
from sizewise.releases.canary.tables import OPEN_STATES, SHADOW, Canary
from sizewise.releases.environments.tables import LiveRelease, ReleaseMove

FALL = 0.04
"""Points by which errors rise in the forecast."""
ASSUMED_ERRORS = 0.01
"""Of stable, before anything was seen."""
KNOWN_FROM = 50
"""Stable units from which its errors are known rather than assumed."""
MOVES: Mapping[str, str] = MappingProxyType({"apply": "apply", "promote": "promotion", "rollback": "rollback"})
"""Actions that make a release live, as nouns."""


class MetricView(Struct, frozen=True):
    """One metric as it is shown. `value`, `low`, `high`: canary minus stable, in points or as a ratio of costs; None:
    too little is known. `evidence`: for a rollback; `certified`: that it is within `margin`.
    """

    name: Metric
    margin: float
    value: float | None
    low: float | None
    high: float | None
    evidence: float
    certified: float


def metric_views(guards: GuardState, error: float) -> Iterator[MetricView]:
    """Each from the clock that has its largest evidence."""
    for name in guards.metrics():
        clocks = [clock for clock in CLOCKS if guards.has(clock, name)]
        clock = max(clocks, key=lambda each: (guards.evidence[each][name].wealth, guards.evidence[each][name].count))
        found = guards.difference(clock, name, error)
        margin, ratio = guards.margins.of(name)
        yield MetricView(
            name=name,
            margin=margin or ratio,
            value=None if found is None else found.value,
            low=None if found is None else found.low,
            high=None if found is None else found.high,
            evidence=guards.evidence[clock][name].wealth / guards.bets,
            certified=guards.certified(name),
        )


def sentence(report: CanaryReport, silent_s: float) -> str:
    """What is going on, and what happens next. `silent_s`: seconds since the last evaluation."""
    canary, share = report.canary, report.share
    name = f"The canary {canary.release[:12]} in {canary.environment}"
    if canary.state == "promoted" and report.live is not None and report.live.release != canary.release:
        return (
            f"{name} became live, {canary.reason}, and is not live any more: {_successor(report.live, report.moved)}."
        )
    if canary.state not in OPEN_STATES:
        ended = {"promoted": "has become live", "rolled_back": "was rolled back"}.get(canary.state, "was stopped")
        return f"{name} {ended}: {canary.reason}."
    if silent_s > 60:
        return f"{name} has not been evaluated for {silent_s:.0f} s: the stable release answers on all servers."
    if canary.state == SHADOW:
        doing = "answers copies of requests, which nobody sees"
    else:
        doing = f"answers {100 * share:g} % of new sessions, step {canary.step + 1} of {len(canary.settings.steps)}"
    return f"{name} {doing}: {canary.reason or 'nothing has been evaluated yet'}."


def _successor(live: LiveRelease, moved: ReleaseMove | None) -> str:
    """What answers in the place of a canary that had become live, and why."""
    word = MOVES.get(moved.action) if moved is not None and moved.release == live.release else None
    if moved is None or word is None:
        return f"{live.release[:12]} is"
    return f"{live.release[:12]} is, by the {word}{f' ({moved.reason})' if moved.reason else ''}"


def evidence_line(canary: Canary) -> str:
    guards, needed = canary.progress.guards, canary.needed
    cause = guards.rollback()
    certified = guards.certification()
    return (
        f"Evidence for a rollback {min(cause.value, 1e6):.1f} of {needed:g} ({NAMES[cause.metric]}), that it is within"
        f" its margins {min(certified, 1e6):.1f} of {needed:g} ({NAMES[guards.least_certified()]})."
    )


def units_left(canary: Canary, share: float) -> int | None:
    """Sessions of both arms until errors are certified, if they are as stable's; None: never, or they are."""
    guards, margin = canary.progress.guards, canary.settings.margins.error
    if not guards.has("session", "error") or not 0 < share < 1 or guards.certified("error") >= canary.needed:
        return None
    parts = 2.0 if guards.has("pairs", "error") else 1.0
    whole = units_to_certify(_errors(canary), margin, share, parts * canary.needed)
    return None if whole is None else max(0, whole - guards.evidence["session"]["error"].count)


def forecast_days(canary: Canary, share: float, now: int) -> float | None:
    """Until errors are certified, at this traffic. `now`: unix ms."""
    return days(units_left(canary, share), _entered(canary), _elapsed(canary, now))


def limits(canary: Canary, share: float, now: int) -> list[str]:
    """What this traffic cannot show soon, with the days that it would take. `now`: unix ms."""
    if canary.state not in OPEN_STATES or canary.state == SHADOW or not 0 < share < 1:
        return []
    found, rate, entered = [], _errors(canary), _entered(canary)
    if not entered:
        return ["No new session has come since the canary began, so nothing can be compared."]
    pace = entered * DAY_MS / _elapsed(canary, now)
    if canary.progress.guards.has("first", "error"):
        fall = rate + FALL
        needed = canary.needed * canary.progress.guards.bets
        units = units_to_find(rate, fall, canary.settings.margins.error, share, needed)
        late = days(units, entered, _elapsed(canary, now))
        if late is None or late > 1:
            when = "not be found" if late is None else f"be found after about {_days(late)}"
            found.append(
                f"At {pace:.0f} sessions a day and a share of {100 * share:g} %, errors that rise from"
                f" {100 * rate:.1f} % to {100 * fall:.1f} % would {when}: a larger share or more shadow pairs find them"
                " sooner."
            )
    wait = forecast_days(canary, share, now)
    if wait is not None and canary.settings.promote == "certified" and wait > 1:
        found.append(
            f"If its errors are those of stable, it is certified in about {_days(wait)}; sooner with a larger share,"
            " wider margins or more shadow pairs."
        )
    if not canary.progress.thresholds_at:
        found.append("Slow answers and costs are compared once the stable release has answered 100 requests.")
    return found


def _errors(canary: Canary) -> float:
    """Of stable, 0..1, with room for a rise."""
    seen = canary.progress.guards.evidence.get("first", {}).get("error")
    if seen is None or seen.stable.mean is None or seen.stable.count < KNOWN_FROM:
        return ASSUMED_ERRORS
    return min(1.0 - FALL, seen.stable.mean)


def _entered(canary: Canary) -> int:
    return canary.progress.canary_units + canary.progress.stable_units


def _elapsed(canary: Canary, now: int) -> int:
    shares = canary.progress.shares
    return max(1, now - (shares[0].at if shares else canary.started))


def _days(days: float) -> str:
    return f"{days * 24:.0f} hours" if days < 2 else f"{ceil(days)} days"
