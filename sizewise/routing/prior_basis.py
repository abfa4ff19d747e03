"""Prior basis: whether a request is of the kind that an answer prior was learned from. Judges no answer."""

from __future__ import annotations

from sizewise.routing.policy import RequestFeatures
from sizewise.routing.quality.answer_prior import AnswerPrior


def missing_basis(prior: AnswerPrior, features: RequestFeatures) -> str:
    """Why the prior cannot judge small answers to this request, in words; empty if it can."""
    if features.tools or features.schema:
        return "a request for tool calls or a schema was not learned"
    if features.choice_count > 1:
        return "a request for several choices was not learned"
    if features.min_quality is not None and features.min_quality > 1.0 - prior.max_loss + 1e-9:
        return f"{features.min_quality:g} of the best model is more than {1.0 - prior.max_loss:g}"
    if not features.answer_format.is_one_question():
        return "a conversation was not learned"
    language = features.answer_format.guessed_language()
    return "" if language in prior.languages else f"the language of the question ({language}) was not learned"
