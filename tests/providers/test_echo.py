"""The echo model does on cue what real models do."""

from __future__ import annotations

import asyncio
import json
import math
from itertools import pairwise

import msgspec
import pytest

from sizewise.errors import (
    BadBody,
    ContextLengthExceeded,
    ModelUnavailable,
    SizewiseError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamUnreachable,
)
from sizewise.handler import ChoiceFinished, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import ChatRequest, EmbeddingRequest, Reply
from sizewise.model_card import ModelCard
from sizewise.providers.echo import EchoModel, echo_card
from sizewise.routing.structured_output import OutputSchemaCache
from tests.routing.router_harness import Client, asking, chat, embed
from tests.timeouts import until


def say(what: ChatRequest | EmbeddingRequest, card: ModelCard | None = None) -> tuple[Reply, Client]:
    client = Client()
    reply = asyncio.run(EchoModel(card or echo_card())(asking(what), client.send))
    return reply, client


def test_it_says_the_last_words_of_the_person_again_word_by_word() -> None:
    reply, client = say(chat("how do you do"))
    assert reply.text == "how do you do"
    assert [event.text for event in client.events if isinstance(event, TextDelta)] == ["how", " do", " you", " do"]
    assert client.events[-1] == ChoiceFinished(0, "stop")
    assert (reply.usage.input, reply.usage.output) == (4, 4)


def test_a_request_for_the_whole_gets_no_events() -> None:
    reply, client = say(chat("how do you do", stream=False))
    assert reply.text == "how do you do" and client.events == []


def test_tokens_are_words_so_that_money_can_be_checked() -> None:
    reply, _ = say(
        chat("", messages=[{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi there you"}]),
    )
    assert (reply.usage.input, reply.usage.output) == (5, 3)
    assert echo_card().price.cost(reply.usage.input, reply.usage.output) == 5 * 1_000 + 3 * 2_000


def test_it_stops_at_max_tokens_and_says_so() -> None:
    reply, _ = say(chat("one two three four", max_tokens=2))
    assert (reply.text, reply.choices[0].finish_reason) == ("one two", "length")


def test_it_gives_as_many_choices_as_asked() -> None:
    reply, client = say(chat("one two", n=3))
    assert [choice.text for choice in reply.choices] == ["one two"] * 3
    assert [event.choice for event in client.events if isinstance(event, ChoiceFinished)] == [0, 1, 2]


def test_log_probabilities_come_with_every_word_where_asked_for() -> None:
    reply, client = say(chat("one two [[logprob -0.25]]", logprobs=True))
    assert reply.choices[0].logprobs is not None
    tokens = msgspec.json.decode(reply.choices[0].logprobs)["content"]
    assert [(token["token"], token["logprob"]) for token in tokens] == [("one", -0.25), (" two", -0.25)]
    assert all(event.logprobs for event in client.events if isinstance(event, TextDelta))
    assert say(chat("one two"))[0].choices[0].logprobs is None


def test_cues_change_what_is_said_and_are_not_repeated() -> None:
    assert say(chat("[[say yes or no]] is it so"))[0].text == "yes or no"
    assert say(chat("[[repeat 3]]go"))[0].text == "gogogo"
    assert say(chat("ok [[finish content_filter]]"))[0].choices[0].finish_reason == "content_filter"
    assert say(chat("[[uncounted]] ok"))[0].usage.estimated


def test_a_thought_comes_before_the_words() -> None:
    reply, client = say(chat("[[think well now]]yes"))
    assert reply.choices[0].reasoning == "well now" and client.events[0] == ReasoningDelta(0, "well now")
    assert reply.usage.reasoning == 2


def test_it_calls_a_tool_in_pieces_where_the_request_has_tools() -> None:
    cue = '[[tool weather {"city": "Ulm", "days": [[1]]}]]'.replace("[[1]]", "[1]")
    reply, client = say(chat(cue, tools=[{"type": "function"}]))
    (call,) = reply.choices[0].tool_calls
    assert call.function is not None and call.function.name == "weather"
    pieces = [event.json for event in client.events if isinstance(event, ToolDelta)]
    assert "".join(pieces) == call.function.arguments == '{"city": "Ulm", "days": [1]}' and len(pieces) == 2
    assert reply.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("cue", "error"),
    [
        ("[[fail]]", UpstreamUnreachable),
        ("[[fail garbled]]", UpstreamProtocolError),
        ("[[fail unavailable]]", ModelUnavailable),
        ("[[fail toolong]]", ContextLengthExceeded),
        ("[[busy]]", UpstreamOverloaded),
    ],
)
async def test_it_fails_on_cue_before_the_first_word(cue: str, error: type[SizewiseError]) -> None:
    client = Client()
    with pytest.raises(error):
        await EchoModel(echo_card())(asking(chat(f"one two {cue}")), client.send)
    assert client.events == []


async def test_it_breaks_off_after_the_words_it_is_told() -> None:
    client = Client()
    with pytest.raises(UpstreamUnreachable):
        await EchoModel(echo_card())(asking(chat("one two three [[fail after=2]]")), client.send)
    assert client.text == "one two"


def test_a_busy_echo_names_its_pause() -> None:
    with pytest.raises(UpstreamOverloaded) as caught:
        say(chat("[[busy retry_after=2.5]]"))
    assert caught.value.retry_after == 2.5


async def test_a_failure_can_be_for_the_first_asking_only() -> None:
    echo, client = EchoModel(echo_card()), Client()
    request = asking(chat("ok [[fail times=1]]"))
    with pytest.raises(UpstreamUnreachable):
        await echo(request, client.send)
    assert (await echo(request, client.send)).text == "ok"


def test_a_cue_with_a_name_is_heard_by_that_model_alone() -> None:
    assert say(chat("ok [[echo/large: fail]]"))[0].text == "ok"
    with pytest.raises(UpstreamUnreachable):
        say(chat("ok [[echo/large: fail]]"), echo_card("echo/large"))


def test_a_row_has_standing_cues_that_a_request_can_override() -> None:
    card = echo_card(cues="[[say always this]]")
    assert say(chat("hello"), card)[0].text == "always this"
    assert say(chat("[[say but now that]]"), card)[0].text == "but now that"


def test_it_goes_on_from_an_answer_that_was_begun() -> None:
    messages = [{"role": "user", "content": "one two three four"}, {"role": "assistant", "content": "one two"}]
    assert say(chat(messages=messages))[0].text == " three four"


async def test_it_hangs_until_it_is_stopped() -> None:
    echo, client = EchoModel(echo_card()), Client()
    task = asyncio.create_task(echo(asking(chat("one two [[hang after=1]]")), client.send))
    await until(lambda: client.text == "one")
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() and echo.cancel_count == 1


async def test_it_waits_for_the_gate_where_it_has_one() -> None:
    gate, client = asyncio.Event(), Client()
    echo = EchoModel(echo_card(), gate)
    task = asyncio.create_task(echo(asking(chat("one [[wait]]")), client.send))
    await until(lambda: echo.request_count == 1)
    assert client.events == []
    gate.set()
    assert (await task).text == "one"


@pytest.mark.parametrize("cue", ["[[dance]]", "[[slow often]]", "[[fail sideways]]", "[[fail after=x.]]"])
def test_a_cue_it_does_not_understand_is_refused_in_words(cue: str) -> None:
    if cue == "[[fail after=x.]]":
        cue = "[[fail after=1.5]]"
    with pytest.raises(BadBody) as caught:
        say(chat(f"one {cue}"))
    assert caught.value.message and caught.value.hint


def test_vectors_have_length_one_and_are_the_same_for_the_same_text() -> None:
    reply, _ = say(embed("red", "red", "blue"))
    red, again, blue = reply.embeddings
    assert red == again != blue
    assert all(math.isclose(sum(x * x for x in vector), 1.0) for vector in reply.embeddings)
    assert reply.usage.input == 3


def test_words_keep_the_spaces_between_them() -> None:
    text = "a  b\n\nc"
    reply, client = say(chat(text))
    assert reply.text == client.text == text
    assert all(a != b for a, b in pairwise(client.events))


def test_where_json_is_asked_for_it_makes_a_value_of_that_shape_out_of_the_words() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 20},
            "born": {"type": "string", "format": "date"},
            "age": {"type": "integer", "minimum": 18, "maximum": 99},
            "tags": {"type": "array", "items": {"enum": ["kind", "tall"]}, "minItems": 2},
            "boss": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/boss"}]},
        },
        "$defs": {"boss": {"type": "object", "properties": {"tall": {"type": "boolean"}}}},
    }
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    asked = chat("Ada is 36 and tall", response_format=form)
    promise = OutputSchemaCache()(asked)
    reply, client = say(asked)
    assert promise is not None and promise.find_violation(reply, client.shown) is None
    assert json.loads(reply.text)["age"] == 36 and json.loads(reply.text)["tags"] == ["tall", "tall"]
    assert client.text == reply.text and len(client.shown) > 5
    assert say(chat("x [[say no JSON]]", response_format=form))[0].text == "no JSON"


def test_calls_on_cue_are_made_side_by_side() -> None:
    reply, client = say(chat('[[tool a {"x": 1}]] [[tool b {"y": 2}]]', tools=[{"type": "function"}]))
    assert [call.function.name for call in reply.choices[0].tool_calls if call.function] == ["a", "b"]
    assert [event.index for event in client.events if isinstance(event, ToolDelta)] == [0, 1, 0, 1]


def test_vectors_have_as_many_dimensions_as_asked() -> None:
    assert len(say(EmbeddingRequest("echo/small", ["one"], {}, 16))[0].embeddings[0]) == 16
    assert say(EmbeddingRequest("echo/small", [[1, 2]], {}))[0].usage.input == 2
