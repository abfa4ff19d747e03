"""Every known endpoint, asked by a real `sizewise up`: it gets the request on record, and its answer comes through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sizewise.settings.provider_presets import provider_presets
from sizewise.testing.preset_conformance import base_url, request_differences
from tests.gateway.server_harness import frames, words
from tests.running_server import Served
from tests.wires.record_requests import FOLDER, KEY, RecordingUpstream, record, recording
from tests.wires.wire_cases import speaking

ROWS = provider_presets()
HELLO = [{"role": "user", "content": "Say hello."}]


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, RecordingUpstream]]:
    with recording(tmp_path_factory.mktemp("endpoints")) as both:
        yield both


@pytest.mark.parametrize("name", ROWS)
def test_an_endpoint_gets_the_request_that_was_recorded(name: str, recorder: tuple[Served, RecordingUpstream]) -> None:
    path = FOLDER / f"{name}.http"
    assert path.exists(), f"record it: python -m tests.wires.record_requests {name}"
    assert record(*recorder, name) == path.read_text()
    chat_path = speaking(ROWS[name].wire).wire.chat_path
    assert [request_differences(ROWS[name], KEY, chat_path, request) for request in recorder[1].seen] == [[], []]


@pytest.mark.parametrize("name", ROWS)
def test_a_request_on_record_names_the_endpoints_own_host(name: str) -> None:
    host = base_url(ROWS[name]).split("/")[2]
    assert (FOLDER / f"{name}.http").read_text().count(f"\nhost: {host}\n") == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ROWS)
def test_its_answer_comes_through_both_endpoints(
    name: str,
    stream: bool,
    recorder: tuple[Served, RecordingUpstream],
) -> None:
    served, said = recorder[0], speaking(ROWS[name].wire).expected
    request: dict[str, Any] = {"model": f"{name}/a-model", "messages": HELLO, "max_tokens": 16, "stream": stream}
    answer = served.ask("/v1/chat/completions", request)
    other = served.ask("/v1/messages", request)
    assert (answer.status, other.status) == (200, 200), (answer.body, other.body)
    assert answer.headers["x-sizewise-model"] == f"{name}/a-model"
    if stream:
        assert words(frames(answer.body)) == said.text
        told = [json.loads(line[6:]) for line in other.body.decode().split("\n") if line.startswith("data: ")]
        deltas = [event["delta"] for event in told if event["type"] == "content_block_delta"]
        assert "".join(delta.get("text", "") for delta in deltas) == said.text
        assert [event["type"] for event in told].count("message_stop") == 1
        return
    choice = json.loads(answer.body)["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (said.text, said.finish)
    blocks = json.loads(other.body)["content"]
    assert "".join(block["text"] for block in blocks if block["type"] == "text") == said.text
    uses = [(block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"]
    assert uses == [(id, name, json.loads(arguments)) for id, name, arguments in said.calls]


def test_no_recording_is_left_over() -> None:
    assert {path.stem for path in FOLDER.glob("*.http")} <= set(ROWS)
