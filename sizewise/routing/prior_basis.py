"""Prior basis: whether a request is of the kind that an answer prior was learned from. Judges no answer."""

from __future__ import annotations

from sizewise.routing.policy import RequestFeatures
from sizewise.routing.quality.answer_prior import AnswerPrior


def missing_basis(prior: AnswerPrior, features: RequestFeatures) -> str:
    """Why the prior cannot judge small answers to this request, in words; empty if it can, but for its language."""
    if features.tools or features.schema:
        return "it was not learned on requests with tools or a schema"
    if features.choice_count > 1:
        return "it was not learned on requests for several choices"
    if features.min_quality is not None and features.min_quality > 1.0 - prior.max_loss + 1e-9:
        return f"it keeps {1.0 - prior.max_loss:g} of the best model's quality, not {features.min_quality:g}"
    if not features.answer_format.is_one_question():
        return "it was not learned on conversations, but on single questions"
    return ""


def missing_language(prior: AnswerPrior, features: RequestFeatures) -> str:
    """Why the prior cannot judge answers in the question's language, in words; empty if it can. Takes 10 us: last."""
    language = features.answer_format.guessed_language()
    if language in prior.languages:
        return ""
    known = ", ".join(sorted(prior.languages))
    return f"it was learned on questions in {known}, and this one is in another language or in none that can be told"
