"""Tool calls of a local model, through the handler around it; a double writes what models write."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sizewise.errors import BadBody, InvalidOutput
from sizewise.handler import ChoiceFinished, Event, Handler, Request, Send, TextDelta, ToolDelta
from sizewise.messages import ChatRequest, Choice, Reply, Usage
from sizewise.model_card import ModelCard, ModelEndpoint, ModelWeights
from sizewise.principal import Principal
from sizewise.providers.wires.openai.request_response import read_request
from sizewise.routing.local_tool_calls import with_local_tool_calls
from tests.growth import check_linear

CARD = ModelCard("local/m", ModelEndpoint("local"), "m", weights=ModelWeights("m.gguf", "", 1))


def function(name: str, **properties: Any) -> Any:
    schema = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


WEATHER = function("weather", city={"type": "string"})
ADD = function("add", a={"type": "number"}, b={"type": "number"})
TAGS = function("tag", tags={"type": "array", "items": {"type": "string"}, "uniqueItems": True})
TOOLS = [WEATHER, ADD, TAGS]


class Writes:
    """A model that writes these pieces, and keeps what it was asked."""

    def __init__(self, *pieces: str, finish: str = "stop") -> None:
        self._pieces = pieces
        self._finish = finish
        self.asked: list[ChatRequest] = []

    async def __call__(self, request: Request, send: Send) -> Reply:
        chat = request.payload
        assert isinstance(chat, ChatRequest)
        self.asked.append(chat)
        if chat.stream:
            for piece in self._pieces:
                await send(TextDelta(0, piece, frame=b"the upstream's"))
            await send(ChoiceFinished(0, self._finish, frame=b"the upstream's"))
        return Reply((Choice(0, "".join(self._pieces), self._finish),), Usage(1, 1))


def ask(model: Handler, *, stream: bool = False, tools: Any = TOOLS, **more: Any) -> tuple[Choice, list[Event]]:
    body = {"model": "m", "messages": [{"role": "user", "content": "?"}], "tools": tools, "stream": stream, **more}
    chat, _ = read_request(json.dumps(body).encode())
    heard: list[Event] = []

    async def hear(event: Event) -> None:
        heard.append(event)

    request = Request(chat, Principal("local", "p", "k"), "0" * 32, 0.0)
    reply = asyncio.run(with_local_tool_calls(lambda card: model)(CARD)(request, hear))
    return reply.choices[0], heard


def calls(choice: Choice) -> list[tuple[str, Any]]:
    return [(call.function.name, json.loads(call.function.arguments)) for call in choice.tool_calls if call.function]


def schema_of(model: Writes) -> Any:
    """Of the answer that the model was asked for."""
    return json.loads(bytes(model.asked[0].fields["response_format"]))["json_schema"]["schema"]


def named(name: str) -> Any:
    return {"type": "function", "function": {"name": name}}


OSLO = '{\n "name": "weather", "arguments"\n: {"city": "Oslo }{"}\n}'
SUM = '{"name": "add", "arguments": {"a": 1, "b": 2.5}}'
MADE = ("weather", {"city": "Oslo }{"})


@pytest.mark.parametrize("stream", [False, True])
def test_forced_calls_are_made_by_a_grammar_of_the_offered_tools(stream: bool) -> None:
    model = Writes(f"[{OSLO},", SUM, "]")
    choice, heard = ask(model, stream=stream, tool_choice="required")
    assert calls(choice) == [MADE, ("add", {"a": 1, "b": 2.5})]
    assert (choice.text, choice.finish_reason) == ("", "tool_calls")
    asked = schema_of(model)
    assert asked["type"] == "array" and asked["minItems"] == 1 and len(asked["items"]["anyOf"]) == 3
    assert bytes(model.asked[0].fields["tool_choice"]) == b'"none"' and model.asked[0].tools
    deltas = [event for event in heard if isinstance(event, ToolDelta)]
    assert [(each.index, each.name) for each in deltas] == ([(0, "weather"), (1, "add")] if stream else [])
    assert not any(isinstance(event, TextDelta) for event in heard)


@pytest.mark.parametrize("more", [{"tool_choice": named("add")}, {"parallel_tool_calls": False}])
def test_one_call_is_one_object(more: Any) -> None:
    model = Writes(SUM)
    choice, _ = ask(model, **{"tool_choice": "required", **more})
    assert calls(choice) == [("add", {"a": 1, "b": 2.5})]
    assert schema_of(model).get("type") != "array"
    assert "parallel_tool_calls" not in model.asked[0].fields


def test_references_of_a_tools_schema_lead_to_the_same_place() -> None:
    tree: Any = {"type": "object", "properties": {"left": {"$ref": "#"}, "size": {"$ref": "#/$defs/size"}}}
    tree["$defs"] = {"size": {"type": "integer"}}
    model = Writes('{"name": "grow", "arguments": {}}')
    ask(
        model, tools=[{"type": "function", "function": {"name": "grow", "parameters": tree}}], tool_choice=named("grow")
    )
    schema = schema_of(model)
    moved = schema["$defs"]["tool_0"]
    assert schema["properties"]["arguments"] == {"$ref": "#/$defs/tool_0"}
    assert moved["properties"] == {"left": {"$ref": "#/$defs/tool_0"}, "size": {"$ref": "#/$defs/tool_0/$defs/size"}}


def test_a_forced_call_that_is_cut_off_keeps_its_beginning() -> None:
    cut = Writes('[{"name": "add", "arguments": {"a": 1', finish="length")
    choice, _ = ask(cut, tool_choice="required")
    assert [call.function.arguments for call in choice.tool_calls if call.function] == ['{"a": 1']
    assert choice.finish_reason == "length"
    assert ask(Writes('[{"name": "ad', finish="length"), tool_choice="required")[0].tool_calls == ()


def test_a_rule_that_no_grammar_expresses_is_checked() -> None:
    model = Writes('{"name": "tag", "arguments": {"tags": ["a", "a"]}}')
    with pytest.raises(InvalidOutput, match="arguments of local/m for 'tag' do not match its schema") as raised:
        ask(model, tool_choice=named("tag"))
    assert raised.value.param == "tools"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tool_choice": named("fly")}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": [named("fly")]}}}, "tool_choice"),
        ({"tools": [function("f", a={"type": 7})], "tool_choice": "required"}, "tools[0].function.parameters"),
        ({"tools": [function("f", a={"$ref": "http://x"})], "tool_choice": named("f")}, "tools[0].function.parameters"),
    ],
)
def test_what_cannot_be_chosen_is_refused_before_the_model_is_asked(more: Any, param: str) -> None:
    model = Writes(SUM)
    with pytest.raises(BadBody) as raised:
        ask(model, **more)
    assert (raised.value.param or "").startswith(param) and not model.asked


def test_calls_of_two_turns_have_different_ids() -> None:
    ids = {call.id for call in ask(Writes(f"[{SUM}, {SUM}]"), tool_choice="required")[0].tool_calls}
    more = [{"role": "user", "content": "another"}]
    ids |= {call.id for call in ask(Writes(f"[{SUM}]"), tool_choice="required", messages=more)[0].tool_calls}
    assert len(ids) == 3


FENCED = f"```json\n{OSLO}\n```"
WRITTEN = {
    "fenced JSON": FENCED,
    "a fence without a language": FENCED.replace("json", ""),
    "a fence that never ends": FENCED.removesuffix("```"),
    "JSON": OSLO,
    "a list": f"[{OSLO}]",
    "outer braces doubled": f"{{{OSLO}}}",
    "all braces doubled": '{{"name": "weather", "arguments": {{"city": "Oslo"}}}}',
    "tags": f"<tool_call>\n{OSLO}\n</tool_call>",
    "tags with doubled braces": f"<tool_call>{{{OSLO}}}</tool_call>",
    "a tag that never ends": f"<tool_call>{OSLO}",
    "a function tag": '<function=weather>{"city": "Oslo"}</function>',
    "Mistral": f"[TOOL_CALLS][{OSLO}]",
    "Llama": '{"name": "weather", "parameters": {"city": "Oslo"}}',
    "arguments as a string": '{"name": "weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}',
    "Python": "weather(city='Oslo')",
    "a list in Python": '[weather(city="Oslo")]',
    "fenced Python": '```python\nweather(city="Oslo")\n```',
    "the OpenAI form": '{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}',
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("form", WRITTEN)
def test_a_call_that_a_model_writes_is_a_tool_call(form: str, stream: bool) -> None:
    for pieces in ([WRITTEN[form]], list(WRITTEN[form]), ["\n\n", WRITTEN[form], "\n"]):
        choice, heard = ask(Writes(*pieces), stream=stream)
        ((name, arguments),) = calls(choice)
        assert name == "weather" and arguments["city"].startswith("Oslo")
        assert (choice.text, choice.finish_reason) == ("", "tool_calls")
        assert not any(isinstance(event, TextDelta) for event in heard)
        assert [event.finish_reason for event in heard if isinstance(event, ChoiceFinished)] == ["tool_calls"] * stream


@pytest.mark.parametrize(
    "text",
    [
        "It rains in Oslo.",
        "{braces} and [1] notes, `code`, a < b, and <b>bold</b>.",
        '{"name": "fly", "arguments": {"city": "Oslo"}}',
        '{"name": "weather", "arguments": {"town": "Oslo"}}',
        '{"name": "weather", "arguments": {"city": 7}}',
        '{"name": "weather", "arguments": ["Oslo"]}',
        '{"name": "tag", "arguments": {"tags": ["a", "a"]}}',
        '```json\n{"city": "Oslo"}\n```\n',
        '```json\n{"name": "Oslo", "size": 7}\n```',
        "```python\nprint(1)\n```",
        "```",
        "<tool_call>no</tool_call> and <function=weather>",
        "[TOOL_CALLS] are what Mistral writes",
        "weather(city=city)",
        '{"name": "weather", "arguments": {"city": "Os',
        "[weather",
        '["a", "b"]',
        "{" * 200,
        "\n \n",
    ],
)
def test_what_is_no_call_of_an_offered_tool_stays_as_it_was_written(text: str) -> None:
    for pieces in ([text], list(text), ["Look:\n\n", text, "\nSo."]):
        choice, heard = ask(Writes(*pieces), stream=True)
        assert (choice.text, choice.tool_calls, choice.finish_reason) == ("".join(pieces), (), "stop")
        assert "".join(event.text for event in heard if isinstance(event, TextDelta)) == "".join(pieces)


def test_text_streams_as_it_comes_and_a_call_waits_until_it_is_whole() -> None:
    pieces = ["I will ", "look.\n", "\n", *FENCED, "\n", "There."]
    choice, heard = ask(Writes(*pieces), stream=True)
    assert [type(event).__name__ for event in heard[:3]] == ["TextDelta", "TextDelta", "ToolDelta"]
    assert calls(choice) == [MADE] and choice.text.split() == ["I", "will", "look.", "There."]
    plain = ["The ", "sun ", "shines.\n", "All ", "day."]
    assert [event.text for event in ask(Writes(*plain), stream=True)[1] if isinstance(event, TextDelta)] == plain
    assert all(event.frame is None for event in heard if isinstance(event, TextDelta | ToolDelta | ChoiceFinished))


@pytest.mark.parametrize("between", ["\n", "", "\n\n", ", "])
def test_several_calls_are_made_in_their_order_or_the_first_alone(between: str) -> None:
    text = (
        f"[{OSLO}, {SUM}]" if between == ", " else f"<tool_call>{OSLO}</tool_call>{between}<tool_call>{SUM}</tool_call>"
    )
    assert [name for name, _ in calls(ask(Writes(text))[0])] == ["weather", "add"]
    single, heard = ask(Writes(text), stream=True, parallel_tool_calls=False)
    assert calls(single) == [MADE] and len([event for event in heard if isinstance(event, ToolDelta)]) == 1


def test_a_model_that_may_call_nothing_is_left_its_words() -> None:
    choice, _ = ask(Writes(FENCED), tool_choice="none")
    assert (choice.text, choice.tool_calls) == (FENCED, ())
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named("add")]}}
    model = Writes(FENCED)
    assert ask(model, tool_choice=allowed)[0].tool_calls == ()
    assert bytes(model.asked[0].fields["tool_choice"]) == b'"auto"'


def test_an_answer_that_is_cut_off_within_a_call_shows_what_was_written() -> None:
    text = '```json\n{"name": "weather", "arguments": {"ci'
    choice, heard = ask(Writes(*text, finish="length"), stream=True)
    assert (choice.text, choice.finish_reason) == (text, "length")
    assert "".join(event.text for event in heard if isinstance(event, TextDelta)) == text


@given(
    some.lists(
        some.sampled_from([*WRITTEN.values(), "[", "{", '"', "```", "\n", "<tool_call>", "weather(", "a b", "'"])
    )
)
def test_nothing_is_lost_or_raised_however_it_arrives(pieces: list[str]) -> None:
    text = "".join(pieces)
    whole, _ = ask(Writes(text))
    streamed, heard = ask(Writes(*text), stream=True)
    assert (whole.text, calls(whole)) == (streamed.text, calls(streamed))
    assert "".join(event.text for event in heard if isinstance(event, TextDelta)) == (streamed.text if text else "")
    assert whole.tool_calls or whole.text == text


@pytest.mark.parametrize(
    "text",
    ["", "I cannot.", "{}", '{"city": "Oslo"}', '[{"name": 3, "arguments": {}}]', '{"name": "x", "arguments": {}}'],
)
def test_a_forced_answer_that_is_no_call_is_an_error_of_the_model(text: str) -> None:
    with pytest.raises(InvalidOutput, match="is no call of one of `tools`"):
        ask(Writes(text), tool_choice="required")


@pytest.mark.parametrize(
    ("few", "pieces"),
    [
        pytest.param(2_000, lambda n: ["\n"] * n, id="blank lines, one by one"),
        pytest.param(10_000, lambda n: ["- a line\n" * n], id="many lines at once"),
        pytest.param(10_000, lambda n: ["\n" * n, "end"], id="blank lines at once"),
    ],
)
def test_a_long_answer_is_read_in_linear_time(few: int, pieces: Callable[[int], list[str]]) -> None:
    check_linear(lambda n: ask(Writes(*pieces(n)), stream=True), few)


def test_a_far_indented_list_of_calls_is_read_alike_however_it_arrives() -> None:
    text = f"[{' ' * 100}weather(city='Oslo')]"
    assert ask(Writes(*text), stream=True)[0].text == ask(Writes(text))[0].text == text


def test_no_warning_shows_what_a_model_wrote(recwarn: pytest.WarningsRecorder) -> None:
    choice, _ = ask(Writes(r"weather(city='\d+ Oslo')"))
    assert calls(choice) == [("weather", {"city": r"\d+ Oslo"})]
    assert not recwarn.list
