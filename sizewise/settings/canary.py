"""Settings of a canary: how a release that is new in an environment gets its share of requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sizewise.settings.toml_reader import setting

OFF = 1.0
"""A margin of 100 points: nothing is ever worse by more."""


@dataclass(frozen=True, slots=True)
class CanaryMargins:
    """How much worse than the stable release a canary may be; 1 switches a guard off."""

    error: float = setting(0.01, "Share of requests that fail.", minimum=0, maximum=OFF)
    quality: float = setting(
        0.03, "Share of answers that `judge` finds worse, less those it finds better.", minimum=0, maximum=OFF
    )
    slow: float = setting(
        0.05, "Share of requests that take longer than 95 % of those of the stable release did.", minimum=0, maximum=OFF
    )
    cost: float = setting(0.10, "Cost of a request, as a part of that of the stable release.", minimum=0, maximum=OFF)


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """A canary: a release that answers a share of the sessions before it answers all."""

    steps: tuple[float, ...] = setting(
        (), "Shares of sessions, as [0.05, 0.25]; empty: a release answers all requests at once.", minimum=0, maximum=1
    )
    units: tuple[int, ...] = setting(
        (200, 400, 400), "Sessions that the canary answers in each step at least; the last one is repeated.", minimum=0
    )
    minutes: tuple[float, ...] = setting(
        (10.0, 20.0, 20.0), "Minutes that each step takes at least; the last one is repeated.", minimum=0
    )
    shadow_pairs: int = setting(
        200,
        "Requests that the canary answers too before it answers any client; nobody sees those answers. 0: none.",
        minimum=0,
    )
    shadow_rate: float = setting(0.2, "Share of requests that are drawn for it, at most one of a session.", maximum=1)
    shadow_usd_per_day: float = setting(1.0, "The most that these answers and their judge cost in a day.", minimum=0)
    judge: str = setting(
        "", "Model that compares the answers of both, without knowing which is which. Empty: no guard on quality."
    )
    false_rollback: float = setting(
        0.05, "The most probable that a canary within its margins is rolled back, ever.", minimum=0.0001, maximum=0.5
    )
    promote: Literal["certified", "timed", "manual"] = setting(
        "certified",
        "When it becomes live: once shown to be within its margins; after the last step; or by `release promote`.",
    )
    margins: CanaryMargins = setting(CanaryMargins(), "")


def at_step(values: tuple[int, ...] | tuple[float, ...], step: int) -> float:
    """The last of `values` is repeated."""
    return values[min(step, len(values) - 1)] if values else 0


def canary_contradictions(path: str, canary: CanarySettings) -> list[str]:
    wrong = []
    if list(canary.steps) != sorted(set(canary.steps)) or any(not 0 < each < 1 for each in canary.steps):
        wrong.append(f"{path}.steps: use rising shares above 0 and below 1, as [0.05, 0.25, 0.5]")
    if canary.steps and not canary.shadow_pairs and canary.judge:
        wrong.append(f"{path}.judge: it compares answers of the shadow run: set `shadow_pairs`")
    return wrong
