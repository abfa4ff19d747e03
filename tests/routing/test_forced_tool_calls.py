"""Calls of a forced answer that `max_tokens` cut off: a client gets no call that it cannot read beside whole ones."""

from __future__ import annotations

import pytest

from sizewise.routing.forced_tool_calls import forced_calls

ADD = '{"name": "add", "arguments": {"a": 1, "b": 2}}'
CUT = '{"name": "add", "arguments": {"a": 3, "b'


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        (f"[{ADD}, {ADD}]", ['{"a":1,"b":2}'] * 2),
        (f"[{ADD}, {CUT}", ['{"a":1,"b":2}']),
        (f"[{ADD}, ", ['{"a":1,"b":2}']),
        (f"[{CUT}", ['{"a": 3, "b']),
        (CUT, ['{"a": 3, "b']),
    ],
)
def test_an_answer_that_is_cut_off_has_its_whole_calls(text: str, arguments: list[str]) -> None:
    """The 1.5B repeated a call until it had no tokens left: the last of nine had half an argument."""
    assert [call.arguments for call in forced_calls(text)] == arguments
