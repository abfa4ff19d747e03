"""Whether an answer stands in for one that the network kept away, and the words for it; pure."""

from __future__ import annotations

from sizewise.data_class import reaches
from sizewise.errors import ModelUnavailable, UpstreamDown
from sizewise.model_card import Card
from sizewise.routing.attempt_record import Try
from sizewise.routing.constraints import Against, Need, by_cost, expected
from sizewise.routing.data_policy import OFFLINE
from sizewise.routing.explain import played
from sizewise.routing.model_aliases import Plan
from sizewise.routing.policy import Candidate, Field


def stands_in(
    plan: Plan, need: Need, field: Field, against: tuple[Against, ...], tries: list[Try], shown: Try | None
) -> str:
    """Why `shown`, an answer of this machine, is not what the policy would have given with the network there; empty
    where it is. A small answer that was judged and trusted would have been given all the same.
    """
    if shown is None or shown.score is not None or not _near(shown.card):
        return ""
    lost = [f"{one.card.name} cannot be reached" for one in tries if _down(one)]
    ill = [each for each in against if each.error is ModelUnavailable and not _near(each.card)]
    if ill and not plan.exact:
        missed = (Candidate(each.card, expected(each.card, need.question), each.card.quality) for each in ill)
        steps = played(plan, need, tuple(sorted((*field, *missed), key=by_cost)))
        wanted = steps[-1].models if steps else ()
        lost += [f"{each.card.name} {each.why}" for each in ill if each.card.name in wanted]
    return f"{lost[0]}; {shown.card.name} answered in its place" if lost else ""


def _down(one: Try) -> bool:
    return one.code == UpstreamDown.code and not _near(one.card)


def _near(card: Card) -> bool:
    return reaches(OFFLINE, card.place)
