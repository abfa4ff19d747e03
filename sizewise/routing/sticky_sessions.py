"""Sticky sessions: a policy wrapper that keeps a session on its model unless switching saves more than it costs.

A policy that knows nothing of sessions gets fewer candidates: those it would ask before the session's model are
removed, so it starts with that model and treats it as usual, held and judged or not. docs/explanation/sessions.md.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from msgspec import Struct

from sizewise.model_card import ModelCard
from sizewise.money import format_dollars
from sizewise.routing.move_reason import with_reason
from sizewise.routing.policy import (
    Attempt,
    AttemptOutcome,
    Candidate,
    Candidates,
    Hedge,
    JudgeReplies,
    Move,
    MoveResult,
    Parallel,
    Policy,
    PolicyRun,
    RequestFeatures,
    Verdict,
)
from sizewise.routing.rejection import Rejection
from sizewise.routing.session_store import JudgmentCount, SessionMemory
from sizewise.routing.strength import strength

MAX_MOVES = 100
NO_JUDGMENTS = JudgmentCount()


class SwitchTradeoff(Struct, frozen=True):
    """Both sides of leaving a model, in pico-dollars. `gain` may be negative; None if a price is unknown."""

    gain: int | None
    cost: int

    @property
    def keeps_model(self) -> bool:
        return self.gain is None or self.gain <= self.cost


def switch_tradeoff(
    session_model: Candidate,
    preferred: Candidate,
    is_held: bool,
    memory: SessionMemory,
    features: RequestFeatures,
    handover_cost: int,
) -> SwitchTradeoff:
    """The tradeoff of leaving `session_model` for `preferred`, which the policy would ask.

    gain   expected cost of the session's model less that of `preferred`. If `preferred` is held and judged (`is_held`),
           the session's model may be needed anyway: less its cost times (distrusted + 1) / (judged + 2) of the session.
    cost   what the session model's prompt cache would have saved: the cached tokens that this prompt can use, at its
           price for input less that for cached input; plus `handover_cost` if the history holds reasoning or tool
           calls.
    """
    price = session_model.card.price
    usable = min(memory.cached_tokens, features.prompt_tokens)
    fresh, kept = price.cost(features.prompt_tokens, 0), price.cost(features.prompt_tokens, 0, cached=usable)
    lost = 0 if fresh is None or kept is None else max(0, fresh - kept)
    cost = lost + (handover_cost if memory.is_model_bound else 0)
    if session_model.expected_cost is None or preferred.expected_cost is None:
        return SwitchTradeoff(None, cost)
    gain = session_model.expected_cost - preferred.expected_cost
    if is_held:
        known = memory.judgments.get(preferred.card.name, NO_JUDGMENTS)
        gain -= session_model.expected_cost * (known.distrusted + 1) // (known.judged + 2)
    return SwitchTradeoff(gain, cost)


@dataclass(frozen=True, slots=True)
class StickySessionPolicy:
    """Makes a policy sticky. `rejections`: the models that may not answer."""

    policy: Policy
    memory: SessionMemory
    handover_cost: int
    rejections: tuple[Rejection, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        return self.policy.models

    def route(self, features: RequestFeatures, candidates: Candidates) -> PolicyRun:
        known = {each.card.name: each for each in candidates}
        home = known.get(self.memory.model)
        if home is None:
            return with_reason(
                self.policy.route(features, candidates),
                f"leaves {self.memory.model}: {self._missing()}",
            )
        moves = policy_order(self.policy, features, candidates)
        place = next((i for i, move in enumerate(moves) if home.card in _cards(move)), None)
        if place is None:
            why = f"leaves {home.card.name}: this policy would not use it"
            return with_reason(self.policy.route(features, candidates), why)
        if place == 0:
            return self.policy.route(features, candidates)
        first = _cards(moves[0])[0]
        held = isinstance(moves[0], Parallel) or (isinstance(moves[0], Attempt) and moves[0].stream_mode == "hold")
        seen = switch_tradeoff(home, known[first.name], held, self.memory, features, self.handover_cost)
        if _needs_stronger(features) and strength(first) > strength(home.card):
            why = f"leaves {home.card.name} at a cost of {_usd(seen.cost)}: {_trouble(features)}"
            return with_reason(self.policy.route(features, candidates), why)
        if not seen.keeps_model:
            assert seen.gain is not None
            why = f"leaves {home.card.name}: saves {_usd(seen.gain)}, switching costs {_usd(seen.cost)}"
            return with_reason(self.policy.route(features, candidates), why)
        before = {card.name for move in moves[:place] for card in _cards(move)}
        left = tuple(each for each in candidates if each.card.name not in before)
        return _stay_route(self.policy, features, candidates, left, home.card, _why_stays(home.card, seen))

    def _missing(self) -> str:
        """Why the session's model is no candidate; constraints take precedence."""
        found = next((each for each in self.rejections if each.card.name == self.memory.model), None)
        return f"it {found.why}" if found is not None else "it is not used here"


def _needs_stronger(features: RequestFeatures) -> bool:
    """Whether a tool loop is in trouble, so that it does not stay with a model that brought it there."""
    turn = features.turn
    return turn is not None and (turn.stage == "repair" or bool(turn.stalled))


def _trouble(features: RequestFeatures) -> str:
    turn = features.turn
    return "" if turn is None else turn.stalled or "its last tool calls failed"


def policy_order(
    policy: Policy,
    features: RequestFeatures,
    candidates: Candidates,
) -> tuple[Attempt | Hedge | Parallel, ...]:
    """The order in which the policy would ask models if all failed. A hedge with a delay counts as a sequence."""
    moves: list[Attempt | Hedge | Parallel] = []
    told: MoveResult | None = None
    with closing(policy.route(features, candidates)) as route:
        try:
            for _ in range(MAX_MOVES):
                move = route.send(told)  # type: ignore[arg-type]  # a generator starts with None
                told = _failure_of(move)
                if isinstance(move, Hedge) and move.delay_s > 0:
                    moves += move.attempts
                elif isinstance(move, Attempt | Hedge | Parallel):
                    moves.append(move)
        except StopIteration:
            pass
    return tuple(moves)


def _failure_of(move: Move) -> MoveResult:
    if isinstance(move, JudgeReplies):
        return Verdict(0.0, "")
    if isinstance(move, Parallel):
        return tuple(AttemptOutcome(each.card, error="upstream_error") for each in move.attempts)
    return AttemptOutcome(move.attempts[-1].card if isinstance(move, Hedge) else move.card, error="upstream_error")


def _cards(move: Attempt | Hedge | Parallel) -> tuple[ModelCard, ...]:
    return (move.card,) if isinstance(move, Attempt) else tuple(each.card for each in move.attempts)


# ---- the policy's moves, with the session's reason added -------------------------------------------------------------


def _stay_route(
    policy: Policy,
    features: RequestFeatures,
    candidates: Candidates,
    remaining: Candidates,
    session_card: ModelCard,
    why: str,
) -> PolicyRun:
    """The policy over `remaining`, which starts with the session's model. If that fails, the policy's route over all
    candidates continues; it receives the recorded failure instead of asking that model again.
    """
    failed: AttemptOutcome | None = None
    told: MoveResult | None = None
    with closing(with_reason(policy.route(features, remaining), why, replace=True)) as route:
        while True:
            try:
                move = route.send(told)  # type: ignore[arg-type]  # a generator starts with None
            except StopIteration as stop:
                if failed is None:
                    ended: AttemptOutcome = stop.value
                    return ended
                break
            if failed is not None and not (isinstance(move, Attempt) and move.card is session_card):
                break
            told = yield move
            failed = (
                told if isinstance(told, AttemptOutcome) and told.card is session_card and not told.is_final else None
            )
    why = f"leaves {session_card.name}, which failed ({failed.error})"
    return (yield from with_reason(policy.route(features, candidates), why, failed=failed))


def _why_stays(session_card: ModelCard, tradeoff: SwitchTradeoff) -> str:
    saves = (
        "the gain of switching is unknown" if tradeoff.gain is None else f"switching would save {_usd(tradeoff.gain)}"
    )
    return f"stays with {session_card.name} in this session: {saves}, at a cost of {_usd(tradeoff.cost)}"


def _usd(pico: int) -> str:
    return f"${format_dollars(pico)}" if pico > 0 else "nothing"
