"""Streams that end badly, and clients that leave: measured on LiteLLM, which told a broken stream for a whole one."""

from __future__ import annotations

import json

import pytest

from sizewise.testing.upstream import FakeOpenAI
from tests.gateway.server_harness import CHAT, Line, frames, question
from tests.running_server import Served, until

FALLEN = ("half-frame", "no-finish", "reset-mid", "malformed", "error-mid")


@pytest.mark.parametrize("fault", FALLEN)
def test_half_a_frame_and_then_a_clean_end_is_an_error_and_never_a_stop(served: Served, fault: str) -> None:
    answer = served.chat(f"flow/{fault}", stream=True)
    if answer.status != 200:
        return
    payloads = frames(answer.body)
    assert "[DONE]" not in payloads and "error" in payloads[-1]
    assert '"finish_reason":"stop"' not in answer.body.decode()


def test_a_hundred_clients_that_leave_take_their_upstream_streams_with_them(
    served: Served,
    upstream: FakeOpenAI,
) -> None:
    """LiteLLM kept 104 of them, and died at 2.3 GB."""
    lines = [Line(served) for _ in range(100)]
    for line in lines:
        line.say(line.request(CHAT, question("wait", "patient/hang-mid", stream=True)))
    until(lambda: upstream.received.active_requests >= 100, 30)
    for line in lines:
        line.__exit__()
    until(lambda: upstream.received.active_requests == 0)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
def test_a_stream_that_breaks_says_so_on_every_endpoint(served: Served, path: str) -> None:
    said = (
        {"input": "hi"}
        if path.endswith("responses")
        else {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    )
    body = {"model": "flow/half-frame", "stream": True, **said}
    answer = served.ask(path, body)
    text = answer.body.decode()
    if answer.status == 200:
        assert "message_stop" not in text and "response.completed" not in text and "error" in text
    else:
        assert answer.status == 502 and json.loads(text)["error"]
