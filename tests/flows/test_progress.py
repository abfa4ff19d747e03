"""Which node runs, and which model it waits for, is in sight while a flow runs: in its stream and at the terminal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.terminal import screen, sizewise
from tests.gateway.server_harness import beside, frames
from tests.gateway.stepwise_upstream import END, StepwiseOpenAI
from tests.running_server import Served, serving

SETTINGS = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small"]
[providers.up]
base_url = "{url}"
place = "machine"
models = ["large"]
"""
PAIR = """
name: pair
inputs: {question: text}
nodes:
  facts: {kind: ask, model: echo/small, prompt: "{{ inputs.question }}"}
  answer: {kind: ask, model: up/large, prompt: "{{ facts.text }}"}
outputs: {answer: "{{ answer.text }}"}
"""
ROUNDS = """
name: rounds
inputs: {question: text}
nodes:
  every:
    kind: each
    items: ["a", "b"]
    at_once: 1
    nodes:
      inner: {kind: ask, model: echo/small, prompt: "{{ item }}"}
    outputs: "{{ inner.text }}"
outputs: {answer: "{{ every.results | length }}"}
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[StepwiseOpenAI]:
    with beside(StepwiseOpenAI) as up:
        yield up


@pytest.fixture(scope="module")
def server(upstream: StepwiseOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("flows") / "home"
    (home / "flows").mkdir(parents=True)
    for name, text in (("pair", PAIR), ("rounds", ROUNDS)):
        (home / "flows" / f"{name}.yaml").write_text(text)
    with serving(home, SETTINGS.format(url=upstream.url)) as served:
        yield served


@pytest.mark.long
def test_flow_run_shows_the_node_and_its_model_before_the_model_answers(
    server: Served,
    upstream: StepwiseOpenAI,
) -> None:
    with screen("flow", "run", "pair", "-i", "question=hi", home=server.home) as seen:
        seen.until("running flow:pair")
        seen.until("running facts")
        seen.until("facts: asking echo/small: named in the request")
        seen.until("running answer")
        seen.until("answer: asking up/large: named in the request")
        upstream.step(1)
        upstream.step(END)
        code, out, left = seen.end()
    assert (code, out) == (0, "word-1 \n")
    assert "asking" not in left and "2 model calls" in left


@pytest.mark.long
def test_a_durable_run_shows_the_node_that_runs(server: Served, upstream: StepwiseOpenAI) -> None:
    with screen("flow", "run", "pair", "-i", "question=hi", "--durable", home=server.home) as seen:
        seen.until("running answer")
        upstream.step(1)
        upstream.step(END)
        code, out, left = seen.end()
    assert (code, out) == (0, "word-1 \n")
    assert "running" not in left and "run " in left


@pytest.mark.long
def test_in_a_pipe_a_flow_shows_what_it_always_did(server: Served, upstream: StepwiseOpenAI) -> None:
    upstream.step(1)
    upstream.step(END)
    done = sizewise("flow", "run", "pair", "-i", "question=hi", home=server.home)
    assert (done.code, done.out) == (0, "word-1 \n") and "running" not in done.err and "\r" not in done.err


@pytest.mark.long
def test_the_stream_of_a_flow_names_each_node_with_its_place(server: Served) -> None:
    answer = server.chat("flow:rounds", "hi", stream=True, sizewise={"progress": True})
    *chunks, _ = frames(answer.body)
    begun = [each["sizewise"]["progress"] for each in chunks if "progress" in each.get("sizewise", {})]
    assert [(each["stage"], each["step"]) for each in begun] == [
        ("step", "every"),
        ("step", "every[0].inner"),
        ("attempt", "every[0].inner"),
        ("step", "every[1].inner"),
        ("attempt", "every[1].inner"),
    ]
    assert "progress" not in server.chat("flow:rounds", "hi", stream=True).body.decode()
