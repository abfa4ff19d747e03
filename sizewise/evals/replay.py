"""Replay: runs any policy over recorded outcomes and reports quality and cost without calling a model.

Runs the same policy code as the server; its moves are answered from the record. Time stands still, so the first attempt
of a hedge wins. A held reply is judged by its recorded confidence, or by a learned judge. A recorded empty answer is a
failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, isnan, sqrt

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.evals.outcomes import ModelOutcomes, OutcomeDataset, recorded_signals
from sizewise.messages import ChatRequest, Choice, Message, Reply, Usage
from sizewise.model_card import ModelCard
from sizewise.routing.answer_format import AnswerFormat
from sizewise.routing.learned_judge import LearnedJudge
from sizewise.routing.policy import (
    Attempt,
    AttemptOutcome,
    Candidate,
    Candidates,
    Hedge,
    JudgeReplies,
    MoveResult,
    Parallel,
    Policy,
    RequestFeatures,
    Resume,
    Verdict,
)
from sizewise.routing.quality.answer_signals import recorded_agreement
from sizewise.routing.quality_prediction import QualityPrediction
from sizewise.routing.strength import strength

MAX_MOVES = 100
Z_95 = 1.96  # standard errors of an interval of 95 %


class ReplayCase(Struct, frozen=True):
    """One prompt as a policy sees it: prepared once, replayed any number of times."""

    row: int
    features: RequestFeatures
    candidates: Candidates
    learned_verdicts: tuple[
        Verdict,
        ...,
    ] = ()  # of the first small answer, of the first two, ...; empty without a learned judge


class ReplayedPrompt(Struct, frozen=True):
    """The result of a policy on one prompt. `cost`: pico-dollars of all its calls; None if a price is unknown."""

    score: float
    cost: int | None
    called_models: tuple[str, ...]
    answered_by: str  # the model whose answer was returned; empty: refused


class ReplaySummary(Struct, frozen=True):
    """Means over all prompts. `quality` is 0..1, `quality_margin` half the width of its 95 % interval; `cost` is as in
    ReplayedPrompt."""

    prompts: int
    quality: float
    quality_margin: float
    cost: int | None
    answer_shares: dict[str, float]  # model -> share of the prompts, 0..1
    refusal_share: float
    calls_per_prompt: float


def replay_cases(
    dataset: OutcomeDataset,
    cards: Sequence[ModelCard],
    prediction: QualityPrediction | None = None,
    learned_judge: LearnedJudge | None = None,
) -> list[ReplayCase]:
    """The prompts that all of `cards` answered. `learned_judge`: the judge of a certified policy. Raises BadRequest if
    there are no such prompts.
    """
    columns = _columns(dataset, cards)
    rows = [row for row in range(len(dataset.ids)) if not any(isnan(its.score[row]) for its in columns.values())]
    if not rows:
        names = ", ".join(card.name for card in cards)
        raise BadRequest(f"no prompt has answers of all of {names}", "use models with answers to the same prompts")
    return [_case(dataset, cards, columns, row, prediction, learned_judge) for row in rows]


def replay(
    policy: Policy,
    cases: Sequence[ReplayCase],
    dataset: OutcomeDataset,
    cards: Sequence[ModelCard],
) -> ReplaySummary:
    """Raises BadRequest for a policy with a move that a record cannot answer."""
    return summarize(replay_prompts(policy, cases, dataset, cards))


def replay_prompts(
    policy: Policy,
    cases: Sequence[ReplayCase],
    dataset: OutcomeDataset,
    cards: Sequence[ModelCard],
) -> list[ReplayedPrompt]:
    """One for each case. Raises as `replay`."""
    columns = _columns(dataset, cards)
    replies = {name: Reply((Choice(text=name, finish_reason="stop"),), Usage(0, 0)) for name in columns}
    names = {id(reply): name for name, reply in replies.items()}
    return [_replay_case(policy, case, columns, replies, names) for case in cases]


def _columns(dataset: OutcomeDataset, cards: Sequence[ModelCard]) -> Mapping[str, ModelOutcomes]:
    return {card.name: dataset.column(card.name if card.name in dataset.columns else card.model) for card in cards}


def _case(
    dataset: OutcomeDataset,
    cards: Sequence[ModelCard],
    columns: Mapping[str, ModelOutcomes],
    row: int,
    prediction: QualityPrediction | None,
    learned_judge: LearnedJudge | None,
) -> ReplayCase:
    tokens = max(its.tokens_in[row] for its in columns.values())
    good, unforeseen = (
        ({}, "no predictor is configured") if prediction is None else prediction.predict(dataset.prompts[row])
    )
    field = [Candidate(card, card.price.max_cost(tokens, 1_000), good.get(card.name)) for card in cards]
    field.sort(key=lambda each: (each.expected_cost is None, each.expected_cost or 0, strength(each.card)))
    question = RequestFeatures(
        tokens,
        answer_format=AnswerFormat(ChatRequest("", [Message("user", dataset.prompts[row])], {})),
        abstention=unforeseen,
        predicted_quality=good,
    )
    return ReplayCase(
        row,
        question,
        tuple(field),
        () if learned_judge is None else _learned_verdicts(learned_judge, question, columns, row),
    )


def _replay_case(
    policy: Policy,
    case: ReplayCase,
    columns: Mapping[str, ModelOutcomes],
    replies: Mapping[str, Reply],
    names: Mapping[int, str],
) -> ReplayedPrompt:
    row, asked = case.row, list[str]()
    told: MoveResult | None = None
    cost: int | None = 0
    route = policy.route(case.features, case.candidates)
    for _ in range(MAX_MOVES):
        try:
            move = route.send(told)  # type: ignore[arg-type]  # starts the generator with None
        except StopIteration as stop:
            end: AttemptOutcome = stop.value
            gave = "" if end.reply is None else names[id(end.reply)]
            return ReplayedPrompt(columns[gave].score[row] if gave else 0.0, cost, tuple(asked), gave)
        if isinstance(move, JudgeReplies):
            if move.verifier is not None:
                hint = "remove `verifier` from the policy to replay it"
                raise BadRequest("the policy asks a model for a verdict, and the outcomes have none", hint)
            if case.learned_verdicts:
                told = case.learned_verdicts[len(move.replies) - 1]
            else:
                told = _verdict([columns[names[id(reply)]] for reply in move.replies], row)
            if move.prior is not None:
                signals = recorded_signals(columns[names[id(move.replies[told.best_index])]], row)
                told = msgspec.structs.replace(told, chance=move.prior.chance(signals))
            continue
        made = _attempts(move)
        for each in made:
            column = columns[each.card.name]
            more = each.card.price.cost(column.tokens_in[row], column.tokens_out[row])
            cost = None if cost is None or more is None else cost + more
            asked.append(each.card.name)
        ends = tuple([_outcome(each, row, columns, replies) for each in made])
        told = ends if isinstance(move, Parallel) else ends[0]
    raise BadRequest("the policy does not end", "fix the policy: the outcomes are valid")


def _attempts(move: Attempt | Hedge | Parallel | Resume) -> tuple[Attempt, ...]:
    """The attempts that are made, and paid for: of a hedge the first alone."""
    if isinstance(move, Attempt):
        return (move,)
    if isinstance(move, Resume):
        hint = "fix the policy: the outcomes are valid"
        raise BadRequest("the policy resumes an answer, and no recorded answer was cut off", hint)
    return move.attempts if isinstance(move, Parallel) else move.attempts[:1]


def _outcome(
    move: Attempt,
    row: int,
    columns: Mapping[str, ModelOutcomes],
    replies: Mapping[str, Reply],
) -> AttemptOutcome:
    name = move.card.name
    answer = columns[name].answer[row]
    if answer is not None and not answer.strip():
        return AttemptOutcome(move.card, error="upstream_error", message="the answer is empty", why=move.why)
    return AttemptOutcome(move.card, replies[name], why=move.why)


def _verdict(columns: Sequence[ModelOutcomes], row: int) -> Verdict:
    known = [its.confidence[row] for its in columns if not isnan(its.confidence[row])]
    if len(known) < len(columns) or not known:
        return Verdict(None, "no log-probabilities were recorded")
    least = exp(min(0.0, min(known)))
    return Verdict(least, f"recorded confidence {least:.2f}")


def _learned_verdicts(
    learned_judge: LearnedJudge,
    features: RequestFeatures,
    columns: Mapping[str, ModelOutcomes],
    row: int,
) -> tuple[Verdict, ...]:
    """The live judge's verdicts after one answer, after two, and so on."""
    asked = [columns[name] for name in learned_judge.models[:-1]]
    agrees = recorded_agreement(tuple([its.answer[row] for its in asked]))
    said = [recorded_signals(its, row) for its in asked]
    return tuple([learned_judge.judge_signals(features, said[:count], agrees) for count in range(1, len(said) + 1)])


def _wilson_margin(variance: float, count: int) -> float:
    """Half the width of Wilson's 95 % interval of a mean of scores 0..1 (1927, "Probable inference, the law of
    succession, and statistical inference"): not 0 where few prompts have all the same score.
    """
    return Z_95 / (1.0 + Z_95**2 / count) * sqrt(variance / count + Z_95**2 / (4.0 * count**2))


def summarize(found: Sequence[ReplayedPrompt]) -> ReplaySummary:
    count = len(found)
    mean = sum([each.score for each in found]) / count
    spread = sum([(each.score - mean) ** 2 for each in found]) / max(1, count - 1)
    costs = [each.cost for each in found if each.cost is not None]
    gave: dict[str, int] = {}
    for each in found:
        gave[each.answered_by] = gave.get(each.answered_by, 0) + 1
    refused = gave.pop("", 0)
    return ReplaySummary(
        prompts=count,
        quality=mean,
        quality_margin=_wilson_margin(spread * (count - 1) / count, count),
        cost=round(sum(costs) / count) if len(costs) == count else None,
        answer_shares={name: number / count for name, number in sorted(gave.items())},
        refusal_share=refused / count,
        calls_per_prompt=sum([len(each.called_models) for each in found]) / count,
    )
