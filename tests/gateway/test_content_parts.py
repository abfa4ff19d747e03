"""What a conversation holds beside words: pictures, files, calls side by side, reasoning, choices, all its tokens."""

from __future__ import annotations

import base64
import json
from array import array
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.gateway.scripted_upstream import CALLS, USAGE, Speaks, settings, speaking
from tests.gateway.server_harness import CHAT, Line, booked, refused
from tests.running_server import Served, serving, until

HELLO: Any = [{"role": "user", "content": "one two three"}]
IMAGE: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
FILE: Any = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}
SOUND: Any = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
TOOLS: Any = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("weather", "clock")]


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
    with serving(tmp_path_factory.mktemp("parts"), settings(speaks.url, fast=request.param)) as started:
        yield started
        said = "".join(started.said)
        assert "Traceback" not in said and "unforeseen" not in said, said


@pytest.fixture
def client(served: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0) as made:
        yield made


def showing(*parts: Any) -> Any:
    return [{"role": "user", "content": [{"type": "text", "text": "look here"}, *parts]}]


# ---- pictures and files


@pytest.mark.parametrize("part", [IMAGE, FILE], ids=["image", "file"])
def test_auto_picks_a_model_that_can_see(client: OpenAI, part: Any) -> None:
    plain = client.chat.completions.with_raw_response.create(model="auto", messages=HELLO)
    assert plain.headers["x-sizewise-model"] == "echo/small", "the cheaper one, where there is nothing to see"
    raw = client.chat.completions.with_raw_response.create(model="auto", messages=showing(part))
    assert raw.headers["x-sizewise-model"] == "echo/eyes"
    assert raw.parse().choices[0].message.content == "look here"


@pytest.mark.parametrize(("part", "word"), [(IMAGE, "image"), (FILE, "file"), (SOUND, "audio")])
def test_a_model_that_cannot_see_refuses_and_says_what(client: OpenAI, part: Any, word: str) -> None:
    with pytest.raises(openai.BadRequestError, match=f"echo/blind does not accept {word}") as caught:
        client.chat.completions.create(model="echo/blind", messages=showing(part))
    assert caught.value.param == "messages"


def test_where_nobody_sees_it_all_the_reasons_are_told(client: OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.chat.completions.create(model="auto", messages=showing(IMAGE, SOUND))
    assert "echo/small does not accept audio, image" in caught.value.message
    assert "echo/eyes does not accept audio" in caught.value.message


def test_parts_reach_an_upstream_as_they_came(client: OpenAI, speaks: Speaks) -> None:
    messages = showing({**IMAGE, "image_url": {**IMAGE["image_url"], "detail": "low"}}, FILE)
    client.chat.completions.create(model="up/keeps", messages=messages)
    assert speaks.received.bodies[-1]["messages"] == messages


# ---- calls


@pytest.mark.parametrize("model", ["up/calls", "echo/small"])
def test_calls_side_by_side_come_whole_and_in_pieces(client: OpenAI, model: str) -> None:
    cues = " ".join(f"[[tool {name} {arguments}]]" for _, name, arguments in CALLS)
    asked: Any = {"model": model, "messages": [{"role": "user", "content": cues}], "tools": TOOLS}
    whole = client.chat.completions.create(**asked).choices[0]
    with client.chat.completions.stream(**asked) as stream:
        flowing = stream.get_final_completion().choices[0]
    wanted = [(name, json.loads(arguments)) for _, name, arguments in CALLS]
    for choice in (whole, flowing):
        calls: Any = choice.message.tool_calls
        assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == wanted
        assert len({call.id for call in calls}) == 2 and choice.finish_reason == "tool_calls"
    pieces = [
        call
        for chunk in client.chat.completions.create(**asked, stream=True)
        for choice in chunk.choices
        for call in choice.delta.tool_calls or ()
    ]
    assert {piece.index for piece in pieces} == {0, 1} and len(pieces) >= 4
    order = [piece.index for piece in pieces if piece.function and piece.function.arguments]
    assert order != sorted(order), "their pieces come in turn"


def test_results_go_back_and_the_upstream_reads_them_untouched(client: OpenAI, speaks: Speaks) -> None:
    calls = [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in CALLS]
    results = [{"role": "tool", "tool_call_id": i, "content": "fine"} for i, _, _ in CALLS]
    messages: Any = [*HELLO, {"role": "assistant", "content": None, "tool_calls": calls}, *results]
    client.chat.completions.create(model="up/keeps", messages=messages, tools=TOOLS, parallel_tool_calls=True)
    sent = speaks.received.bodies[-1]
    assert sent["messages"] == messages and sent["parallel_tool_calls"] is True


# ---- reasoning


@pytest.mark.parametrize(("model", "text"), [("up/thinks", "Yes."), ("echo/small", "Yes.")])
def test_reasoning_is_kept_in_replies_and_in_streams(client: OpenAI, model: str, text: str) -> None:
    asked: Any = {"model": model, "messages": [{"role": "user", "content": "[[think Let me see.]]Yes."}]}
    message = client.chat.completions.create(**asked).choices[0].message
    assert (message.content, (message.model_extra or {})["reasoning_content"]) == (text, "Let me see.")
    deltas = [chunk.choices[0].delta for chunk in client.chat.completions.create(**asked, stream=True)]
    thought = "".join((delta.model_extra or {}).get("reasoning_content") or "" for delta in deltas)
    assert (thought, "".join(delta.content or "" for delta in deltas)) == ("Let me see.", text)


def test_reasoning_goes_back_with_the_next_request(client: OpenAI, speaks: Speaks) -> None:
    messages: Any = [*HELLO, {"role": "assistant", "content": "Yes.", "reasoning_content": "Let me see."}, *HELLO]
    client.chat.completions.create(model="up/thinks", messages=messages)
    assert speaks.received.bodies[-1]["messages"] == messages


# ---- tokens


def test_tokens_of_all_kinds_are_told_and_paid(client: OpenAI, served: Served) -> None:
    wanted = USAGE["prompt_tokens_details"], USAGE["completion_tokens_details"]
    raw = client.chat.completions.with_raw_response.create(model="up/thinks", messages=HELLO)
    # 100 new at $1, 600 cached at $0.1, 300 written at $1.25, 50 said at $10
    assert raw.headers["x-sizewise-cost-usd"] == "0.001035"
    options: Any = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(model="up/thinks", messages=HELLO, stream=True, stream_options=options),
    )
    for usage in (raw.parse().usage, chunks[-1].usage):
        assert usage is not None and usage.prompt_tokens_details and usage.completion_tokens_details
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (1000, 50, 1050)
        assert usage.prompt_tokens_details.cached_tokens == 600
        assert usage.prompt_tokens_details.cache_write_tokens == 300
        assert usage.completion_tokens_details.reasoning_tokens == 20
    assert wanted[0] == {"cached_tokens": 600, "cache_write_tokens": 300}
    until(lambda: booked(served.home, raw.headers["x-sizewise-trace"]))
    (record,) = booked(served.home, raw.headers["x-sizewise-trace"])
    assert [record[name] for name in ("input", "output", "cached", "cache_write", "reasoning")] == [
        1000, 50, 600, 300, 20,
    ]  # fmt: skip


# ---- choices, log-probabilities, seeds, stops


@pytest.mark.parametrize("stream", [False, True])
def test_n_choices_come_with_their_own_ends_and_log_probabilities(client: OpenAI, stream: bool) -> None:
    asked: Any = {"model": "echo/small", "messages": HELLO, "n": 3, "logprobs": True}
    if not stream:
        reply = client.chat.completions.create(**asked)
        assert [(c.index, c.message.content, c.finish_reason) for c in reply.choices] == [
            (number, "one two three", "stop") for number in range(3)
        ]
        assert all(c.logprobs and len(c.logprobs.content or ()) == 3 for c in reply.choices)
        assert reply.usage is not None and reply.usage.completion_tokens == 9
        return
    said: dict[int, str] = {}
    ends: dict[int, str] = {}
    for chunk in client.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            said[choice.index] = said.get(choice.index, "") + (choice.delta.content or "")
            if choice.finish_reason:
                ends[choice.index] = choice.finish_reason
    assert said == dict.fromkeys(range(3), "one two three") and ends == dict.fromkeys(range(3), "stop")


@pytest.mark.parametrize("stop", ["END", ["END", "\n\n"]])
def test_seed_and_stops_reach_an_upstream_as_they_were_said(client: OpenAI, speaks: Speaks, stop: Any) -> None:
    client.chat.completions.create(model="up/keeps", messages=HELLO, stop=stop, seed=7)
    sent = speaks.received.bodies[-1]
    assert (sent["stop"], sent["seed"]) == (stop, 7)


@pytest.mark.long
def test_stops_and_seeds_are_obeyed_by_a_real_model_on_this_machine(
    tmp_path_factory: pytest.TempPathFactory,
    smollm_gguf: Any,
) -> None:
    home = tmp_path_factory.mktemp("local")
    (home / "cache" / "models").mkdir(parents=True)
    (home / "cache" / "models" / smollm_gguf.name).symlink_to(smollm_gguf)
    config = "[server]\ndiscover = false\n[local]\nslots = 1\ncontext = 1024\n"
    asked: Any = {"model": "local/smollm2-135m", "messages": [{"role": "user", "content": "Count: 1 2 3 4 5 6"}]}
    with serving(home, config, SIZEWISE_CACHE=str(home / "cache")) as local:
        with OpenAI(base_url=f"{local.url}/v1", api_key=local.key, max_retries=0) as client:
            for stop in ("e", ["e", "a"]):
                for stream in (False, True):
                    answer: Any = client.chat.completions.create(
                        **asked,
                        stop=stop,
                        temperature=0,
                        max_tokens=30,
                        stream=stream,
                    )
                    text = (
                        "".join(chunk.choices[0].delta.content or "" for chunk in answer)
                        if stream
                        else answer.choices[0].message.content
                    )
                    assert not any(each in text for each in stop), (stop, stream)
            wild: Any = {**asked, "temperature": 1.5, "max_tokens": 12}
            texts = [client.chat.completions.create(**wild, seed=seed).choices[0].message.content for seed in (7, 7, 8)]
            assert texts[0] == texts[1] != texts[2]
            probable = client.chat.completions.create(
                **asked,
                max_tokens=3,
                temperature=0,
                logprobs=True,
                top_logprobs=2,
            )
            tokens = probable.choices[0].logprobs
            assert tokens is not None and [len(each.top_logprobs) for each in tokens.content or ()] == [2, 2, 2]
            several = client.chat.completions.create(**wild, n=3, seed=7)
            assert [choice.index for choice in several.choices] == [0, 1, 2]
            assert [several.choices[i].message.content for i in (0, 1)] == [texts[0], texts[2]]
            best = client.completions.create(
                model="local/smollm2-135m", prompt="1 2 3", max_tokens=4, temperature=1.5, n=1, best_of=3
            )
            assert len(best.choices) == 1 and best.usage is not None and best.usage.completion_tokens == 12
            with pytest.raises(openai.BadRequestError, match="does not accept image"):
                client.chat.completions.create(**{**asked, "messages": showing(IMAGE)})


# ---- vectors


def test_the_sdk_s_own_way_to_ask_for_vectors_works(client: OpenAI) -> None:
    """It asks for base64 unasked, and unpacks it."""
    packed = client.embeddings.create(model="echo/vectors", input=["one", "two"])
    floats = client.embeddings.create(model="echo/vectors", input=["one", "two"], encoding_format="float")
    for a, b in zip(packed.data, floats.data, strict=True):
        assert a.embedding == pytest.approx(b.embedding, abs=1e-6) and len(a.embedding) == 8
    assert (packed.usage.prompt_tokens, packed.usage.total_tokens) == (2, 2)


def test_base64_is_32_bit_floats(served: Served) -> None:
    body = {"model": "echo/vectors", "input": "one"}
    shown: Any = served.ask("/v1/embeddings", {**body, "encoding_format": "base64"}).json
    floats: Any = served.ask("/v1/embeddings", {**body, "encoding_format": "float"}).json
    unpacked = array("f", base64.b64decode(shown["data"][0]["embedding"]))
    assert list(unpacked) == pytest.approx(floats["data"][0]["embedding"], abs=1e-6)
    assert served.ask("/v1/embeddings", body).json == floats


def test_tokens_are_taken_in_place_of_texts(client: OpenAI, speaks: Speaks) -> None:
    alone = client.embeddings.create(model="echo/vectors", input=[1, 2, 3])
    several = client.embeddings.create(model="echo/vectors", input=[[1, 2, 3], [4]])
    assert len(alone.data) == 1 and len(several.data) == 2
    assert alone.data[0].embedding == several.data[0].embedding
    assert (alone.usage.prompt_tokens, several.usage.prompt_tokens) == (3, 4)
    for given in ([1, 2, 3], [[1, 2, 3], [4]]):
        reply = client.embeddings.create(model="up/vectors", input=given, encoding_format="float", user="me")
        sent = speaks.received.bodies[-1]
        assert (sent["input"], sent["encoding_format"], sent["user"]) == (given, "float", "me")
        assert reply.data[0].embedding == [0.5, -0.5]


def test_dimensions_are_as_asked(client: OpenAI, speaks: Speaks) -> None:
    assert len(client.embeddings.create(model="echo/vectors", input="one", dimensions=4).data[0].embedding) == 4
    with pytest.raises(openai.BadRequestError, match="does not support 64 dimensions"):
        client.embeddings.create(model="echo/vectors", input="one", dimensions=64)
    client.embeddings.create(model="up/vectors", input="one", dimensions=64)
    assert speaks.received.bodies[-1]["dimensions"] == 64


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": ""},
        {"input": []},
        {"input": ["one", ""]},
        {"input": [[1], []]},
        {"input": ["one", 2]},
        {"input": [[1], 2]},
        {"input": [-1]},
        {"input": [1.5]},
        {"input": {"text": "one"}},
        {"input": ["one"] * 2049},
        {"input": "one", "encoding_format": "hex"},
        {"input": "one", "dimensions": 0},
        {"input": "one", "user": 7},
        {},
    ],
)  # fmt: skip
def test_what_no_model_could_make_a_vector_of_is_refused(served: Served, wrong: dict[str, Any]) -> None:
    error = refused(served.ask("/v1/embeddings", {"model": "echo/vectors", **wrong}), 400, "bad_body")
    assert next(iter(wrong), "input") in error["message"] or (error["param"] or "") in {*wrong, "input"}


def test_2048_texts_are_not_too_many(served: Served) -> None:
    shown: Any = served.ask("/v1/embeddings", {"model": "echo/vectors", "input": ["one"] * 2048}).json
    assert len(shown["data"]) == 2048


def test_a_chat_model_makes_no_vectors_and_an_embedding_model_no_words(served: Served) -> None:
    refused(served.ask("/v1/embeddings", {"model": "echo/small", "input": "one"}), 400, "bad_request")
    with Line(served) as line:
        line.say(line.request(CHAT, json.dumps({"model": "echo/vectors", "messages": HELLO}).encode()))
        refused(line.answer(), 400, "bad_request")
