"""The decision as sentences and as data, without asking anybody; pure, and never holds a word of the prompt.

What a policy would do is found by playing it: everyone answers, and nothing that is held back is trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from sizewise.data_class import DataClass, Place
from sizewise.errors import SizewiseError
from sizewise.handler import Ask
from sizewise.messages import Choice, Reply, Usage
from sizewise.model_card import Size
from sizewise.money import dollars
from sizewise.routing.admission import permitted, refusal
from sizewise.routing.constraints import Health, Need, field, need
from sizewise.routing.data_policy import Terms
from sizewise.routing.learned_judge import Mind
from sizewise.routing.model_aliases import Names, Plan
from sizewise.routing.policy import All, Attempt, Field, Judge, Outcome, Race, Resume, Told, Verdict
from sizewise.routing.quality_prediction import Foresight
from sizewise.routing.session_affinity import Affinity
from sizewise.routing.strongest_fallback import Fallen, safe

MAX_MOVES = 100
WHY = 200  # characters of a header


class Considered(Struct, frozen=True):
    """One model that was looked at. `why` is the reason against it, or what it would be asked for; `cost` is expected,
    in pico-dollars, None when the price is unknown."""

    model: str
    size: Size
    place: Place
    may: bool
    why: str
    cost: int | None = None


class Step(Struct, frozen=True):
    """One thing the policy would do, if what came before did not settle it."""

    models: tuple[str, ...]
    how: Literal["held and judged", "streamed", "raced", "asked together"]
    why: str


class Decision(Struct, frozen=True):
    """What would happen with a request. `error` is the code and `sentences` end with its words where nobody fits."""

    asked: str
    policy: str
    data_class: DataClass
    tokens: int  # of the prompt, estimated
    candidates: tuple[Considered, ...]
    steps: tuple[Step, ...]
    sentences: tuple[str, ...]
    error: str = ""

    @property
    def why(self) -> str:
        """The decision in one sentence, as the x-sizewise-why header may carry it."""
        return header(self.sentences[-1] if self.error or not self.steps else self.steps[0].why)


def explain(
    ask: Ask,
    names: Names,
    health: Health,
    terms: Terms,
    affinity: Affinity | None = None,
    foresight: Foresight | None = None,
    minds: Mapping[str, Mind] | None = None,
    fallen: Fallen | None = None,
) -> Decision:
    """Raises UnknownModel for a name that means nothing; nobody fitting is a Decision."""
    plan = names(ask.what, ask.wishes.policy)
    permitted(ask, plan)
    needed = need(ask, terms, plan.name)
    foresees = (minds or {}).get(plan.name) or foresight
    if foresees is not None and not plan.exact:
        needed = foresees(needed, ask.what)
    candidates, against = field(plan, needed, health)
    turn = affinity.turn(ask) if affinity is not None else None
    why = "" if fallen is None else fallen(ask.caller.tenant, plan.name)
    if why:
        plan = safe(plan, why)
    elif turn is not None:
        plan = turn.plan(plan, against)
    steps = played(plan, needed, candidates) if candidates else ()
    asked_for = {model: step.why for step in reversed(steps) for model in step.models}
    seen = [
        _considered(each.card.name, each.card.size, each.card.place, asked_for.get(each.card.name, ""), each.cost)
        for each in candidates
    ]
    seen += [Considered(each.card.name, each.card.size, each.card.place, False, each.why) for each in against]
    failed = None if candidates else refusal(plan, against)
    return Decision(
        plan.asked,
        plan.name,
        needed.data_class,
        needed.question.tokens,
        tuple(seen),
        steps,
        tuple(_sentences(plan, needed, seen, steps, failed)),
        failed.code if failed else "",
    )


def header(sentence: str) -> str:
    """One line of at most 200 Latin-1 characters, fit for an HTTP header."""
    line = " ".join("".join(c if c.isprintable() else " " for c in sentence).split())
    line = line.encode("latin-1", "replace").decode("latin-1")
    return line if len(line) <= WHY else line[: WHY - 3] + "..."


def _considered(model: str, size: Size, place: Place, why: str, cost: int | None) -> Considered:
    return Considered(model, size, place, True, why or "would only be asked if others fail", cost)


def _sentences(
    plan: Plan, need: Need, seen: list[Considered], steps: tuple[Step, ...], failed: SizewiseError | None
) -> list[str]:
    said = [f"{plan.asked!r} is answered by policy {plan.name!r}; the prompt has about {need.question.tokens} tokens."]
    if plan.exact and plan.why:
        said = [f"{plan.why[:1].upper()}{plan.why[1:]}; the prompt has about {need.question.tokens} tokens."]
    for each in seen:
        if each.may:
            cost = "its price is unknown" if each.cost is None else f"expected to cost {dollars(each.cost)} dollars"
            said.append(f"{each.model} may answer: {cost}.")
        else:
            said.append(f"{each.model} may not: it {each.why}.")
    for number, step in enumerate(steps):
        when = "First" if number == 0 else "If that is not trusted"
        said.append(f"{when}, {' and '.join(step.models)}: {step.how}, because: {step.why}.")
    if failed is not None:
        said.append(f"Nobody is asked: {failed.message}.")
    return said


def played(plan: Plan, need: Need, candidates: Field) -> tuple[Step, ...]:
    route = plan.policy.route(need.question, candidates)
    steps: list[Step] = []
    told: Told | None = None
    try:
        for _ in range(MAX_MOVES):
            move = route.send(told)  # type: ignore[arg-type]  # a generator is begun with None
            if isinstance(move, Judge):
                told = Verdict(0.0, "not trusted")
                continue
            told = _all_answer(move, len(steps) + 1)
            steps.append(_step(move))
    except StopIteration:
        pass
    finally:
        route.close()
    return tuple(steps)


def _step(move: Attempt | Race | All | Resume) -> Step:
    if isinstance(move, Race | All):
        models = tuple(each.card.name for each in move.attempts)
        return Step(models, "raced" if isinstance(move, Race) else "asked together", move.attempts[0].why)
    held = isinstance(move, Attempt) and move.commit == "hold"
    return Step((move.card.name,), "held and judged" if held else "streamed", move.why)


def _all_answer(move: Attempt | Race | All | Resume, number: int) -> Told:
    reply = Reply((Choice(text="…", finish="stop"),), Usage())
    if isinstance(move, All):
        return tuple(Outcome(each.card, reply, why=each.why, number=number) for each in move.attempts)
    card = move.attempts[0].card if isinstance(move, Race) else move.card
    return Outcome(card, reply, number=number)
