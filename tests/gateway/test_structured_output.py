"""Structured output over HTTP: what is promised as JSON is JSON of that schema, or an error that says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI
from pydantic import BaseModel, Field

from tests.gateway.scripted_upstream import CALLS, KEEPS, Speaks, settings, speaking
from tests.gateway.server_harness import booked, frames, refused, words
from tests.running_server import Answer, Served, serving, until


class Person(BaseModel):
    name: str
    age: int


SCHEMA: Any = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
FORM: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}}
OLD = '[[say {"name": "Ada", "age": "old"}]]'


@pytest.fixture(scope="module")
def speaks() -> Iterator[Speaks]:
    with speaking() as up:
        yield up


@pytest.fixture(scope="module", params=[True, False], ids=["fast", "plain"])
def served(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    speaks: Speaks,
) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("structured"), settings(speaks.url, fast=request.param)) as started:
        yield started
        said = "".join(started.said)
        assert "Traceback" not in said and "unforeseen" not in said, said


@pytest.fixture
def client(served: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0) as made:
        yield made


def ask(text: str = "Ada 36") -> Any:
    return [{"role": "user", "content": text}]


def first(answer: Answer) -> Any:
    shown: Any = answer.json
    return shown["choices"][0]


def content(answer: Answer) -> Any:
    return first(answer)["message"]["content"]


def test_a_pydantic_model_is_filled_whole_and_streamed(client: OpenAI) -> None:
    for model in ("echo/small", "up/keeps", "auto"):
        parsed = client.chat.completions.parse(model=model, messages=ask(), response_format=Person)
        person = parsed.choices[0].message.parsed
        assert isinstance(person, Person) and person.age == 36, model
        with client.chat.completions.stream(model=model, messages=ask(), response_format=Person) as stream:
            final = stream.get_final_completion().choices[0].message
        assert final.parsed == person, model


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["echo/small", "up/mends"])
def test_a_broken_answer_is_repaired_unseen_and_the_record_says_why(served: Served, model: str, stream: bool) -> None:
    answer = served.chat(model, f"Ada {OLD}", response_format=FORM, stream=stream)
    assert answer.status == 200 and b"old" not in answer.body
    text = words(frames(answer.body)) if stream else content(answer)
    assert isinstance(json.loads(text)["age"], int)
    assert answer.headers["x-sizewise-attempts"] == "2"
    until(lambda: booked(served.home, answer.headers["x-sizewise-trace"]))
    (record,) = booked(served.home, answer.headers["x-sizewise-trace"])
    came = [(row["result"], row["error"]) for row in record["tries"]]
    assert came == [("distrusted", "invalid_output"), ("answered", "")]
    assert record["why"] == record["tries"][1]["why"] == f"{model} violated the schema (type); retried once"
    assert all(row["output"] > 0 for row in record["tries"]), "both are paid for"


def test_the_upstream_is_asked_again_with_its_answer_and_what_is_wrong(served: Served, speaks: Speaks) -> None:
    served.chat("up/mends", "Ada, please", response_format=FORM)
    first, second = speaks.received.bodies[-2:]
    assert second["response_format"] == first["response_format"] == FORM
    messages: Any = second["messages"]
    assert messages[:1] == first["messages"] and [each["role"] for each in messages] == ["user", "assistant", "user"]
    assert 'at $.age: the value is not of type "integer"' in messages[2]["content"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["stubborn/echo", "up/breaks"])
def test_who_breaks_it_twice_is_an_error_of_its_own(served: Served, model: str, stream: bool) -> None:
    error = refused(served.chat(model, "Ada 36", response_format=FORM, stream=stream), 502, "invalid_output")
    assert error["param"] == "response_format" and model in error["message"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("policy", "model"), [("unruly", "echo/small"), ("worse", "up/keeps")])
def test_the_policy_goes_on_to_the_next_model(served: Served, policy: str, model: str, stream: bool) -> None:
    answer = served.chat(f"auto:{policy}", "Ada 36", response_format=FORM, stream=stream)
    assert (answer.headers["x-sizewise-model"], answer.headers["x-sizewise-attempts"]) == (model, "3")
    text = words(frames(answer.body)) if stream else content(answer)
    assert json.loads(text)["age"] == 36


def test_an_answer_cut_by_its_limit_is_no_error(client: OpenAI) -> None:
    asked: Any = {"model": "echo/small", "messages": ask(), "response_format": FORM, "max_tokens": 2}
    assert client.chat.completions.create(**asked).choices[0].finish_reason == "length"
    chunks = list(client.chat.completions.create(**asked, stream=True))
    assert chunks[-1].choices[0].finish_reason == "length"


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_no_broken_promise(served: Served, stream: bool) -> None:
    answer = served.chat("up/refuses", "Ada", response_format=FORM, stream=stream)
    assert answer.status == 200 and b"rather not." in answer.body and "x-sizewise-attempts" not in answer.headers


def test_a_call_of_a_tool_is_no_broken_promise(served: Served) -> None:
    tools = [{"type": "function", "function": {"name": name}} for _, name, _ in CALLS]
    answer = served.chat("up/calls", "Ada", response_format=FORM, tools=tools)
    assert answer.status == 200 and "x-sizewise-attempts" not in answer.headers


def test_every_one_of_n_choices_keeps_it(client: OpenAI) -> None:
    reply = client.chat.completions.create(model="echo/small", messages=ask(), response_format=FORM, n=3)
    assert [json.loads(choice.message.content or "")["age"] for choice in reply.choices] == [36] * 3


def test_json_object_is_an_object(served: Served) -> None:
    answer = served.chat("echo/small", "hello", response_format={"type": "json_object"})
    assert json.loads(content(answer)) == {"answer": "hello"}
    refused(served.chat("stubborn/echo", "hello", response_format={"type": "json_object"}), 502, "invalid_output")


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "objekt"}, "response_format.json_schema.schema.type"),
        ({"items": {"$ref": "https://example.com/a"}}, "response_format.json_schema.schema.items.$ref"),
        ({"pattern": "("}, "response_format.json_schema.schema.pattern"),
        ("nonsense", "response_format.json_schema.schema"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_a_bad_schema_is_refused_before_anybody_is_asked(served: Served, schema: Any, path: str, stream: bool) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    error = refused(served.chat("echo/small", "hi", response_format=form, stream=stream), 400, "bad_body")
    assert error["param"] == path


def test_the_promise_holds_at_anthropic_s_endpoint_too(served: Served) -> None:
    with Anthropic(base_url=served.url, api_key=served.key, max_retries=0) as theirs:
        shape: Any = {"format": {"type": "json_schema", "schema": SCHEMA}}
        for text in ("Ada 36", f"Ada 36 {OLD}"):
            asked: Any = {"model": "echo/small", "max_tokens": 50, "messages": ask(text), "output_config": shape}
            block: Any = theirs.messages.create(**asked).content[0]
            assert isinstance(json.loads(block.text)["age"], int)
            with theirs.messages.stream(**asked) as stream:
                flowing: Any = stream.get_final_message().content[0]
            assert isinstance(json.loads(flowing.text)["age"], int)


def test_the_promise_holds_at_the_endpoint_of_responses_too(client: OpenAI) -> None:
    for text in ("Ada 36", f"Ada 36 {OLD}"):
        parsed = client.responses.parse(model="echo/small", input=text, text_format=Person).output_parsed
        assert isinstance(parsed, Person)
        with client.responses.stream(model="echo/small", input=text, text_format=Person) as stream:
            assert stream.get_final_response().output_parsed == parsed
    with pytest.raises(openai.InternalServerError) as caught:
        client.responses.parse(model="stubborn/echo", input="Ada", text_format=Person)
    assert caught.value.code == "invalid_output"


def test_a_stream_that_keeps_it_is_passed_on_frame_by_frame(served: Served) -> None:
    payloads = frames(served.chat("up/keeps", "Ada", response_format=FORM, stream=True).body)
    assert words(payloads) == KEEPS and len(payloads) > 5, "held, and not melted together"


def test_the_sdk_sees_our_code_and_hint(client: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.parse(model="stubborn/echo", messages=ask(), response_format=Person)
    body: Any = caught.value.body
    assert (caught.value.status_code, body["code"]) == (502, "invalid_output") and body["hint"]
    assert body["docs"].endswith("invalid_output.md")


# ---- a real small model on this machine


class Owner(BaseModel):
    city: Literal["Bonn", "Ulm"]


class Pet(BaseModel):
    kind: Literal["dog", "cat"]
    legs: int
    tags: Annotated[list[Literal["big", "small"]], Field(max_length=2)]
    owner: Owner


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, smollm_gguf: Any) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("local")
    (home / "cache" / "models").mkdir(parents=True)
    (home / "cache" / "models" / smollm_gguf.name).symlink_to(smollm_gguf)
    config = "[server]\ndiscover = false\n[local]\nslots = 1\ncontext = 2048\n"
    with serving(home, config, SIZEWISE_CACHE=str(home / "cache")) as started:
        yield started


REX = "Rex is a dog with 4 legs. His owner lives in Ulm. Answer in JSON."
CAREFUL: Any = {"temperature": 0, "max_tokens": 150}


@pytest.mark.long
def test_a_real_model_of_135_million_parameters_fills_a_pydantic_model(local: Served) -> None:
    with OpenAI(base_url=f"{local.url}/v1", api_key=local.key, max_retries=0) as client:
        asked: Any = {"model": "local/smollm2-135m", "messages": ask(REX), "response_format": Pet, **CAREFUL}
        whole = client.chat.completions.parse(**asked).choices[0].message.parsed
        with client.chat.completions.stream(**asked) as stream:
            kinds = [event.type for event in stream]
            flowing = stream.get_final_completion().choices[0].message.parsed
    assert isinstance(whole, Pet) and whole == flowing
    assert kinds.count("content.delta") > 5, "its words passed as they came"


@pytest.mark.long
def test_a_real_model_s_words_are_shown_while_they_come_and_cut_ones_are_no_error(local: Served) -> None:
    for stream in (False, True):
        answer = local.chat("local/smollm2-135m", REX, response_format=FORM, stream=stream, temperature=0, max_tokens=3)
        assert answer.status == 200 and b'"length"' in answer.body


@pytest.mark.long
def test_what_no_grammar_keeps_is_checked_all_the_same(local: Served) -> None:
    schema = {"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": True, "minItems": 3, "maxItems": 3}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = local.chat("local/smollm2-135m", "Count.", response_format=form, stream=True, temperature=0, max_tokens=80)
    refused(answer, 502, "invalid_output")
    until(lambda: booked(local.home, answer.headers["x-request-id"]))
    (record,) = booked(local.home, answer.headers["x-request-id"])
    assert [row["error"] for row in record["tries"]] == ["invalid_output"] * 2


@pytest.mark.long
def test_a_schema_that_holds_itself_works_on_a_real_model(local: Served) -> None:
    schema = {
        "type": "object",
        "properties": {"v": {"type": "integer"}, "next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}},
        "required": ["v", "next"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = local.chat("local/smollm2-135m", "Count.", response_format=form, temperature=0, max_tokens=60)
    assert answer.status == 200, answer.body
    choice = first(answer)
    assert choice["finish_reason"] == "length" or isinstance(json.loads(choice["message"]["content"])["v"], int)


@pytest.mark.long
def test_json_object_on_a_real_model_is_an_object(local: Served) -> None:
    answer = local.chat("local/smollm2-135m", REX, response_format={"type": "json_object"}, **CAREFUL)
    choice = first(answer)
    assert choice["message"]["content"].lstrip().startswith("{")
