"""Objects to calls of tools that were not offered, and to arguments that break the tool's schema; makes no call."""

from __future__ import annotations

from sizewise.messages import Reply
from sizewise.routing.policy import Question, Verdict


def calls(question: Question, replies: tuple[Reply, ...]) -> Verdict:
    """0 with the first call of any reply that cannot be made; no score where there is none."""
    for reply in replies:
        for choice in reply.choices:
            for call in choice.tool_calls:
                if call.type == "function" and call.function is not None:
                    why = question.form.objection(call.function)
                    if why:
                        return Verdict(0.0, why)
    return Verdict(None, "")
