"""Language judge: rejects a reply in another language than expected, where both languages are certain."""

from __future__ import annotations

from sizewise.messages import Choice, Reply
from sizewise.routing.policy import RequestFeatures, Verdict
from sizewise.routing.text.code_blocks import text_outside_blocks
from sizewise.routing.text.language_detection import detect_language, languages_differ


def language(features: RequestFeatures, replies: tuple[Reply, ...]) -> Verdict:
    """0 for the first answer in none of the expected languages; no score if there is none."""
    said = [
        detect_language(text_outside_blocks(choice.text))
        for reply in replies
        for choice in reply.choices
        if _prose(features, choice)
    ]
    if not any(said):
        return Verdict(None, "")
    expected = features.answer_format.expected_languages()
    strange = next((each for each in said if expected and all(languages_differ(each, one) for one in expected)), "")
    if strange:
        return Verdict(0.0, f"the reply is in another language than the question ({strange}, {' '.join(expected)})")
    return Verdict(None, "")


def _prose(features: RequestFeatures, choice: Choice) -> bool:
    return bool(choice.text) and not choice.tool_calls and not features.schema
