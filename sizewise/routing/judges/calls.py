"""Tool-call judge: rejects calls of tools that were not offered, and arguments that violate the tool's schema."""

from __future__ import annotations

from sizewise.messages import Reply
from sizewise.routing.policy import RequestFeatures, Verdict


def calls(features: RequestFeatures, replies: tuple[Reply, ...]) -> Verdict:
    """0 for the first invalid call of any reply; no score if there is none."""
    for reply in replies:
        for choice in reply.choices:
            for call in choice.tool_calls:
                if call.type == "function" and call.function is not None:
                    why = features.answer_format.tool_call_error(call.function)
                    if why:
                        return Verdict(0.0, why)
    return Verdict(None, "")
