"""The official `openai` SDK, unchanged, with only its base_url set: what its users do works as they know it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from sizewise.testing.upstream import FakeOpenAI
from tests.running_server import Served

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "one two three"}]
WEATHER: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture
def client(server: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0) as made:
        yield made


def said(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_a_chat_comes_back_whole_with_its_usage(client: OpenAI) -> None:
    reply = client.chat.completions.create(model="echo/small", messages=HELLO)
    (choice,) = reply.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "one two three", "stop")
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (3, 3, 6)
    assert reply.object == "chat.completion" and reply.id and reply.created > 1_700_000_000


def test_a_stream_tells_word_by_word_who_speaks_first_and_why_it_ends(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="echo/small", messages=HELLO, stream=True))
    assert said(chunks) == "one two three"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]
    assert all(chunk.usage is None for chunk in chunks), "usage was not asked for"


def test_a_stream_with_include_usage_ends_with_one_chunk_of_usage_and_no_choice(client: OpenAI) -> None:
    for model in ("echo/small", "flow/well"):
        chunks = list(
            client.chat.completions.create(
                model=model,
                messages=HELLO,
                stream=True,
                stream_options={"include_usage": True},
            ),
        )
        assert [bool(chunk.choices) for chunk in chunks[-2:]] == [True, False], model
        usage = chunks[-1].usage
        assert usage is not None and usage.total_tokens == (6 if model == "echo/small" else 12)
        assert sum(chunk.usage is not None for chunk in chunks) == 1


@pytest.mark.parametrize("model", ["echo/small", "flow/well"])
def test_all_chunks_of_a_stream_bear_one_id_and_one_model(client: OpenAI, model: str) -> None:
    options: Any = {"include_usage": True}
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, stream=True, stream_options=options))
    assert len({(chunk.id, chunk.model) for chunk in chunks}) == 1, {(chunk.id, chunk.model) for chunk in chunks}


def test_a_stream_and_a_whole_reply_name_the_same_model(client: OpenAI) -> None:
    whole = client.chat.completions.create(model="echo/small", messages=HELLO)
    chunks = list(client.chat.completions.create(model="echo/small", messages=HELLO, stream=True))
    assert {whole.model, *(chunk.model for chunk in chunks)} == {"echo/small"}


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_a_limit_of_tokens_ends_the_answer_for_length(client: OpenAI, limit: str) -> None:
    wish: Any = {limit: 2}
    reply = client.chat.completions.create(model="echo/small", messages=HELLO, **wish)
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == ("one two", "length")


def test_logprobs_come_with_each_token_whole_and_streamed(client: OpenAI) -> None:
    asked: Any = {"model": "echo/small", "messages": HELLO, "logprobs": True, "top_logprobs": 0}
    whole = client.chat.completions.create(**asked)
    assert whole.choices[0].logprobs is not None and whole.choices[0].logprobs.content is not None
    assert [(t.token, t.logprob) for t in whole.choices[0].logprobs.content][:1] == [("one", -0.1)]
    chunks = list(client.chat.completions.create(**asked, stream=True))
    told = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices[0].logprobs]
    assert [t.token for each in told for t in each.content or ()] == ["one", " two", " three"]


def test_every_role_and_content_in_parts_are_understood(client: OpenAI) -> None:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hi!"},
        {"role": "user", "content": [{"type": "text", "text": "four words"}, {"type": "text", "text": "in parts"}]},
    ]
    reply = client.chat.completions.create(model="echo/small", messages=messages)
    assert (reply.choices[0].message.content or "").split() == ["four", "words", "in", "parts"]


@pytest.mark.parametrize("stream", [False, True])
def test_everything_said_reaches_the_upstream_untouched_known_or_not(
    client: OpenAI,
    upstream: FakeOpenAI,
    stream: bool,
) -> None:
    wishes: dict[str, Any] = {
        "temperature": 0.3,
        "top_p": 0.9,
        "max_tokens": 50,
        "stop": ["\n\n", "END"],
        "seed": 7,
        "n": 1,
        "presence_penalty": 0.5,
        "user": "somebody",
        "response_format": {"type": "text"},
        "metadata": {"a": "b"},
        "stream": stream,
    }
    strange = {"vendor_magic": {"deep": [1, 2.5, "é", None, {"x": True}]}, "guided_regex": "a+", "top_k": 40}
    marked = {"sizewise": {"max_ms": 60_000}}
    messages: Any = [{"role": "user", "content": "Grüße 🎈", "name": "anna", "cache_control": {"type": "ephemeral"}}]
    answer = client.chat.completions.create(
        model="whole/well",
        messages=messages,
        extra_body=strange | marked,
        **wishes,
    )
    if stream:
        list(answer)
    arrived = dict(upstream.received.bodies[-1])
    assert arrived.pop("model") == "well", "the provider's own name for it"
    options = arrived.pop("stream_options", None)
    assert options == ({"include_usage": True} if stream else None), "a stream is always asked for its usage"
    assert arrived == wishes | strange | {"messages": messages}, "and our own `sizewise` is nobody else's business"
    sent = upstream.received.headers[-1]
    assert sent["authorization"] == "Bearer sk-upstream-secret", "with the upstream's key, never the caller's"
    assert not any(name.startswith(("x-sizewise", "x-stainless")) for name in sent)


def test_fields_of_the_reply_that_nobody_here_knows_come_back(client: OpenAI) -> None:
    reply = client.chat.completions.create(model="whole/well", messages=HELLO)
    assert reply.system_fingerprint == "fp_kept"
    assert (reply.choices[0].message.content, reply.id) == ("Hello from the upstream.", "up-1")


@pytest.mark.parametrize("model", ["flow/well", "flow/crlf"])
def test_an_upstream_s_stream_is_passed_on_without_a_word_lost(client: OpenAI, model: str) -> None:
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, stream=True))
    assert said(chunks) == "Hello from the upstream."
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_stream_cut_at_every_byte_is_whole_again(client: OpenAI) -> None:
    assert said(list(client.chat.completions.create(model="flow/one-byte", messages=HELLO, stream=True))) == "Héllo"


def test_tool_calls_come_whole_and_in_pieces(client: OpenAI) -> None:
    messages: Any = [{"role": "user", "content": '[[tool weather {"city": "Bonn"}]]'}]
    asked: Any = {"model": "echo/small", "messages": messages, "tools": [WEATHER]}
    (call,) = client.chat.completions.create(**asked).choices[0].message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Bonn"})
    chunks = list(client.chat.completions.create(**asked, stream=True))
    pieces = [each for chunk in chunks for each in chunk.choices[0].delta.tool_calls or ()]
    assert pieces[0].function is not None and pieces[0].function.name == "weather" and pieces[0].id
    assert json.loads("".join(each.function.arguments or "" for each in pieces if each.function)) == {"city": "Bonn"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_headers_say_which_model_why_at_what_price_and_under_which_trace(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="echo/small", messages=HELLO)
    assert raw.headers["x-sizewise-model"] == "echo/small"
    assert raw.headers["x-sizewise-why"] == "named in the request"
    assert raw.headers["x-sizewise-cost-usd"] == "0.0000105"  # 3 tokens at $1 and 3 at $2.5 a million
    assert raw.headers["x-request-id"] == raw.headers["x-sizewise-trace"] and len(raw.headers["x-request-id"]) == 32
    assert "x-sizewise-attempts" not in raw.headers, "one was asked"
    whole = raw.parse()
    assert whole.choices[0].message.content == "one two three"


def test_an_escalated_chat_says_how_many_were_asked_and_adds_up_their_prices(client: OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "[[echo/small: say I am not sure]] one two"}]
    raw = client.chat.completions.with_raw_response.create(model="auto", messages=messages)
    assert (raw.headers["x-sizewise-model"], raw.headers["x-sizewise-attempts"]) == ("echo/large", "2")
    # small: 8 words read, 4 said; large: 8 read, 2 said
    assert raw.headers["x-sizewise-cost-usd"] == "0.000148", 8 * 1 + 4 * 2.5 + 8 * 10 + 2 * 25


def test_a_stream_has_the_headers_known_at_the_first_word_and_the_price_at_its_end(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="echo/small", messages=HELLO, stream=True)
    assert raw.headers["x-sizewise-model"] == "echo/small"
    last = list(raw.parse())[-1]
    ours: Any = (last.model_extra or {})["sizewise"]
    assert ours["cost_usd"] == "0.0000105" and ours["model"] == "echo/small" and ours["attempts"] == 1
    assert ours["trace"] == raw.headers["x-sizewise-trace"]


def test_the_caller_s_own_trace_is_kept(client: OpenAI) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    sent = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    raw = client.chat.completions.with_raw_response.create(model="echo/small", messages=HELLO, extra_headers=sent)
    assert raw.headers["x-sizewise-trace"] == trace


def test_models_are_listed_and_found_one_by_one(client: OpenAI) -> None:
    listed = {model.id for model in client.models.list()}
    assert {"auto", "small", "large", "auto:default", "echo/small", "whole/well"} <= listed
    for name in ("echo/small", "auto"):
        assert client.models.retrieve(name).id == name
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("echo/smal")
    assert "echo/small" in caught.value.body["hint"]  # type: ignore[index]  # the SDK says `object`


def test_small_and_large_are_models(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="small", messages=HELLO)
    assert raw.headers["x-sizewise-model"] == "echo/small"


def test_embeddings_are_vectors_in_the_order_of_their_texts(client: OpenAI, server: Served) -> None:
    with pytest.raises(openai.BadRequestError, match="is a chat model"):
        client.embeddings.create(model="echo/small", input="a")
    together = client.embeddings.create(model="echo/vectors", input=["one", "two"])
    alone = client.embeddings.create(model="echo/vectors", input="two")
    assert [each.index for each in together.data] == [0, 1]
    assert together.data[1].embedding == alone.data[0].embedding != together.data[0].embedding
    assert together.usage.prompt_tokens == 2 and len(alone.data[0].embedding) == 8


async def test_many_at_once_get_each_their_own_answer(server: Served) -> None:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0) as client:

        async def whole(number: int) -> str:
            messages: Any = [{"role": "user", "content": f"number {number} [[slow 0.05]]"}]
            reply = await client.chat.completions.create(model="echo/small", messages=messages)
            return reply.choices[0].message.content or ""

        async def streamed(number: int) -> str:
            messages: Any = [{"role": "user", "content": f"number {number} [[pace 0.01]]"}]
            stream = await client.chat.completions.create(model="echo/small", messages=messages, stream=True)
            return said([chunk async for chunk in stream])

        answers = await asyncio.gather(*(ask(number) for number in range(20) for ask in (whole, streamed)))
        assert answers == [f"number {number}" for number in range(20) for _ in range(2)]


@pytest.mark.parametrize(
    ("wrong", "error", "code"),
    [
        ({"extra_headers": {"Authorization": "Bearer nonsense"}}, openai.AuthenticationError, "invalid_api_key"),
        ({"model": "echo/smal"}, openai.NotFoundError, "model_not_found"),
        ({"messages": []}, openai.BadRequestError, "bad_body"),
        ({"temperature": 3}, openai.BadRequestError, "bad_body"),
        ({"extra_headers": {"x-sizewise-data-class": "confidential"}, "model": "far/well"},
         openai.PermissionDeniedError, "forbidden"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}],
          "model": "auto"}, openai.UnprocessableEntityError, "no_model_fits"),
        ({"model": "whole/broken"}, openai.InternalServerError, "upstream_error"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_the_sdk_s_own_error_with_our_code_and_hint(
    client: OpenAI,
    wrong: dict[str, Any],
    error: type[openai.APIStatusError],
    code: str,
) -> None:
    with pytest.raises(error) as caught:
        client.chat.completions.create(**{"model": "echo/small", "messages": HELLO, **wrong})
    body: Any = caught.value.body
    assert caught.value.code == body["code"] == code
    assert body["hint"] and body["message"] and body["docs"].endswith(f"{code}.md")
    assert len(caught.value.request_id or "") == 32


def test_a_stream_that_breaks_off_is_an_error_and_never_looks_finished(client: OpenAI) -> None:
    heard = ""
    with pytest.raises(openai.APIError) as caught:
        for chunk in client.chat.completions.create(model="flow/reset-mid", messages=HELLO, stream=True):
            heard += chunk.choices[0].delta.content or ""
    assert (heard, caught.value.code) == ("Hel", "stream_interrupted")


def test_a_busy_model_says_when_to_ask_again_where_the_sdk_looks_for_it(server: Served) -> None:
    messages: Any = [{"role": "user", "content": "hello [[busy retry_after=3 times=1]]"}]
    with OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model="echo/small", messages=messages)
        assert caught.value.response.headers["retry-after"] == "3"
