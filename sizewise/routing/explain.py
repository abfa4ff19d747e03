"""Explains a routing decision as data and sentences without calling a model. Contains nothing of the prompt.

The policy is run with simulated outcomes: every model answers, and no held reply is trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace as replace_plan
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from sizewise.data_class import DataClass, Place
from sizewise.errors import ContextLengthExceeded, SizewiseError
from sizewise.handler import Request
from sizewise.messages import Choice, Reply, Usage
from sizewise.model_card import ModelCard, SizeClass
from sizewise.money import format_dollars
from sizewise.routing.admission import check_key_policies, no_model_error
from sizewise.routing.constraints import HealthCheck, eligible_models
from sizewise.routing.data_policy import DataPolicy
from sizewise.routing.deadlines import Forecaster, with_time_left
from sizewise.routing.freshness import freshness_warning, question_time
from sizewise.routing.languages import question_language
from sizewise.routing.learned_judge import CertificateModels
from sizewise.routing.model_aliases import ModelAliases, RoutePlan
from sizewise.routing.move_reason import ReasonedPolicy
from sizewise.routing.pace import ModelPaces
from sizewise.routing.policy import (
    Attempt,
    AttemptOutcome,
    Candidates,
    Hedge,
    JudgeReplies,
    MoveResult,
    Parallel,
    Resume,
    Verdict,
)
from sizewise.routing.prompt_count import NO_COUNTS, is_near_window
from sizewise.routing.quality_prediction import QualityPrediction
from sizewise.routing.rejection import with_exclusions
from sizewise.routing.requirements import Requirements, requirements_of
from sizewise.routing.session_affinity import SessionAffinity
from sizewise.routing.strongest_fallback import DistrustCheck, with_strongest_fallback

MAX_MOVES = 100
MAX_HEADER_CHARS = 200  # of a header value


class CandidateExplanation(Struct, frozen=True):
    """One model of the plan. `why`: the reason for its rejection, or for asking it. `expected_cost` in pico-dollars,
    None if the price is unknown; `expected_s`: predicted seconds to the last token, None if it was not measured yet.
    `counted_tokens`: of the prompt by its tokenizer, None where the estimate suffices or is all there is; `size_note`
    says which, near the window.
    """

    model: str
    size: SizeClass
    place: Place
    eligible: bool
    why: str
    expected_cost: int | None = None
    expected_s: float | None = None
    counted_tokens: int | None = None
    size_note: str = ""
    too_long: bool = False  # the prompt, for its window
    effort: str = ""  # of its reasoning; empty: as the request asks
    thinking_tokens: int | None = None  # of its answers so far; None: no efforts are compared, or not measured yet


class DecisionStep(Struct, frozen=True):
    """One step of the policy, taken if the steps before it did not settle the request. `why`: of this request."""

    models: tuple[str, ...]
    how: Literal["held and judged", "streamed", "raced", "asked together"]
    why: str
    threshold: float | None = None  # score or chance, 0..1, from which its answer is shown; None: it is not judged
    average: str = ""  # what holds on average over requests, and not for this one; empty: nothing is known


class RoutingDecision(Struct, frozen=True):
    """What would happen to a request. If no model fits, `error` is the code and `sentences` end with the message."""

    requested_model: str
    policy: str
    data_class: DataClass
    prompt_tokens: int  # of the prompt, estimated
    candidates: tuple[CandidateExplanation, ...]
    steps: tuple[DecisionStep, ...]
    sentences: tuple[str, ...]
    error: str = ""
    freshness: str = ""  # why the answer of the first model may be out of date; empty: nothing shows it
    language: str = ""  # ISO 639 code of the question; empty: uncertain, or the same for all models

    @property
    def why(self) -> str:
        """The decision in one sentence, as in the x-sizewise-why header."""
        return header_value(self.sentences[-1] if self.error or not self.steps else self.steps[0].why)


def explain(
    request: Request,
    aliases: ModelAliases,
    health_check: HealthCheck,
    data_policy: DataPolicy,
    affinity: SessionAffinity | None = None,
    prediction: QualityPrediction | None = None,
    certificate_models: Mapping[str, CertificateModels] | None = None,
    distrust_check: DistrustCheck | None = None,
    forecaster: Forecaster | None = None,
    counts: Mapping[str, int] = NO_COUNTS,
    today: str = "",
    compacted: str = "",
    keeps_room: bool = False,
) -> RoutingDecision:
    """Raises ModelNotFound for an unknown name. If no model fits, the decision holds the error. `counts`: exact prompt
    tokens by model name. `today`: as 2026-11-28, for `freshness`; empty: it is not looked for. `compacted`: what was
    done to `request` before; `keeps_room`: as in Requirements.
    """
    plan = aliases(request.payload, request.options.policy)
    check_key_policies(request, plan)
    needed = requirements_of(request, data_policy, plan.policy_name)
    foresees = (certificate_models or {}).get(plan.policy_name) or prediction
    if foresees is not None and not plan.is_exact:
        needed = foresees(needed, request.payload)
    forecast = (forecaster or Forecaster(ModelPaces())).for_request(request, request.started_at, probes=False)
    needed = replace(needed, features=with_time_left(needed.features, forecast), counts=counts, keeps_room=keeps_room)
    candidates, against = eligible_models(plan, needed, health_check, forecast)
    turn = affinity.for_request(request) if affinity is not None else None
    why = "" if distrust_check is None else distrust_check(request.principal.tenant, plan.policy_name)
    if why:
        plan = with_strongest_fallback(plan, why)
    elif turn is not None:
        plan = turn.apply(plan, against)
    plan = with_exclusions(plan, against, alone=len(candidates) == 1 and turn is None)
    if compacted:
        plan = replace_plan(plan, policy=ReasonedPolicy(plan.policy, compacted))
    steps = plan_steps(plan, needed, candidates) if candidates else ()
    asked_for = {model: step.why for step in reversed(steps) for model in step.models}
    seen = [
        CandidateExplanation(
            model=each.card.name,
            size=each.card.size,
            place=each.card.place,
            eligible=True,
            why=(asked_for.get(each.card.name, "") or "used only if other models fail") + _size_note(each.card, needed),
            expected_cost=each.expected_cost,
            expected_s=None if (predicted := forecast(each.card, needed.features)) is None else predicted.expected_s,
            counted_tokens=counts.get(each.card.name),
            size_note=_size_note(each.card, needed),
            effort=each.card.effort or "",
            thinking_tokens=each.thinking_tokens,
        )
        for each in candidates
    ]
    seen += [
        CandidateExplanation(
            model=each.card.name,
            size=each.card.size,
            place=each.card.place,
            eligible=False,
            why=each.why + _size_note(each.card, needed),
            counted_tokens=counts.get(each.card.name),
            too_long=each.error is ContextLengthExceeded,
        )
        for each in against
    ]
    failed = None if candidates else no_model_error(plan, against)
    first = {each.card.name: each.card for each in candidates}.get(steps[0].models[0]) if steps else None
    is_dated = first is not None and today and not plan.names_model
    stale = freshness_warning(first, question_time(request.payload), today) if first and is_dated else ""
    return RoutingDecision(
        requested_model=plan.requested_model,
        policy=plan.policy_name,
        data_class=needed.data_class,
        prompt_tokens=needed.features.prompt_tokens,
        candidates=tuple(seen),
        steps=steps,
        sentences=(*_sentences(plan, needed, seen, steps, failed), *([f"Freshness: {stale}."] if stale else ())),
        error=failed.code if failed else "",
        freshness=stale,
        language="" if plan.is_exact else question_language(plan.cards, needed.features),
    )


def header_value(sentence: str) -> str:
    """One line of at most 200 Latin-1 characters, safe in an HTTP header."""
    line = " ".join("".join(c if c.isprintable() else " " for c in sentence).split())
    line = line.encode("latin-1", "replace").decode("latin-1")
    return line if len(line) <= MAX_HEADER_CHARS else line[: MAX_HEADER_CHARS - 3] + "..."


def _sentences(
    plan: RoutePlan,
    requirements: Requirements,
    seen: list[CandidateExplanation],
    steps: tuple[DecisionStep, ...],
    failed: SizewiseError | None,
) -> list[str]:
    said = [
        (
            f"{plan.requested_model!r} uses the policy {plan.policy_name!r}; the prompt has about "
            f"{requirements.features.prompt_tokens} tokens."
        ),
    ]
    if plan.is_exact and plan.why:
        said = [
            f"{plan.why[:1].upper()}{plan.why[1:]}; the prompt has about {requirements.features.prompt_tokens} tokens.",
        ]
    turn = requirements.features.turn
    if turn is not None:
        stalled = f"; it has stalled: {turn.stalled}" if turn.stalled else ""
        said.append(f"Turn {turn.number} of an agent's tool loop: {turn.stage}{stalled}.")
    for each in seen:
        if each.eligible:
            cost = (
                "its price is unknown"
                if each.expected_cost is None
                else f"expected to cost {format_dollars(each.expected_cost)} dollars"
            )
            time = "" if each.expected_s is None else f", in about {each.expected_s:.1f} s"
            said.append(f"{each.model} is eligible: {cost}{time}{each.size_note}.")
        else:
            said.append(f"{each.model} is not eligible: it {each.why}.")
    for number, step in enumerate(steps):
        when = "First" if number == 0 else "If its answer is not trusted"
        said.append(f"{when}, {' and '.join(step.models)}: {step.how}, because: {step.why}.")
    if failed is not None:
        said.append(f"No model is used: {failed.message}.")
    return said


def _size_note(card: ModelCard, requirements: Requirements) -> str:
    """Where the prompt is near the window: by what its tokens were counted."""
    counted = requirements.counts.get(card.name)
    if counted is not None:
        return f"; its tokenizer counts {counted} prompt tokens, and its window has {card.context}"
    if is_near_window(card, requirements):
        return f"; the tokens are estimated, as its tokenizer is not here, and its window has {card.context}"
    return ""


def plan_steps(plan: RoutePlan, requirements: Requirements, candidates: Candidates) -> tuple[DecisionStep, ...]:
    route = plan.policy.route(requirements.features, candidates)
    steps: list[DecisionStep] = []
    told: MoveResult | None = None
    try:
        for _ in range(MAX_MOVES):
            move = route.send(told)  # type: ignore[arg-type]  # a generator starts with None
            if isinstance(move, JudgeReplies):
                told = Verdict(0.0, "")
                continue
            told = _all_answer(move, len(steps) + 1)
            steps.append(_step(move))
    except StopIteration:
        pass
    finally:
        route.close()
    return tuple(steps)


def _step(move: Attempt | Hedge | Parallel | Resume) -> DecisionStep:
    if isinstance(move, Hedge | Parallel):
        models = tuple(each.card.name for each in move.attempts)
        first = move.attempts[0]
        return DecisionStep(
            models,
            "raced" if isinstance(move, Hedge) else "asked together",
            first.why,
            threshold=first.threshold,
            average=first.average,
        )
    if isinstance(move, Resume) or move.stream_mode != "hold":
        return DecisionStep((move.card.name,), "streamed", move.why)
    return DecisionStep((move.card.name,), "held and judged", move.why, threshold=move.threshold, average=move.average)


def _all_answer(move: Attempt | Hedge | Parallel | Resume, number: int) -> MoveResult:
    reply = Reply((Choice(text="…", finish_reason="stop"),), Usage())
    if isinstance(move, Parallel):
        return tuple(AttemptOutcome(each.card, reply, why=each.why, attempt_number=number) for each in move.attempts)
    card = move.attempts[0].card if isinstance(move, Hedge) else move.card
    return AttemptOutcome(card, reply, attempt_number=number)
