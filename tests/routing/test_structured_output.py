"""What is promised of JSON is kept: checked, repaired once, never shown broken; on the echo model."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from sizewise.errors import InvalidOutput, UpstreamUnreachable
from sizewise.handler import AttemptFinished, ChoiceFinished, ModelSelected, RequestOptions, TextDelta
from sizewise.messages import ChatRequest, Choice, Reply, Usage
from sizewise.model_card import ModelCard, ModelWeights
from sizewise.providers.echo import echo_card
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policies.cheapest import CheapestPolicy
from sizewise.routing.structured_output import OutputSchemaCache
from tests.routing.router_harness import Routing, agreeing, chat, racing

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
ALWAYS = "[[say no JSON]]"
BROKEN = '[[say {"name": "Ada", "age": "old"}]]'


def asked(text: str = "Ada 36", schema: object = PERSON, model: str = "echo/small", **more: object) -> ChatRequest:
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}}
    return chat(text, model, response_format=form, **more)


def small(cues: str = "", **more: Any) -> ModelCard:
    return echo_card("echo/small", cues=cues, parameters=100_000_000, **more)


LARGE = echo_card("echo/large", parameters=70_000_000_000)


def test_an_answer_that_keeps_the_schema_passes_and_one_attempt_is_booked() -> None:
    routing = Routing()
    reply = routing.run(asked())
    assert json.loads(reply.text) == {"name": "Ada 36", "age": 36} and routing.client.text == reply.text
    assert routing.client.results == [("echo/small", "answered")]
    assert [type(event) for event in routing.client.events][-3:] == [TextDelta, ChoiceFinished, AttemptFinished]
    assert isinstance(routing.client.events[0], ModelSelected)


@pytest.mark.parametrize("stream", [False, True])
def test_a_broken_answer_is_asked_for_once_more_and_nobody_sees_it(stream: bool) -> None:
    routing = Routing()
    reply = routing.run(asked(f"Ada 36 {BROKEN}", stream=stream))
    assert isinstance(json.loads(reply.text)["age"], int)
    assert "old" not in routing.client.text
    first, second = routing.client.tried
    assert (first.result, first.error_code, second.result, second.error_code) == (
        "distrusted",
        "invalid_output",
        "answered",
        "",
    )
    assert first.cost and second.cost, "both are paid for"
    assert second.usage.input > first.usage.input, "it read its own answer and what is wrong with it"
    assert second.reason == "echo/small violated the schema (type); retried once"
    assert routing.client.chosen.attempts == 2 and routing.client.chosen.reason == second.reason


def test_the_model_is_shown_its_answer_and_what_is_wrong_with_it() -> None:
    heard: list[ChatRequest] = []

    class Overhears:
        async def __call__(self, request: Any, send: Any) -> Reply:
            heard.append(request.payload)
            text = '{"name": "x", "age": 1}' if len(heard) > 1 else '{"name": "x", "age": -1}'
            return Reply((Choice(text=text, finish_reason="stop"),), Usage(1, 1))

    routing = Routing(small(), others={"echo/small": Overhears()})
    assert json.loads(routing.run(asked(stream=False)).text)["age"] == 1
    question, answer, plea = msgspec.json.decode(heard[1].fields["messages"])
    assert question["content"] == "Ada 36" and answer == {"role": "assistant", "content": '{"name": "x", "age": -1}'}
    assert plea["role"] == "user" and "at $.age: the value is less than the minimum of 0" in plea["content"]
    assert [message.role for message in heard[1].messages] == ["user", "assistant", "user"]


def test_a_model_that_breaks_it_twice_has_failed_and_both_are_booked() -> None:
    routing = Routing(small(ALWAYS))
    with pytest.raises(
        InvalidOutput, match="echo/small does not match the requested JSON schema: it is not JSON"
    ) as caught:
        routing.run(asked())
    assert (caught.value.status, caught.value.code) == (502, "invalid_output")
    assert routing.client.shown == [] and routing.client.results == [("echo/small", "distrusted")] * 2
    assert [tried.error_code for tried in routing.client.tried] == ["invalid_output"] * 2


def test_the_next_model_is_asked_and_there_is_one_repair_a_request() -> None:
    routing = Routing(small(ALWAYS), echo_card("echo/mid", cues=ALWAYS), LARGE, policy=CheapestPolicy())
    reply = routing.run(asked(model="auto"))
    assert json.loads(reply.text)["age"] == 36
    assert routing.client.results == [
        ("echo/small", "distrusted"),
        ("echo/small", "distrusted"),
        ("echo/mid", "distrusted"),
        ("echo/large", "answered"),
    ]
    assert routing.client.chosen.model == "echo/large" and routing.client.text == reply.text


def test_a_repair_that_fails_otherwise_leaves_the_first_failure_standing() -> None:
    class Goes:
        asked = 0

        async def __call__(self, request: Any, send: Any) -> Reply:
            self.asked += 1
            if self.asked > 1:
                raise UpstreamUnreachable("gone")
            return Reply((Choice(text="hm", finish_reason="stop"),), Usage(1, 1))

    routing = Routing(small(), others={"echo/small": Goes()})
    with pytest.raises(InvalidOutput):
        routing.run(asked(stream=False))
    assert [(tried.result, tried.error_code) for tried in routing.client.tried] == [
        ("distrusted", "invalid_output"),
        ("failed", "upstream_unreachable"),
    ]


def test_a_held_answer_is_repaired_before_it_is_judged() -> None:
    routing = Routing(small(), LARGE, policy=CascadePolicy())
    reply = routing.run(asked(f"Ada 36 {BROKEN}", model="auto"))
    assert routing.client.chosen.model == "echo/small" and json.loads(reply.text)
    assert [tried.score is not None for tried in routing.client.tried] == [False, True]


def test_a_repair_stays_within_what_the_request_may_cost() -> None:
    routing = Routing()
    with pytest.raises(InvalidOutput):
        routing.run(asked(f"Ada 36 {BROKEN}", max_tokens=20), RequestOptions(max_cost=66_000))
    assert len(routing.client.tried) == 1


def test_a_repair_stays_within_the_time() -> None:
    routing = Routing(small(f"{ALWAYS} [[slow 1]]"))
    with pytest.raises(InvalidOutput):
        routing.run(asked(), RequestOptions(max_latency_ms=1_900))  # time for one answer, and never for two
    assert [tried.error_code for tried in routing.client.tried] == ["invalid_output", "upstream_timeout"]


def test_a_repair_that_the_window_has_no_room_for_is_not_made() -> None:
    routing = Routing(small(context=40))
    with pytest.raises(InvalidOutput):
        routing.run(asked(f"[[say {'no ' * 30}]]"))
    assert len(routing.client.tried) == 1


@pytest.mark.parametrize(
    ("cues", "more"),
    [
        ("[[finish length]] [[say cut]]", {}),
        ("", {"max_tokens": 1}),
        ("[[finish content_filter]] [[say nothing]]", {}),
        ("[[tool look {}]]", {"tools": [{"type": "function", "function": {"name": "look"}}]}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_was_cut_withheld_or_is_a_call_promises_nothing(
    cues: str,
    more: dict[str, Any],
    stream: bool,
) -> None:
    routing = Routing()
    routing.run(asked(f"Ada {cues}", stream=stream, **more))
    assert routing.client.results == [("echo/small", "answered")]


def test_a_refusal_is_passed_on_as_one() -> None:
    message = json.dumps({"role": "assistant", "content": None, "refusal": "I would rather not."}).encode()

    class Refuses:
        async def __call__(self, request: Any, send: Any) -> Reply:
            return Reply((Choice(finish_reason="stop", message=msgspec.Raw(message)),), Usage(1, 1))

    routing = Routing(small(), others={"echo/small": Refuses()})
    assert routing.run(asked(stream=False)).choices[0].message is not None


def test_every_choice_must_keep_it() -> None:
    class Wavers:
        async def __call__(self, request: Any, send: Any) -> Reply:
            texts = ("{}", "[]") if len(request.payload.messages) == 1 else ("{}", '{"b": 1}')
            return Reply(tuple(Choice(i, text, "stop") for i, text in enumerate(texts)), Usage(1, 1))

    routing = Routing(small(), others={"echo/small": Wavers()})
    reply = routing.run(asked(schema={"type": "object"}, n=2, stream=False))
    assert [choice.text for choice in reply.choices] == ["{}", '{"b": 1}']
    assert [tried.result for tried in routing.client.tried] == ["distrusted", "answered"]


def test_json_object_is_any_object_and_nothing_else() -> None:
    wish = {"response_format": {"type": "json_object"}, "stream": False}
    assert json.loads(Routing().run(chat("hello there", "echo/small", **wish)).text) == {"answer": "hello there"}
    for text in ("[1]", '"x"', "hello", "", '{"a": 1', "NaN", '```json {"a": 1} ```'):
        routing = Routing(small(f"[[say {text}]]"))
        with pytest.raises(InvalidOutput):
            routing.run(chat("hello", "echo/small", **wish))


def test_a_model_that_cannot_break_it_streams_and_is_checked_at_the_end() -> None:
    """Weights of ours are written by a grammar; what breaks it all the same was seen already, so it is an error."""
    card = small()
    local = ModelCard(**{**{name: getattr(card, name) for name in card.__slots__}, "weights": ModelWeights("x", "", 1)})
    routing = Routing(local)
    routing.run(asked())
    assert [type(event) for event in routing.client.events][:2] == [ModelSelected, TextDelta]
    routing = Routing(local)
    with pytest.raises(InvalidOutput):
        routing.run(asked(f"Ada {BROKEN}"))
    assert "old" in routing.client.text and [t.result for t in routing.client.tried] == ["failed"]
    routing = Routing(local)
    routing.run(asked(f"Ada {BROKEN}", schema={**PERSON, "minProperties": 1}))  # which no grammar keeps: held
    assert "old" not in routing.client.text and len(routing.client.tried) == 2


def test_whoever_keeps_it_first_wins_a_race() -> None:
    routing = Routing(small(ALWAYS), LARGE, policy=racing(0.0, "echo/small", "echo/large"))
    reply = routing.run(asked("Ada 36", model="auto"))
    assert json.loads(reply.text) and routing.client.chosen.model == "echo/large"
    assert routing.client.results == [("echo/small", "distrusted"), ("echo/large", "answered")]


def test_a_race_that_nobody_wins_ends_with_a_repair() -> None:
    routing = Routing(small(), LARGE, policy=racing(0.0, "echo/small", "echo/large"))
    assert json.loads(routing.run(asked(f"Ada {BROKEN}", model="auto")).text)
    assert [tried.result for tried in routing.client.tried] == ["distrusted", "distrusted", "answered"]


def test_asked_together_the_broken_ones_have_failed() -> None:
    routing = Routing(small(ALWAYS), LARGE, policy=agreeing())
    assert json.loads(routing.run(asked(model="auto")).text)
    assert routing.client.results == [("echo/small", "distrusted"), ("echo/large", "answered")]


def test_a_stream_that_breaks_off_unseen_goes_to_the_next_model() -> None:
    routing = Routing(policy=CheapestPolicy())
    reply = routing.run(asked("[[echo/small: fail after=1]] Ada", model="auto"))
    assert json.loads(reply.text) and routing.client.results[-1] == ("echo/large", "answered")
    assert routing.client.text == reply.text


# ---- the words for it ----------------------------------------------------------------------------------------------


def words(schema: object, answer: object) -> str:
    promise = OutputSchemaCache()(asked(schema=schema))
    assert promise is not None
    text = answer if isinstance(answer, str) else json.dumps(answer)
    breach = promise.find_violation(Reply((Choice(text=text, finish_reason="stop"),), Usage()), ())
    return breach.description if breach else ""


def test_the_words_name_place_and_rule_and_quote_no_value() -> None:
    assert words(PERSON, {"name": "secret", "age": "secret"}) == 'at $.age: the value is not of type "integer"'
    assert words(PERSON, {"name": "secret"}) == 'at $: "age" is a required property'
    rows = {"type": "array", "items": {"enum": ["a", "b"]}}
    assert words(rows, ["a", "secret"]) == 'at $[1]: the value is not one of "a" or "b"'
    assert words(rows, "no JSON") == "it is not JSON"
    assert words(rows, "[" * 5_000) and words(rows, "[" * 500 + "]" * 500)
    nested = {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"deep": {"type": "integer"}}}]}
    assert words({"properties": {"a": nested}}, {"a": {"deep": "x"}}).startswith("at $.a.deep:")
    assert len(words({"enum": ["x" * 1_000]}, "[]")) < 310


def test_formats_are_checked() -> None:
    assert words({"type": "string", "format": "date-time"}, "tomorrow")
    assert not words({"type": "string", "format": "date-time"}, '"2026-11-25T12:00:00Z"')


def test_a_schema_is_compiled_once_while_it_is_among_the_last_in_use() -> None:
    schemas = OutputSchemaCache(max_size=2)
    one, two, three = (asked(schema={"title": str(number)}) for number in range(3))
    first = schemas(one)
    assert schemas(one) is first
    schemas(two)
    assert schemas(one) is first, "it was used again"
    schemas(three)
    assert schemas(one) is first
    again = schemas(two)
    schemas(three)
    assert schemas(two) is again and schemas(one) is not first
