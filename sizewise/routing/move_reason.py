"""Adds a reason to the first move of a policy, and to the outcome if that move settled the request; changes no move."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import msgspec

from sizewise.routing.policy import (
    Attempt,
    AttemptOutcome,
    Candidates,
    Hedge,
    Move,
    MoveResult,
    Parallel,
    Policy,
    PolicyRun,
    RequestFeatures,
)


@dataclass(frozen=True, slots=True)
class ReasonedPolicy:
    """`policy`, with `why` before the reason of its first move: what was decided before it could choose."""

    policy: Policy
    why: str

    @property
    def models(self) -> tuple[str, ...]:
        return self.policy.models

    def route(self, features: RequestFeatures, candidates: Candidates) -> PolicyRun:
        return with_reason(self.policy.route(features, candidates), self.why)


def with_reason(
    route: PolicyRun,
    why: str,
    *,
    replace: bool = False,
    failed: AttemptOutcome | None = None,
) -> PolicyRun:
    """`route` with `why` put before the reason of its first move (or `replace` it), and before that of its outcome if
    that is the first move's. A model in `failed` is not asked again: the policy receives the failure.
    """
    told: MoveResult | None = None
    begun: MoveResult | None = None
    with closing(route):
        while True:
            try:
                move = route.send(told)  # type: ignore[arg-type]  # a generator starts with None
            except StopIteration as stop:
                got: AttemptOutcome = stop.value
                firsts = (
                    isinstance(begun, AttemptOutcome)
                    and got.attempt_number == begun.attempt_number
                    and got.why != begun.why
                )
                return msgspec.structs.replace(got, why=f"{why}; {got.why}") if firsts else got
            if failed is not None and isinstance(move, Attempt) and move.card is failed.card:
                told = failed
                continue
            if begun is None:
                move = _move_with_reason(move, why, replace)
            told = yield move
            begun = begun or told


def _move_with_reason(move: Move, why: str, replace: bool) -> Move:
    if isinstance(move, Attempt):
        return _attempt_with_reason(move, why, replace)
    if isinstance(move, Parallel):
        return Parallel(tuple(_attempt_with_reason(each, why, replace) for each in move.attempts))
    if isinstance(move, Hedge) and move.attempts:  # later attempts start only if the first is slow
        return Hedge((_attempt_with_reason(move.attempts[0], why, replace), *move.attempts[1:]), move.delay_s)
    return move


def _attempt_with_reason(move: Attempt, why: str, replace: bool) -> Attempt:
    return msgspec.structs.replace(move, why=why if replace else f"{why}; {move.why}")
