"""Effort as a rung: which requests a model at an effort may answer, its cost by measured tokens, and its request body.

A model at an effort is a card of its own (`<name>@<effort>`), so policies, records, outcomes and certificates know
nothing of efforts: they see one more model.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from sizewise.errors import BadRequest
from sizewise.messages import ChatRequest
from sizewise.model_card import EFFORTS, Effort, ModelCard
from sizewise.providers.wires.original_body import ORIGINAL_FIELD, with_original_effort
from sizewise.routing.pace import ModelPaces
from sizewise.routing.policy import Candidate, RequestFeatures
from sizewise.routing.rejection import Rejection
from sizewise.routing.requirements import DEFAULT_ANSWER_TOKENS, Requirements, expected_cost

EFFORT_FIELD = "reasoning_effort"


def with_effort(chat: ChatRequest, effort: Effort) -> ChatRequest:
    """The request at this effort; also in the original body, if there is one."""
    fields = {**chat.fields, EFFORT_FIELD: Raw(msgspec.json.encode(effort))}
    if ORIGINAL_FIELD in fields:
        fields[ORIGINAL_FIELD] = with_original_effort(fields[ORIGINAL_FIELD], effort)
    return replace(chat, fields=fields)


def check_effort(card: ModelCard, requirements: Requirements, is_exact: bool) -> Rejection | None:
    """A request that sets an effort is answered at it. One that sets none leaves it to the policy, which then chooses
    among the efforts of a model that has several.
    """
    asked = requirements.effort
    if card.effort is not None and asked and asked != card.effort:
        why = f"thinks at the effort {card.effort!r}, and the request asks for {asked!r}"
        return Rejection(card, why, BadRequest, param=EFFORT_FIELD, hint=f"leave out `{EFFORT_FIELD}`")
    if is_exact or not card.efforts or (asked and asked not in card.efforts):
        return None
    chosen = f"at the effort {asked!r}" if asked else "at one of its efforts"
    hint = f"name one of {', '.join(f'{card.name}@{each}' for each in card.efforts)}"
    return Rejection(card, f"is asked {chosen}", BadRequest, hint=hint)


def with_measured_tokens(candidates: list[Candidate], paces: ModelPaces, features: RequestFeatures) -> list[Candidate]:
    """If a candidate has an effort, all with the expected cost of as many tokens as their answers took so far.

    An effort that was not measured yet costs at least as much as the lower ones of its model, and as little as the
    shortest answers that were measured: else a larger model that was measured first would look cheaper, and the effort
    would never be tried. Without efforts, the candidates as they are: the longest answer that the request allows is the
    same for all.
    """
    if all(each.card.effort is None for each in candidates):
        return candidates
    measured = {
        each.card.name: pace.figures()
        for each in candidates
        if (pace := paces.get(each.card.name)) is not None and pace.is_measured
    }
    shortest = min([DEFAULT_ANSWER_TOKENS, *(its.length for its in measured.values())])
    found, known = dict[str, Candidate](), dict[str, float]()
    for each in sorted(candidates, key=_effort_rank):
        figures = measured.get(each.card.name)
        least = known.get(each.card.base_name, 0.0)
        guess = DEFAULT_ANSWER_TOKENS if each.card.effort is None else shortest
        tokens = max(least, guess) if figures is None else figures.length
        known[each.card.base_name] = max(least, tokens)
        most = tokens if features.max_tokens is None else min(tokens, features.max_tokens)
        found[each.card.name] = replace(
            each,
            expected_cost=expected_cost(each.card, replace(features, max_tokens=round(most))),
            thinking_tokens=None if figures is None else round(figures.thinking),
        )
    return [found[each.card.name] for each in candidates]


def _effort_rank(candidate: Candidate) -> int:
    effort = candidate.card.effort
    return -1 if effort is None else EFFORTS.index(effort)
