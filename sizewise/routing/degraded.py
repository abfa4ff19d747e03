"""Degraded answers: whether a local answer was given only because the network failed, and the reason in words."""

from __future__ import annotations

from sizewise.data_class import is_within
from sizewise.errors import ModelUnavailable, UpstreamUnreachable
from sizewise.model_card import ModelCard
from sizewise.routing.attempt_record import AttemptRecord
from sizewise.routing.constraints import cost_order
from sizewise.routing.data_policy import OFFLINE_REACH
from sizewise.routing.explain import plan_steps
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.policy import Candidate, Candidates
from sizewise.routing.rejection import Rejection
from sizewise.routing.requirements import Requirements, expected_cost


def network_replacement_reason(
    plan: RoutePlan,
    requirements: Requirements,
    candidates: Candidates,
    rejections: tuple[Rejection, ...],
    attempts: list[AttemptRecord],
    delivered: AttemptRecord | None,
) -> str:
    """Why the policy, with the network up, would not have delivered this local answer; empty if it would have. A judged
    and trusted answer would have been delivered anyway.
    """
    if delivered is None or delivered.score is not None or not _is_local(delivered.card):
        return ""
    lost = [f"{one.card.name} is unreachable" for one in attempts if _is_unreachable(one)]
    ill = [each for each in rejections if each.error is ModelUnavailable and not _is_local(each.card)]
    if ill and not plan.is_exact:
        missed = (
            Candidate(each.card, expected_cost(each.card, requirements.features), each.card.quality) for each in ill
        )
        steps = plan_steps(plan, requirements, tuple(sorted((*candidates, *missed), key=cost_order)))
        wanted = steps[-1].models if steps else ()
        lost += [f"{each.card.name} {each.why}" for each in ill if each.card.name in wanted]
    return f"{lost[0]}; {delivered.card.name} answered instead" if lost else ""


def _is_unreachable(attempt: AttemptRecord) -> bool:
    return attempt.error_code == UpstreamUnreachable.code and not _is_local(attempt.card)


def _is_local(card: ModelCard) -> bool:
    return is_within(OFFLINE_REACH, card.place)
