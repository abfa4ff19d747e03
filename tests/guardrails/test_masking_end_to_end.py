"""A real server in front of one that shows what reached it: masked on the way in, put back on the way out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sizewise.errors import ConfigError
from sizewise.settings.load import load_settings
from tests.fakes.fake_anthropic import FakeAnthropic
from tests.fakes.fake_openai_echo import FakeOpenAIEcho
from tests.gateway.server_harness import beside
from tests.graphql.graphql_client import graphql
from tests.running_server import Answer, Served, serving, until

JANE = "jane.o'hara@example.com"
CARD = "4111 1111 1111 1111"
KEY = "sk-proj-" + "aB3dE5gH7jK9mN1pQ3sT5"
WORDS = f'Write to {JANE}, charge {CARD}, log in with {KEY} "now"'
SECRETS = (JANE, CARD, KEY)
CONFIG = """
[server]
embedded = false
discover = false
[router]
policy = "falls"
[guardrails]
canaries = ["canary-7f3a"]
[guardrails.denied_topics.games]
deny = ["casino"]
[providers.far]
base_url = "{mirror}"
place = "anyone"
models = ["mirror", "flaky", "broken"]
[providers.claude]
base_url = "{claude}"
wire = "anthropic"
place = "anyone"
models = ["well"]
[providers.near]
base_url = "{near}"
place = "machine"
models = ["mirror"]
[providers.vectors]
base_url = "{mirror}"
place = "anyone"
models = ["embed"]
[models."vectors/embed"]
task = "embed"
[policies.falls]
kind = "fixed"
models = ["far/broken", "far/mirror"]
[policies.nearfirst]
kind = "fixed"
models = ["near/mirror"]
[policies.strict]
kind = "fixed"
models = ["far/mirror"]
guardrails = {{pii = "block", topics = "block"}}
[policies.home]
kind = "fixed"
models = ["far/mirror", "near/mirror"]
guardrails = {{pii = "local"}}
[policies.mute]
kind = "fixed"
models = ["near/mirror"]
guardrails = {{leakage = "block"}}
[policies.veil]
kind = "fixed"
models = ["near/mirror"]
guardrails = {{leakage = "mask"}}
"""


@pytest.fixture(scope="module")
def near() -> Iterator[FakeOpenAIEcho]:
    """At an address of its own: one address is as far away as the furthest that is said of it."""
    with beside(FakeOpenAIEcho) as up:
        yield up


@pytest.fixture(scope="module")
def server(
    mirror: FakeOpenAIEcho,
    near: FakeOpenAIEcho,
    claude: FakeAnthropic,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    config = CONFIG.format(mirror=mirror.url, near=near.url, claude=claude.url)
    with serving(tmp_path_factory.mktemp("guards"), config) as served:
        yield served


def events(answer: Answer) -> list[dict[str, Any]]:
    lines = [line[6:] for line in answer.body.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def streamed(answer: Answer) -> str:
    """The words of a chat stream."""
    return "".join(choice["delta"].get("content") or "" for each in events(answer) for choice in each["choices"])


def hidden(body: object) -> None:
    sent = json.dumps(body, ensure_ascii=False)
    assert not [each for each in SECRETS if each in sent], sent
    assert "<EMAIL_1>" in sent and "<CARD_1>" in sent and "<KEY_1>" in sent


# ---- the endpoints --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_chat_is_masked_on_its_way_in_and_put_back_on_its_way_out(
    server: Served,
    mirror: FakeOpenAIEcho,
    stream: bool,
) -> None:
    answer = server.chat("far/mirror", WORDS, stream=stream)
    hidden(mirror.received.bodies[-1])
    shown: Any = None if stream else answer.json
    assert (streamed(answer) if stream else shown["choices"][0]["message"]["content"]) == WORDS
    assert answer.headers["x-sizewise-guards"] == "pii:EMAIL=1 masked, pii:CARD=1 masked, secrets:KEY=1 masked"
    if not stream:
        assert shown["system_fingerprint"] == "fp"  # all else of the upstream's body stays


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_arguments_of_a_call_are_put_back_as_json(server: Served, mirror: FakeOpenAIEcho, stream: bool) -> None:
    tool = {"type": "function", "function": {"name": "tell", "description": f"as {JANE}", "parameters": {}}}
    answer = server.chat("far/mirror", WORDS, stream=stream, tools=[tool])
    hidden(mirror.received.bodies[-1])
    if stream:
        deltas = [call for e in events(answer) for c in e["choices"] for call in c["delta"].get("tool_calls", [])]
        arguments = "".join(each["function"].get("arguments", "") for each in deltas)
    else:
        shown: Any = answer.json
        arguments = shown["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments) == {"said": WORDS}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_messages_are_masked_and_put_back(server: Served, mirror: FakeOpenAIEcho, stream: bool) -> None:
    body = {
        "model": "far/mirror",
        "max_tokens": 100,
        "system": f"You serve {JANE}.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": WORDS}]}],
        "stream": stream,
    }
    answer = server.ask("/v1/messages", body)
    hidden(mirror.received.bodies[-1])
    if stream:
        said = "".join(
            each["delta"].get("text", "") for each in events(answer) if each["type"] == "content_block_delta"
        )
    else:
        shown: Any = answer.json
        said = shown["content"][0]["text"]
    assert said == WORDS
    assert "masked" in answer.headers["x-sizewise-guards"]


def test_a_masked_body_of_the_same_wire_keeps_what_only_that_wire_can_say(
    server: Served,
    claude: FakeAnthropic,
) -> None:
    marked = {"type": "text", "text": WORDS, "cache_control": {"type": "ephemeral"}}
    called = {"type": "tool_use", "id": "toolu_1", "name": "send", "input": {"to": JANE, "n": [1.50, 2]}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": f"sent to {JANE}"}
    body = {
        "model": "claude/well",
        "max_tokens": 100,
        "container": "box_1",  # no other wire has a word for it
        "messages": [
            {"role": "user", "content": [marked]},
            {"role": "assistant", "content": [called]},
            {"role": "user", "content": [result]},
        ],
    }
    answer = server.ask("/v1/messages", body)
    assert answer.status == 200, answer.body
    sent: Any = claude.received.bodies[-1]
    hidden(sent)
    assert sent["container"] == "box_1"
    assert sent["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert sent["messages"][1]["content"][0]["input"] == {"to": "<EMAIL_1>", "n": [1.5, 2]}
    assert sent["messages"][2]["content"][0]["content"] == "sent to <EMAIL_1>"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_responses_are_masked_and_put_back_also_in_what_is_kept_of_them(
    server: Served,
    mirror: FakeOpenAIEcho,
    stream: bool,
) -> None:
    answer = server.ask("/v1/responses", {"model": "far/mirror", "input": WORDS, "stream": stream})
    hidden(mirror.received.bodies[-1])
    response: Any = events(answer)[-1]["response"] if stream else answer.json
    assert response["output"][-1]["content"][0]["text"] == WORDS
    if stream:
        assert "".join(e["delta"] for e in events(answer) if e["type"] == "response.output_text.delta") == WORDS
    more = {"model": "far/mirror", "input": f"and {JANE}?", "previous_response_id": response["id"]}
    next_: Any = server.ask("/v1/responses", more).json
    hidden(mirror.received.bodies[-1])  # the turns before hold the values again
    assert next_["output"][-1]["content"][0]["text"] == f"and {JANE}?"


def test_inputs_of_embeddings_are_masked(server: Served, mirror: FakeOpenAIEcho) -> None:
    answer = server.ask("/v1/embeddings", {"model": "vectors/embed", "input": [WORDS, "hello"]})
    assert answer.status == 200, answer.body
    hidden(mirror.received.bodies[-1])
    assert mirror.received.bodies[-1]["input"][1] == "hello"  # type: ignore[index]  # a list, as it was sent


# ---- the attempts ---------------------------------------------------------------------------------------------------


def test_a_model_of_this_machine_sees_the_text(server: Served, near: FakeOpenAIEcho) -> None:
    answer = server.chat("near/mirror", WORDS)
    sent: Any = near.received.bodies[-1]
    assert sent["messages"][-1]["content"] == WORDS
    assert answer.headers["x-sizewise-guards"] == "pii:EMAIL=1 flagged, pii:CARD=1 flagged, secrets:KEY=1 flagged"


def test_retries_and_fallbacks_are_masked_like_the_first_try(server: Served, mirror: FakeOpenAIEcho) -> None:
    before = len(mirror.received.bodies)
    answer = server.chat("auto", WORDS)
    shown: Any = answer.json
    assert answer.status == 200, answer.body
    assert shown["choices"][0]["message"]["content"] == WORDS
    sent = mirror.received.bodies[before:]
    assert {"broken", "mirror"} <= {str(each["model"]) for each in sent}
    for each in sent:
        hidden(each)


@pytest.mark.parametrize("mail", [JANE, JANE.replace("@", "\\u0040")], ids=["plain", "escaped"])
def test_json_in_a_text_is_masked_in_each_value_of_a_key_written_twice(
    server: Served, mirror: FakeOpenAIEcho, mail: str
) -> None:
    """Only the last value was looked at, and the model read both."""
    words = f'{{"to": "{mail}", "n": [1, {{"to": "x", "to": "{mail}"}}], "to": "nobody"}}'
    answer = server.chat("far/mirror", words)
    sent: Any = mirror.received.bodies[-1]
    read = json.loads(sent["messages"][-1]["content"], object_pairs_hook=list)
    assert read == [("to", "<EMAIL_1>"), ("n", [1, [("to", "x"), ("to", "<EMAIL_1>")]]), ("to", "nobody")]
    assert answer.headers["x-sizewise-guards"] == "pii:EMAIL=2 masked"
    assert server.chat("auto:strict", words).error["code"] == "guard_blocked"


def test_a_request_with_nothing_to_hide_leaves_as_it_came(server: Served, mirror: FakeOpenAIEcho) -> None:
    answer = server.chat("far/mirror", "hello", strange={"kept": 1.50})
    assert mirror.received.bodies[-1]["strange"] == {"kept": 1.5}
    assert "x-sizewise-guards" not in answer.headers
    stream = server.chat("far/mirror", "hello", stream=True)
    assert '"id": "up-1"' in stream.body.decode()  # the upstream's own frames


def test_shadows_and_their_judges_see_placeholders(tmp_path: Path, mirror: FakeOpenAIEcho) -> None:
    config = f"""
[server]
embedded = false
discover = false
[shadow]
sample_rate = 1.0
judge = "far/judge"
[providers.echo]
wire = "echo"
place = "process"
models = ["small"]
[models."echo/small"]
parameters = 100_000_000
[providers.far]
base_url = "{mirror.url}"
place = "anyone"
models = ["large", "judge"]
[models."far/large"]
parameters = 70_000_000_000
[policies.default]
kind = "cascade"
threshold = 0.5
models = ["echo/small", "far/large"]
"""
    before = len(mirror.received.bodies)
    with serving(tmp_path, config) as server:
        answer = server.chat("auto", f"[[echo/small: say no]] {WORDS}")
        assert answer.headers["x-sizewise-model"] == "echo/small"
        until(lambda: {"large", "judge"} <= {str(each["model"]) for each in mirror.received.bodies[before:]})
    for each in mirror.received.bodies[before:]:
        hidden(each)


# ---- what else is done ----------------------------------------------------------------------------------------------


def test_a_policy_refuses_what_it_blocks_and_says_what_but_not_the_text(server: Served, mirror: FakeOpenAIEcho) -> None:
    before = len(mirror.received.bodies)
    for words, kind in ((WORDS, "EMAIL"), ("Where is the next Casino?", "GAMES")):
        answer = server.chat("auto:strict", words)
        assert (answer.status, answer.error["code"]) == (400, "guard_blocked")
        assert kind in answer.error["message"] and JANE not in answer.body.decode()
    assert len(mirror.received.bodies) == before
    assert server.chat("auto:strict", "Where is the library?").status == 200
    assert server.chat("far/mirror", "Where is the next casino?").status == 200  # elsewhere topics are off


def test_a_policy_keeps_at_home_what_must_not_leave(server: Served) -> None:
    assert server.chat("auto:home", "hello").headers["x-sizewise-model"] == "far/mirror"
    assert server.chat("auto:home", WORDS).headers["x-sizewise-model"] == "near/mirror"


def test_what_was_found_is_recorded_as_counts(server: Served) -> None:
    trace = server.chat("far/mirror", WORDS).headers["x-sizewise-trace"]
    query = "query($t: String!) { records(filter: {trace: $t}) { rows { guardrails error } } }"
    counts = "pii:EMAIL=1 masked, pii:CARD=1 masked, secrets:KEY=1 masked"
    assert graphql(server, query, t=trace).data["records"]["rows"] == [{"guardrails": counts, "error": ""}]
    metrics = server.ask("/metrics").body.decode()
    assert 'sizewise_guardrail_findings_total{action="masked",guardrail="pii",kind="EMAIL"}' in metrics
    refused = server.chat("auto:strict", WORDS).headers["x-sizewise-trace"]
    (record,) = graphql(server, query, t=refused).data["records"]["rows"]
    assert record["error"] == "guard_blocked" and "pii:EMAIL=1 blocked" in record["guardrails"]


LEAK = "the word is canary-7f3a and so on"
PROMPT = "You are the concierge of a small hotel by the sea and never speak of the cellar or its door."


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_reply_that_leaks_is_noted_masked_or_refused(server: Served, stream: bool) -> None:
    flagged = server.chat("near/mirror", LEAK, stream=stream)
    assert flagged.status == 200 and LEAK in (streamed(flagged) if stream else flagged.body.decode())
    noted = events(flagged)[-1]["sizewise"]["guards"] if stream else flagged.headers["x-sizewise-guards"]
    assert noted == "leakage:CANARY=1 flagged"
    masked = server.chat("auto:veil", LEAK, stream=stream)
    shown: Any = None if stream else masked.json
    assert (
        streamed(masked) if stream else shown["choices"][0]["message"]["content"]
    ) == "the word is [CANARY] and so on"
    refused = server.chat("auto:mute", LEAK, stream=stream)
    assert (refused.status, refused.error["code"]) == (400, "guard_blocked")  # nothing was shown yet


def test_a_reply_that_leaks_after_its_first_words_ends_with_an_error_event(server: Served) -> None:
    answer = server.chat("auto:mute", "word " * 200 + LEAK, stream=True)
    assert answer.status == 200 and "canary-7f3a" not in answer.body.decode()
    assert events(answer)[-1]["error"]["code"] == "guard_blocked"
    assert "[DONE]" not in answer.body.decode()


def test_the_system_prompt_word_for_word_is_a_leak_and_a_person_may_hear_their_own_words(server: Served) -> None:
    messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": f"It says: {PROMPT}"}]
    answer = server.ask("/v1/chat/completions", {"model": "near/mirror", "messages": messages})
    assert answer.headers["x-sizewise-guards"] == "leakage:SYSTEM_PROMPT=1 flagged"
    own = server.chat("near/mirror", f"I am {JANE}")
    assert own.headers["x-sizewise-guards"] == "pii:EMAIL=1 flagged"  # and no leakage


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('[guardrails]\npii = "hide"', "'mask'"),
        ('[guardrails]\nsecret = "mask"', "secrets"),
        ('[policies.default]\nguardrails = {secret = "block"}', "secrets"),
        ('[guardrails]\ndetected_data_class = {pii = "secret"}', "'confidential'"),
    ],
)
def test_a_guard_or_an_action_that_nobody_knows_is_refused_by_name(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "sizewise.toml").write_text(line)
    with pytest.raises(ConfigError) as refused:
        load_settings(tmp_path / "sizewise.toml", tmp_path)
    assert said in refused.value.message


def test_counting_tokens_with_a_vendor_is_masked_too(server: Served, claude: FakeAnthropic) -> None:
    body = {"model": "claude/well", "messages": [{"role": "user", "content": WORDS}]}
    answer = server.ask("/v1/messages/count_tokens", body)
    assert answer.status == 200, answer.body
    assert claude.received.paths[-1].endswith("/count_tokens")
    hidden(claude.received.bodies[-1])


def test_what_is_detected_makes_the_class_of_data_stricter(
    tmp_path: Path,
    mirror: FakeOpenAIEcho,
    near: FakeOpenAIEcho,
) -> None:
    config = CONFIG.format(mirror=mirror.url, near=near.url, claude=mirror.url)
    config = config.replace("[guardrails]\n", '[guardrails]\ndetected_data_class = {secrets = "confidential"}\n')
    with serving(tmp_path, config) as server:
        assert server.chat("far/mirror", f"Write to {JANE}").status == 200
        refused = server.chat("far/mirror", WORDS, sizewise={"data_class": "public"})
        assert (refused.status, refused.error["code"]) == (403, "forbidden"), refused.body
        assert server.chat("near/mirror", WORDS).status == 200
