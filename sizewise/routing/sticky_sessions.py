"""Keeps a session with its model unless leaving it saves more than it costs; pure, and the policy does not know of it.

A policy that is unaware of sessions is given fewer candidates: those that it would ask before the session's model are
taken out, so it begins with that model and treats it as ever, held and judged or not. docs/concepts/sessions.md.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from sizewise.model_card import Card
from sizewise.money import dollars
from sizewise.routing.constraints import Against
from sizewise.routing.policy import (
    All,
    Attempt,
    Candidate,
    Field,
    Judge,
    Move,
    Outcome,
    Policy,
    Question,
    Race,
    Route,
    Told,
    Verdict,
)
from sizewise.routing.session_store import Judged, Memory

MAX_MOVES = 100
NEVER = Judged()


class Weighed(Struct, frozen=True):
    """Both sides of leaving a model, in pico-dollars. `gain` may be negative; None when a price is unknown."""

    gain: int | None
    cost: int

    @property
    def stays(self) -> bool:
        return self.gain is None or self.gain <= self.cost


def weighed(home: Candidate, first: Candidate, held: bool, memory: Memory, question: Question, bound: int) -> Weighed:
    """Leaving `home`, the session's model, for `first`, whom the policy would ask.

    gain   what home is expected to cost by its list price, less what first is. Where first is only `held` and judged,
           home may have to be asked all the same: less its cost times (distrusted + 1) / (judged + 2) of this session.
    cost   what home's prompt cache would have made cheaper: the tokens of it that this prompt can use, at home's price
           for input less that for cached input; and `bound` where the history holds reasoning or tool calls.
    """
    price = home.card.price
    usable = min(memory.cached, question.tokens)
    fresh, kept = price.of(question.tokens, 0), price.of(question.tokens, 0, cached=usable)
    lost = 0 if fresh is None or kept is None else max(0, fresh - kept)
    cost = lost + (bound if memory.bound else 0)
    if home.cost is None or first.cost is None:
        return Weighed(None, cost)
    gain = home.cost - first.cost
    if held:
        known = memory.judged.get(first.card.name, NEVER)
        gain -= home.cost * (known.distrusted + 1) // (known.times + 2)
    return Weighed(gain, cost)


@dataclass(frozen=True, slots=True)
class Minding:
    """A policy that minds a session, around one that does not. `against` are the models that may not answer."""

    policy: Policy
    memory: Memory
    bound: int
    against: tuple[Against, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        return self.policy.models

    def route(self, question: Question, field: Field) -> Route:
        known = {each.card.name: each for each in field}
        home = known.get(self.memory.model)
        if home is None:
            return _led(self.policy.route(question, field), f"leaves {self.memory.model}: {self._missing()}")
        moves = order(self.policy, question, field)
        place = next((i for i, move in enumerate(moves) if home.card in _cards(move)), None)
        if place is None:
            why = f"leaves {home.card.name}: this policy would not ask it"
            return _led(self.policy.route(question, field), why)
        if place == 0:
            return self.policy.route(question, field)
        first = _cards(moves[0])[0]
        held = isinstance(moves[0], All) or (isinstance(moves[0], Attempt) and moves[0].commit == "hold")
        seen = weighed(home, known[first.name], held, self.memory, question, self.bound)
        if not seen.stays:
            assert seen.gain is not None
            why = f"leaves {home.card.name}: saves {_usd(seen.gain)}, switching costs {_usd(seen.cost)}"
            return _led(self.policy.route(question, field), why)
        before = {card.name for move in moves[:place] for card in _cards(move)}
        left = tuple(each for each in field if each.card.name not in before)
        return _staying(self.policy, question, field, left, home.card, _why_stays(home.card, seen))

    def _missing(self) -> str:
        """Why the session's model is not among the candidates: the constraints win, and the record says so."""
        found = next((each for each in self.against if each.card.name == self.memory.model), None)
        return f"it {found.why}" if found is not None else "it is not asked for here"


def order(policy: Policy, question: Question, field: Field) -> tuple[Attempt | Race | All, ...]:
    """Whom the policy would ask, one after the other, if everyone failed. A race that gives its first a start is one
    after the other too."""
    moves: list[Attempt | Race | All] = []
    told: Told | None = None
    with closing(policy.route(question, field)) as route:
        try:
            for _ in range(MAX_MOVES):
                move = route.send(told)  # type: ignore[arg-type]  # a generator is begun with None
                told = _fails(move)
                if isinstance(move, Race) and move.after_s > 0:
                    moves += move.attempts
                elif isinstance(move, Attempt | Race | All):
                    moves.append(move)
        except StopIteration:
            pass
    return tuple(moves)


def _fails(move: Move) -> Told:
    if isinstance(move, Judge):
        return Verdict(0.0, "")
    if isinstance(move, All):
        return tuple(Outcome(each.card, error="upstream_error") for each in move.attempts)
    return Outcome(move.attempts[-1].card if isinstance(move, Race) else move.card, error="upstream_error")


def _cards(move: Attempt | Race | All) -> tuple[Card, ...]:
    return (move.card,) if isinstance(move, Attempt) else tuple(each.card for each in move.attempts)


# ---- what the policy yields, with the session's reason on it ---------------------------------------------------------


def _staying(policy: Policy, question: Question, field: Field, left: Field, home: Card, why: str) -> Route:
    """The policy over those who are `left`, which begins with `home`. Where that one fails, the policy's own route over
    the whole field goes on; there the failure is told again, and home is not asked again."""
    failed: Outcome | None = None
    told: Told | None = None
    with closing(_led(policy.route(question, left), why, instead=True)) as route:
        while True:
            try:
                move = route.send(told)  # type: ignore[arg-type]  # a generator is begun with None
            except StopIteration as stop:
                if failed is None:
                    ended: Outcome = stop.value
                    return ended
                break
            if failed is not None and not (isinstance(move, Attempt) and move.card is home):
                break
            told = yield move
            failed = told if isinstance(told, Outcome) and told.card is home and not told.settled else None
    why = f"leaves {home.name}, which failed ({failed.error})"
    return (yield from _led(policy.route(question, field), why, failed=failed))


def _led(route: Route, why: str, *, instead: bool = False, failed: Outcome | None = None) -> Route:
    """`route` with `why` before the reason of its first move, or `instead` of it, and before that of its outcome where
    this is the first move's. Whoever has `failed` is not asked: the policy is told of the failure."""
    told: Told | None = None
    begun: Told | None = None
    with closing(route):
        while True:
            try:
                move = route.send(told)  # type: ignore[arg-type]  # a generator is begun with None
            except StopIteration as stop:
                got: Outcome = stop.value
                firsts = isinstance(begun, Outcome) and got.number == begun.number and got.why != begun.why
                return msgspec.structs.replace(got, why=f"{why}; {got.why}") if firsts else got
            if failed is not None and isinstance(move, Attempt) and move.card is failed.card:
                told = failed
                continue
            if begun is None:
                move = _because(move, why, instead)
            told = yield move
            begun = begun or told


def _because(move: Move, why: str, instead: bool) -> Move:
    if isinstance(move, Attempt):
        return _reasoned(move, why, instead)
    if isinstance(move, All):
        return All(tuple(_reasoned(each, why, instead) for each in move.attempts))
    if isinstance(move, Race) and move.attempts:  # the others come in only if the first is late
        return Race((_reasoned(move.attempts[0], why, instead), *move.attempts[1:]), move.after_s)
    return move


def _reasoned(move: Attempt, why: str, instead: bool) -> Attempt:
    return msgspec.structs.replace(move, why=why if instead else f"{why}; {move.why}")


def _why_stays(home: Card, seen: Weighed) -> str:
    saves = "what switching would save is unknown" if seen.gain is None else f"switching would save {_usd(seen.gain)}"
    return f"stays with {home.name} in this session: {saves} and cost {_usd(seen.cost)}"


def _usd(pico: int) -> str:
    return f"${dollars(pico)}" if pico > 0 else "nothing"
