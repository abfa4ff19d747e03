"""Tool calls that any model wrote into its answer as text, for agents. Makes no call."""

from __future__ import annotations

from collections.abc import Collection

from sizewise.messages import FunctionCall, ToolCall
from sizewise.routing.forced_tool_calls import arguments_text
from sizewise.routing.judges.rules import TOOL_CALL_TEXT
from sizewise.routing.text.tool_call_splitter import ToolCallSplitter
from sizewise.routing.text.tool_call_text import WrittenCall, read_calls


def written_tool_calls(text: str, tools: Collection[str]) -> tuple[str, tuple[ToolCall, ...]]:
    """The answer's text without the calls written in it, and the calls. A whole answer that is a call of another tool
    is a call as well: the agent learns which tools there are.
    """
    splitter = ToolCallSplitter(tools, lambda call: call[0] in tools and isinstance(call[1], dict))
    words, calls = list[str](), list[WrittenCall]()
    for pieces in (splitter.feed(text), splitter.finish()):
        for piece in pieces:
            if isinstance(piece, str):
                words.append(piece)
            else:
                calls += piece
    if not calls and TOOL_CALL_TEXT.search(text):
        words, calls = [], read_calls(text)
    if not calls:
        return text, ()
    made = (FunctionCall(name, arguments_text(arguments)) for name, arguments in calls)
    return "".join(words), tuple(ToolCall(call) for call in made)
