"""Rule judge: rejects empty, refused, looping or malformed replies by fixed rules. A pass does not mean good."""

from __future__ import annotations

import json
import re

from sizewise.messages import Choice, Reply
from sizewise.routing.policy import RequestFeatures, Verdict

OPENING_CHARS = 200  # characters at the start that are searched for a refusal or non-answer
MIN_LOOP_WORDS = 40  # fewer words are not checked for loops
MIN_UNIQUE_SHARE = 0.4  # share of distinct runs of four words; prose has above 0.9, lists and code above 0.6

REFUSALS = re.compile(
    r"\bi(?:'m| am) (?:sorry|afraid)\b[^.!?]{0,40}\b(?:can't|cannot|can not|couldn't|unable|don't|not able)\b|"
    r"\bi(?:'m| am) unable to\b|"
    r"\bi (?:can't|cannot|can not|couldn't|could not) (?:help|assist|answer|do that|provide|fulfill?|comply)\b|"
    r"\bas an? (?:ai\b|(?:large )?language model)|"
    r"\bi(?:'m| am) (?:just |only )?an? (?:ai\b|(?:large )?language model)",
    re.IGNORECASE,
)
NON_ANSWERS = re.compile(
    r"\b(?:i (?:do not|don't|really don't) (?:know|have (?:access|enough|any information|the information))|"
    r"i(?:'m| am) not (?:sure|certain|able)|i have no (?:idea|information|way))",
    re.IGNORECASE,
)
TOOL_CALL_TEXT = re.compile(r"<tool_call>|<function=|\"(?:arguments|parameters)\"\s*:\s*[{\"]")


def rules(features: RequestFeatures, replies: tuple[Reply, ...]) -> Verdict:
    """0 for the first problem in any choice of any reply; no score if there is none."""
    for reply in replies:
        if not reply.choices:
            return Verdict(0.0, "the reply is empty")
        for choice in reply.choices:
            words = find_problem(features, choice)
            if words:
                return Verdict(0.0, words)
    return Verdict(None, "no rule rejects the reply")


def find_problem(features: RequestFeatures, choice: Choice) -> str:
    """What is wrong with this answer, as a sentence; empty if nothing is."""
    text = choice.text.strip()
    if choice.tool_calls:
        return _calls(choice)
    if not text:
        return "the reply is empty"
    if choice.finish_reason == "length" and features.max_tokens is None:
        return "the reply was cut off at the model's own limit"
    if choice.finish_reason == "content_filter":
        return "a content filter withheld the reply"
    if features.schema and not _is_json(text):
        return "the request asked for JSON, and the reply is not JSON"
    if features.tools and TOOL_CALL_TEXT.search(text):
        return "the reply writes a tool call as plain text"
    if is_refusal(text):
        return "the reply is a refusal"
    if NON_ANSWERS.search(_opening(text)):
        return "the reply says that the model does not know"
    if _loops(text):
        return "the reply repeats itself"
    return ""


def is_refusal(text: str) -> bool:
    """Whether an answer begins by refusing."""
    return REFUSALS.search(_opening(text)) is not None


def _opening(text: str) -> str:
    return text[:OPENING_CHARS].replace("’", "'")


def _calls(choice: Choice) -> str:
    for call in choice.tool_calls:
        if call.type != "function":
            continue  # another type of tool, whose arguments are not checked
        if call.function is None or not call.function.name:
            return "a tool call names no function"
        if not _is_object(call.function.arguments or "{}"):
            return "a tool call's arguments are not a JSON object"
    return ""


def _loops(text: str) -> bool:
    words = text.split()
    if len(words) < MIN_LOOP_WORDS:
        return len(text) > 200 and len(set(text)) < 8
    runs = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    return len(set(runs)) < MIN_UNIQUE_SHARE * len(runs)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_object(text: str) -> bool:
    return text.lstrip().startswith("{") and _is_json(text)
