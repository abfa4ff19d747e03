"""A flow is a model: `flow:NAME` on every endpoint of tokens, streamed, paid for, and only for keys that may use it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.running_server import ECHO, Served, serving, until

SUPPORT = """
name: support
inputs: {question: text, tone: {type: text, default: kind}}
nodes:
  first: {kind: template, text: "{{ inputs.tone }}: {{ inputs.question }}"}
  answer: {kind: ask, model: echo/small, prompt: "{{ first.text }}"}
outputs: {answer: "{{ answer.text }}", length: "{{ answer.text | length }}"}
"""
TALK = """
name: talk
inputs: {messages: messages, file: {type: file, default: null}}
nodes:
  answer: {kind: ask, model: large, messages: "{{ inputs.messages }}"}
outputs: {answer: "{{ answer.text }}"}
"""
READS = """
name: reads
inputs: {question: text, doc: file}
nodes:
  read: {kind: file, file: "{{ inputs.doc }}"}
outputs: {answer: "{{ read.text }}"}
"""
CODE = """
name: code
inputs: {question: text}
nodes:
  py: {kind: python, code: "output = {'n': len(q)}", inputs: {q: "{{ inputs.question }}"}}
  js: {kind: javascript, code: "({m: n * 2})", inputs: {n: "{{ py.n }}"}}
outputs: {answer: "{{ js.m | text }}"}
"""
CALLS = """
name: calls
inputs: {question: text}
nodes:
  other: {kind: subflow, flow: "support@VERSION", inputs: {question: "{{ inputs.question }}"}}
outputs: {answer: "{{ other.answer }}"}
"""
CHECK = "query ($t: String!) { checkFlow(text: $t) { findings { message } } }"
PRICE = '[models."echo/small"]\nprice = {input = "1", output = "2"}\n'
COUNTS = """
name: counts
inputs: {question: text}
nodes: {a: {kind: template, text: "{{ inputs.question }}"}}
outputs: {length: "{{ a.text | length }}", known: "{{ a.text == 'hi' }}"}
"""
FLOWS = {"support": SUPPORT, "talk": TALK, "reads": READS, "code": CODE, "counts": COUNTS}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("flows")
    (home / "flows").mkdir()
    for name, text in FLOWS.items():
        (home / "flows" / f"{name}.yaml").write_text(text)
    with serving(home, ECHO + PRICE) as served:
        yield served


def said(answer: Any) -> Any:
    return answer.json["choices"][0]["message"]["content"]


def chunks(body: bytes) -> list[Any]:
    lines = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ") and line != "data: [DONE]"]
    return [json.loads(line) for line in lines]


def test_a_flow_answers_as_a_model_and_tells_its_outputs_and_cost(server: Served) -> None:
    answer: Any = server.chat("flow:support", "hello there")
    assert answer.status == 200
    assert said(answer) == "kind: hello there"
    body = answer.json
    assert body["model"].startswith("flow:support@")
    assert body["usage"]["prompt_tokens"] == 3
    assert body["sizewise"]["outputs"] == {"answer": "kind: hello there", "length": 17}
    assert answer.headers["x-sizewise-model"] == body["model"]
    assert answer.headers["x-sizewise-cost-usd"] == "0.000009"


def test_its_words_stream_as_the_model_says_them(server: Served) -> None:
    body = {"model": "flow:support", "stream": True, "messages": [{"role": "user", "content": "hello there"}]}
    answer = server.ask("/v1/chat/completions", body)
    assert answer.headers["x-sizewise-model"].startswith("flow:support@")
    seen = chunks(answer.body)
    words = [each["choices"][0]["delta"].get("content") for each in seen if each["choices"]]
    assert words == ["kind:", " hello", " there", None]
    assert seen[-1]["choices"][0]["finish_reason"] == "stop"
    assert seen[-1]["sizewise"]["cost_usd"] == "0.000009"


def test_outputs_without_a_text_are_the_answer_whole_and_streamed(server: Served) -> None:
    body = {"model": "flow:counts", "messages": [{"role": "user", "content": "hi"}]}
    whole: Any = server.ask("/v1/chat/completions", body).json
    assert json.loads(whole["choices"][0]["message"]["content"]) == {"length": 2, "known": True}
    seen = chunks(server.ask("/v1/chat/completions", body | {"stream": True}).body)
    said = "".join(each["choices"][0]["delta"].get("content") or "" for each in seen if each["choices"])
    assert said == whole["choices"][0]["message"]["content"]
    assert seen[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_the_other_endpoints_ask_flows_too(server: Served, stream: bool) -> None:
    messages = {"model": "flow:support", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
    answer: Any = server.ask("/v1/messages", messages | {"stream": stream}, anthropic_version="2023-06-01")
    assert answer.status == 200, answer.body
    assert "kind: hi" in "".join(answer.body.decode().split('"text":"')) or b"kind:" in answer.body
    response: Any = server.ask("/v1/responses", {"model": "flow:support", "input": "hi", "stream": stream})
    assert response.status == 200, response.body
    assert b"kind:" in response.body


def test_a_conversation_and_named_inputs_come_in(server: Served) -> None:
    messages = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    answer: Any = server.ask("/v1/chat/completions", {"model": "flow:talk", "messages": messages})
    assert said(answer) == "three"
    assert answer.json["usage"]["prompt_tokens"] == 3
    assert said(server.chat("flow:support", "hi", metadata={"tone": "stern"})) == "stern: hi"


def test_an_attached_file_is_read(server: Served) -> None:
    data = base64.b64encode(b"# Title\n\nHello from a file.").decode()
    part = {"type": "file", "file": {"filename": "a.md", "file_data": f"data:text/markdown;base64,{data}"}}
    content = [{"type": "text", "text": "read"}, part]
    answer: Any = server.ask(
        "/v1/chat/completions",
        {"model": "flow:reads", "messages": [{"role": "user", "content": content}]},
    )
    assert "Hello from a file." in said(answer)
    missing: Any = server.chat("flow:reads", "read")
    assert missing.status == 400
    assert missing.error["message"] == "the input 'doc' (file) is missing"


def test_code_of_a_flow_runs_in_the_sandbox(server: Served) -> None:
    answer: Any = server.chat("flow:code", "four")
    if answer.status == 403 and "sandbox" in answer.error["message"]:
        pytest.skip(answer.error["message"])
    assert said(answer) == "8"


def test_what_a_flow_cannot_is_refused_in_words(server: Served) -> None:
    unknown: Any = server.chat("flow:suport", "hi")
    assert (unknown.status, unknown.error["code"]) == (404, "model_not_found")
    tools: Any = server.chat("flow:support", "hi", tools=[{"type": "function", "function": {"name": "x"}}])
    assert (tools.status, tools.error["message"]) == (400, "flows do not support `tools`")
    vectors: Any = server.ask("/v1/embeddings", {"model": "flow:support", "input": "hi"})
    assert vectors.status == 400
    failed: Any = server.chat("flow:support", "[[fail down]] hi")
    assert (failed.status, failed.error["code"]) == (502, "upstream_unreachable")
    assert failed.error["message"].startswith("answer: ")


def test_a_version_is_asked_for_by_its_hash(server: Served) -> None:
    version = server.chat("flow:support", "hi").json["sizewise"]["version"]  # type: ignore[index]  # an object
    assert said(server.chat(f"flow:support@{version[:12]}", "hi")) == "kind: hi"
    assert server.chat("flow:support@0123456789ab", "hi").status == 400


def test_a_flow_calls_a_version_by_its_first_digits_and_the_check_knows_which(server: Served) -> None:
    version = server.chat("flow:support", "hi").json["sizewise"]["version"]  # type: ignore[index]  # an object
    for digits, wrong in ((12, ""), (64, ""), (7, "too short"), (0, "too short")):
        text = CALLS.replace("VERSION", version[:digits])
        checked: Any = server.ask("/graphql", {"query": CHECK, "variables": {"t": text}}).json
        found = [each["message"] for each in checked["data"]["checkFlow"]["findings"]]
        assert all(wrong in each for each in found) and bool(found) is bool(wrong)
    strange: Any = server.ask("/graphql", {"query": CHECK, "variables": {"t": CALLS.replace("VERSION", "0" * 12)}}).json
    assert "there is no flow" in strange["data"]["checkFlow"]["findings"][0]["message"]

    (server.home / "flows" / "calls.yaml").write_text(CALLS.replace("VERSION", version[:12]))
    until(lambda: server.chat("flow:calls", "hi").status == 200)
    assert said(server.chat("flow:calls", "hi")) == "kind: hi"


def test_flows_are_listed_among_the_models_and_a_key_is_held_to_its_own(server: Served) -> None:
    listed: Any = server.ask("/v1/models")
    assert {"flow:support", "flow:talk"} <= {each["id"] for each in listed.json["data"]}
    query = """mutation { createKey(name: "one", flows: ["talk"]) { secret } }"""
    token = (server.home / "admin.token").read_text().strip()
    made: Any = server.ask("/graphql", {"query": query}, key=token)
    key = made.json["data"]["createKey"]["secret"]
    mine: Any = server.ask("/v1/models", key=key)
    assert [each["id"] for each in mine.json["data"] if each["id"].startswith("flow:")] == ["flow:talk"]
    body = {"model": "flow:support", "messages": [{"role": "user", "content": "hi"}]}
    assert server.ask("/v1/chat/completions", body, key=key).status == 403
    assert server.ask("/v1/chat/completions", body | {"model": "flow:talk"}, key=key).status == 200


def test_an_idempotency_key_runs_a_flow_once(server: Served) -> None:
    body = {"model": "flow:support", "messages": [{"role": "user", "content": "hi again"}]}
    first: Any = server.ask("/v1/chat/completions", body, idempotency_key="flow-once")
    second: Any = server.ask("/v1/chat/completions", body, idempotency_key="flow-once")
    assert said(first) == said(second) == "kind: hi again"
    assert second.headers["x-sizewise-cost-usd"] == "0"


@pytest.mark.long
def test_the_folder_is_what_is_live(server: Served) -> None:
    path = server.home / "flows" / "support.yaml"
    path.write_text(SUPPORT.replace("kind}", "cool}"))
    until(lambda: said(server.chat("flow:support", "hi")) == "cool: hi")
    path.write_text(SUPPORT.replace("first.text", "frist.text"))  # with a mistake the last one stays
    until(lambda: any("has an error" in line for line in server.said))
    assert said(server.chat("flow:support", "hi")) == "cool: hi"
    new = server.home / "flows" / "brand-new.yaml"
    new.write_text(SUPPORT.replace("name: support", "name: brand-new"))
    until(lambda: server.chat("flow:brand-new", "hi").status == 200)
    new.unlink()
    until(lambda: server.chat("flow:brand-new", "hi").status == 404)
    path.write_text(SUPPORT)
    until(lambda: said(server.chat("flow:support", "hi")) == "kind: hi")
