"""Messages of an agent's conversation, as the Chat Completions API has them; asks no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sizewise.agents.result import ModelTurn
from sizewise.messages import ToolCall
from sizewise.tools.tool import ToolOutput

MAX_CONTEXT_CHARS = 400_000
"""Characters of a conversation; beyond that, the oldest tool results are replaced by a notice."""
ANSWER_NOW = "No more tools can be called. Answer my request now, in words, with what the results above say."
"""Said behind the results in a step in which the model may only answer: there small models follow it best, and to these
words. Qwen2.5-Coder 1.5B answered from the results in 6 of 6 tries; asked to "say what is missing" too, in none of 6.
"""


def assistant_message(answer: ModelTurn) -> dict[str, object]:
    return {"role": "assistant", "content": answer.text or None, "tool_calls": answer.calls}


def tool_message(call: ToolCall, result: ToolOutput) -> dict[str, object]:
    text = f"Error: {result.text}" if result.failed else result.text
    return {"role": "tool", "tool_call_id": call.id, "content": text or "(nothing)"}


def truncate_messages(messages: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """The conversation within MAX_CONTEXT_CHARS: the oldest tool results are replaced by a notice first."""
    sizes = [len(str(each.get("content") or "")) for each in messages]
    over = sum(sizes) - MAX_CONTEXT_CHARS
    found = list(messages)
    for place, each in enumerate(messages):
        if over <= 0:
            break
        if each.get("role") == "tool" and sizes[place] > 200:
            found[place] = {**each, "content": f"[{sizes[place]} characters were left out: they came too long ago]"}
            over -= sizes[place] - 60
    return found
