"""Any policy over recorded outcomes: whom it would have asked, how good that was and what it cost, without one token.

The same policy file that runs live is played: moves are answered from the record. Time stands still, so a
race is won by whoever begins. A held reply is judged by its recorded confidence, or by what was learnt of recorded
answers; a recorded silence is a failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, isnan, sqrt

from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.evals.outcomes import Column, Outcomes, heard
from sizewise.messages import Choice, Reply, Usage
from sizewise.model_card import Card
from sizewise.routing.learned_judge import Weighed
from sizewise.routing.policy import (
    All,
    Attempt,
    Candidate,
    Field,
    Judge,
    Outcome,
    Policy,
    Question,
    Race,
    Resume,
    Told,
    Verdict,
    strength,
)
from sizewise.routing.quality.answer_signals import agreed
from sizewise.routing.quality_prediction import Foresight

MAX_MOVES = 100
SURE = 1.96  # standard errors of an interval of 95 %


class Case(Struct, frozen=True):
    """One prompt as a policy sees it: worked out once, played as often as wanted."""

    row: int
    question: Question
    field: Field
    seen: tuple[Verdict, ...] = ()  # what was learnt of the first small answer, of the first two; empty: nothing was


class Answered(Struct, frozen=True):
    """What a policy did with one prompt. `cost` in pico-dollars of all it asked; None where a price is unknown."""

    score: float
    cost: int | None
    asked: tuple[str, ...]
    gave: str  # the model whose answer it gave; empty: it refused


class Replayed(Struct, frozen=True):
    """Means over all prompts. `quality` 0..1 with half the width of its 95 % interval; `cost` as in Answered."""

    prompts: int
    quality: float
    within: float
    cost: int | None
    gave: dict[str, float]  # model -> share of the prompts, 0..1
    refused: float
    asked: float  # models asked for each prompt


def cases(
    outcomes: Outcomes, cards: Sequence[Card], foresight: Foresight | None = None, weighed: Weighed | None = None
) -> list[Case]:
    """The prompts that all of `cards` answered. `weighed` judges, where a policy has learnt to. Raises BadRequest where
    there are none."""
    columns = _columns(outcomes, cards)
    rows = [row for row in range(len(outcomes.ids)) if not any(isnan(its.score[row]) for its in columns.values())]
    if not rows:
        names = ", ".join(card.name for card in cards)
        raise BadRequest(f"no prompt was answered by all of {names}", "name models that share prompts")
    return [_case(outcomes, cards, columns, row, foresight, weighed) for row in rows]


def replay(policy: Policy, played: Sequence[Case], outcomes: Outcomes, cards: Sequence[Card]) -> Replayed:
    """Raises BadRequest for a policy that yields what a record cannot answer."""
    columns = _columns(outcomes, cards)
    replies = {name: Reply((Choice(text=name, finish="stop"),), Usage(0, 0)) for name in columns}
    names = {id(reply): name for name, reply in replies.items()}
    found = [_played(policy, case, columns, replies, names) for case in played]
    return _summed(found)


def _columns(outcomes: Outcomes, cards: Sequence[Card]) -> Mapping[str, Column]:
    return {card.name: outcomes.column(card.name if card.name in outcomes.models else card.model) for card in cards}


def _case(
    outcomes: Outcomes,
    cards: Sequence[Card],
    columns: Mapping[str, Column],
    row: int,
    foresight: Foresight | None,
    weighed: Weighed | None,
) -> Case:
    tokens = max(its.tokens_in[row] for its in columns.values())
    good, unforeseen = ({}, "no router was learnt") if foresight is None else foresight.of(outcomes.prompts[row])
    field = [Candidate(card, card.price.most(tokens, 1_000), good.get(card.name)) for card in cards]
    field.sort(key=lambda each: (each.cost is None, each.cost or 0, strength(each.card)))
    question = Question(tokens, unforeseen=unforeseen, good=good)
    return Case(row, question, tuple(field), () if weighed is None else _seen(weighed, question, columns, row))


def _played(
    policy: Policy,
    case: Case,
    columns: Mapping[str, Column],
    replies: Mapping[str, Reply],
    names: Mapping[int, str],
) -> Answered:
    row, asked = case.row, list[str]()
    told: Told | None = None
    cost: int | None = 0
    route = policy.route(case.question, case.field)
    for _ in range(MAX_MOVES):
        try:
            move = route.send(told)  # type: ignore[arg-type]  # a generator is begun with None
        except StopIteration as stop:
            end: Outcome = stop.value
            gave = "" if end.reply is None else names[id(end.reply)]
            return Answered(columns[gave].score[row] if gave else 0.0, cost, tuple(asked), gave)
        if isinstance(move, Judge):
            if move.by is not None:
                hint = "replay it without its verifier"
                raise BadRequest("the policy asks a model for its opinion, and none was recorded", hint)
            if case.seen:
                told = case.seen[len(move.replies) - 1]
            else:
                told = _verdict([columns[names[id(reply)]] for reply in move.replies], row)
            continue
        made = _attempts(move)
        for each in made:
            column = columns[each.card.name]
            more = each.card.price.of(column.tokens_in[row], column.tokens_out[row])
            cost = None if cost is None or more is None else cost + more
            asked.append(each.card.name)
        ends = tuple([_outcome(each, row, columns, replies) for each in made])
        told = ends if isinstance(move, All) else ends[0]
    raise BadRequest("the policy does not come to an end", "it is at fault, not the record")


def _attempts(move: Attempt | Race | All | Resume) -> tuple[Attempt, ...]:
    """Who is asked, and so paid: of a race whoever begins."""
    if isinstance(move, Attempt):
        return (move,)
    if isinstance(move, Resume):
        hint = "it is at fault, not the record"
        raise BadRequest("the policy resumes an answer, and nothing recorded broke off", hint)
    return move.attempts if isinstance(move, All) else move.attempts[:1]


def _outcome(move: Attempt, row: int, columns: Mapping[str, Column], replies: Mapping[str, Reply]) -> Outcome:
    name = move.card.name
    answer = columns[name].answer[row]
    if answer is not None and not answer.strip():
        return Outcome(move.card, error="upstream_error", message="it said nothing", why=move.why)
    return Outcome(move.card, replies[name], why=move.why)


def _verdict(columns: Sequence[Column], row: int) -> Verdict:
    known = [its.confidence[row] for its in columns if not isnan(its.confidence[row])]
    if len(known) < len(columns) or not known:
        return Verdict(None, "no log-probabilities were recorded")
    least = exp(min(0.0, min(known)))
    return Verdict(least, f"the recorded confidence is {least:.2f}")


def _seen(weighed: Weighed, question: Question, columns: Mapping[str, Column], row: int) -> tuple[Verdict, ...]:
    """As the live judge sees the answers, one more each time."""
    asked = [columns[name] for name in weighed.models[:-1]]
    agrees = agreed(tuple([its.answer[row] for its in asked]))
    said = [heard(its, row) for its in asked]
    return tuple([weighed.verdict(question, said[:count], agrees) for count in range(1, len(said) + 1)])


def _summed(found: Sequence[Answered]) -> Replayed:
    count = len(found)
    mean = sum([each.score for each in found]) / count
    spread = sum([(each.score - mean) ** 2 for each in found]) / max(1, count - 1)
    costs = [each.cost for each in found if each.cost is not None]
    gave: dict[str, int] = {}
    for each in found:
        gave[each.gave] = gave.get(each.gave, 0) + 1
    refused = gave.pop("", 0)
    return Replayed(
        count,
        mean,
        SURE * sqrt(spread / count),
        round(sum(costs) / count) if len(costs) == count else None,
        {name: number / count for name, number in sorted(gave.items())},
        refused / count,
        sum([len(each.asked) for each in found]) / count,
    )
