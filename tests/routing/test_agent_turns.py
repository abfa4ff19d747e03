"""Stages of an agent's turns, stalls, and the lock within a tool loop: the policy `agent` through the real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sizewise.providers.wires.openai.request_response import read_request
from sizewise.routing.agent_turn import agent_turn
from tests.cli.terminal import sizewise
from tests.running_server import ECHO, Served, serving

CONFIG = (
    ECHO
    + """
[models."echo/small"]
parameters = 100_000_000
tools = true
price = {input = "1", output = "1"}
[models."echo/large"]
parameters = 70_000_000_000
tools = true
price = {input = "30", cached = "3", output = "60"}
[policies.default]
kind = "agent"
"""
)
LOOK_UP = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
Json = dict[str, Any]


def loop(*results: str, question: str = "How warm is it?", same: bool = False) -> list[Json]:
    """A question, then a call of `look_up` for each of `results`, each with other arguments unless `same`."""
    talk: list[Json] = [{"role": "user", "content": question}]
    for number, result in enumerate(results):
        spoken = json.dumps({"city": "Bern" if same else f"city {number}"})
        call = {"id": f"c{number}", "type": "function", "function": {"name": "look_up", "arguments": spoken}}
        talk.append({"role": "assistant", "content": None, "tool_calls": [call]})
        talk.append({"role": "tool", "tool_call_id": f"c{number}", "content": result})
    return talk


def turn(*results: str, **more: Any) -> tuple[str, int, str]:
    body = {"model": "auto", "messages": loop(*results, same=more.pop("same", False)), "tools": [LOOK_UP], **more}
    found = agent_turn(read_request(json.dumps(body).encode())[0])
    assert found is not None
    return found.stage, found.number, found.stalled


def test_the_stage_of_a_turn_is_read_from_its_last_messages() -> None:
    assert turn() == ("plan", 1, "")
    assert turn("12 degrees") == ("tool result", 2, "")
    assert turn("12 degrees", "Error: no such city") == ("repair", 3, "")
    assert turn("12 degrees", tool_choice="none") == ("final", 2, "")
    plain = read_request(b'{"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}')[0]
    assert agent_turn(plain) is None


def test_a_loop_stalls_by_the_same_call_with_the_same_result_or_by_failures_alone() -> None:
    assert turn("12 degrees", "12 degrees") == ("tool result", 3, "")  # of two cities
    assert turn("12 degrees", "13 degrees", same=True)[2] == ""  # it had changed
    assert turn("12 degrees", "12 degrees", same=True)[2] == "the same call of 'look_up' brought the same again"
    assert turn("Error: a", "Error: b", "Error: c")[2] == "all tools failed in 3 turns in a row"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("agent"), CONFIG) as served:
        yield served


def answered_by(server: Served, talk: list[Json], **more: object) -> tuple[str, str]:
    body = {"model": "auto", "messages": talk, "tools": [LOOK_UP], "max_tokens": 50, **more}
    answer = server.ask("/v1/chat/completions", body)
    assert answer.status == 200, answer.body
    return answer.headers["x-sizewise-model"], answer.headers["x-sizewise-why"]


def test_easy_turns_go_to_the_cheap_model_and_a_stalled_loop_to_the_best(server: Served) -> None:
    named: Json = {"question": "First loop?"}
    model, why = answered_by(server, loop(**named))
    assert model == "echo/large"
    assert why.startswith("agent turn 1 (plan): the best model")
    model, why = answered_by(server, loop("12 degrees", **named))
    assert model == "echo/small"
    assert "an easy one, so the cheapest model that fits" in why
    model, why = answered_by(server, loop("12 degrees", "Error: no such city", **named))
    assert (model, "its last tool calls failed" in why) == ("echo/large", True)
    named = {"question": "Second loop?", "same": True}
    assert answered_by(server, loop("12 degrees", **named))[0] == "echo/small"
    model, why = answered_by(server, loop("12 degrees", "12 degrees", **named))
    assert (model, "brought the same again" in why) == ("echo/large", True)


def test_a_loop_stays_with_its_model_where_a_switch_costs_more_than_it_saves(server: Served) -> None:
    """The tokens that the large model has cached are cheap for it, and the small model would read them anew."""
    long = "word " * 4_000
    named: Json = {"question": f"{long} Third loop?"}
    assert answered_by(server, loop(**named), max_tokens=1)[0] == "echo/large"
    model, why = answered_by(server, loop("12 degrees", **named), max_tokens=1)
    assert model == "echo/small"  # a thirtieth of the price is worth it even so
    config = CONFIG.replace('price = {input = "1", output = "1"}', 'price = {input = "20", output = "20"}')
    with serving(server.home.parent / "stays", config) as other:
        assert answered_by(other, loop(**named), max_tokens=1)[0] == "echo/large"
        model, why = answered_by(other, loop("12 degrees", **named), max_tokens=1)
        assert (model, "stays with echo/large" in why) == ("echo/large", True)
        fresh: Json = {"question": f"{long} Another question?"}
        assert answered_by(other, loop("12 degrees", **fresh), max_tokens=1)[0] == "echo/small"  # unknown here


def test_explain_says_the_turn_and_whether_it_has_stalled(server: Served) -> None:
    body = {"model": "auto", "messages": loop("a", "a", same=True), "tools": [LOOK_UP]}
    query = "query($body: JSON) { explain(body: $body) { why reasons } }"
    told: Any = server.ask("/graphql", {"query": query, "variables": {"body": body}}).json
    stalled = "it has stalled: the same call of 'look_up' brought the same again"
    assert f"Turn 3 of an agent's tool loop: tool result; {stalled}." in told["data"]["explain"]["reasons"]


def test_an_unknown_stage_of_the_policy_is_refused_with_those_that_there_are(tmp_path: Any) -> None:
    file = tmp_path / "sizewise.toml"
    file.write_text(CONFIG + 'easy = ["toolresult"]\n')
    done = sizewise("up", "--config", str(file), "--port", "0", home=tmp_path)
    assert done.code != 0
    assert "policies.default: Invalid enum value 'toolresult'" in done.err
