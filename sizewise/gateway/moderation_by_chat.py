"""Moderation by a chat model: a fixed schema of OpenAI's categories, asked for all texts at once, and read again.

The scores are what the model says, from 0 to 1; nothing calibrates them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from sizewise.errors import BadBody, UpstreamProtocolError
from sizewise.guardrails.untrusted_content import ContentMarkers
from sizewise.messages import ChatRequest, Reply
from sizewise.providers.wires.openai.moderation import CATEGORIES, UpstreamResult
from sizewise.providers.wires.openai.request_response import read_request

MAX_TEXTS = 32
"""Texts that a chat model judges at once."""
MAX_SCORE = 100
FLAGGED_SCORE = 50
"""From this score a text is in a category."""
LABEL = "chat"
"""What clients are told of the scores."""
SYSTEM_PROMPT = (
    "You moderate texts. For each text, score each category with a whole number from 0 (certainly not in it) to 100"
    " (certainly in it). Answer with a JSON object that has the scores of each text under its name."
)

_encode = msgspec.json.Encoder().encode


def chat_judgement(texts: Sequence[str], model: str) -> ChatRequest:
    """Raises BadBody for more texts than a chat model can judge at once."""
    if len(texts) > MAX_TEXTS:
        told = f"`input` has {len(texts):,} texts, and a chat model judges at most {MAX_TEXTS} at once"
        raise BadBody(told, "send fewer, or name a model with the task `moderate`", param="input")
    # Not random: a request that is repeated under an idempotency key must be the same.
    marks = ContentMarkers(hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16])
    names = text_names(len(texts))
    shown = "\n\n".join(marks.wrap(text, name) for name, text in zip(names, texts, strict=True))
    scores = {name: {"type": "integer"} for name in CATEGORIES}
    one = {"type": "object", "properties": scores, "required": list(CATEGORIES), "additionalProperties": False}
    schema = {
        "type": "object",
        "properties": dict.fromkeys(names, one),
        "required": names,
        "additionalProperties": False,
    }
    body = {
        "model": model,
        "messages": [
            {"role": "system", "content": f"{SYSTEM_PROMPT} {marks.instruction}"},
            {"role": "user", "content": shown},
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "moderation", "strict": True, "schema": schema},
        },
    }
    payload, _ = read_request(_encode(body), is_checked=True)
    return payload


def text_names(count: int) -> list[str]:
    return [f"text_{number}" for number in range(1, count + 1)]


def read_judgement(reply: Reply, count: int) -> list[UpstreamResult]:
    """One result for each text. Raises UpstreamProtocolError."""
    try:
        said = msgspec.json.decode(reply.text, type=dict[str, dict[str, float]])
        return [_result(said[name]) for name in text_names(count)]
    except (msgspec.DecodeError, KeyError) as error:
        raise UpstreamProtocolError("the model did not judge every text", "name a stronger model") from error


def _result(scores: dict[str, float]) -> UpstreamResult:
    """Raises KeyError for a missing category."""
    bounded = {name: min(float(MAX_SCORE), max(0.0, scores[name])) for name in CATEGORIES}
    hit = {name: score >= FLAGGED_SCORE for name, score in bounded.items()}
    return UpstreamResult(
        flagged=any(hit.values()),
        categories=dict(hit),
        category_scores={name: score / MAX_SCORE for name, score in bounded.items()},
        category_applied_input_types={name: ["text"] for name in CATEGORIES},
    )
