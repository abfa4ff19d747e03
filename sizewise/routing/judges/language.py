"""Objects to a reply in another language than the person's, where both are sure; who wants a translation gets one."""

from __future__ import annotations

from sizewise.messages import Choice, Reply
from sizewise.routing.policy import Question, Verdict
from sizewise.routing.text.code_blocks import outside
from sizewise.routing.text.language_detection import differ, surely


def language(question: Question, replies: tuple[Reply, ...]) -> Verdict:
    """0 with the first answer in none of the languages that are expected; no score where there is none."""
    said = [surely(outside(choice.text)) for reply in replies for choice in reply.choices if _prose(question, choice)]
    if not any(said):
        return Verdict(None, "")
    expected = question.form.languages()
    strange = next((each for each in said if expected and all(differ(each, one) for one in expected)), "")
    if strange:
        return Verdict(0.0, f"the reply is in another language than the question ({strange}, {' '.join(expected)})")
    return Verdict(None, "")


def _prose(question: Question, choice: Choice) -> bool:
    return bool(choice.text) and not choice.tool_calls and not question.schema
