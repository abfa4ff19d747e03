"""A session stays with its model unless switching saves more than it costs, on every endpoint and in the record."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from tests.gateway.server_harness import CHAT, booked
from tests.running_server import Answer, Served, serving, until

PICO = 10**12
CONFIG = """
[server]
embedded = false
discover = false
[router]
policy = "careful"
switch_cost_usd = "0.01"
[policies.careful]
kind = "cascade"
threshold = 0.5
models = ["echo/small", "echo/middle", "echo/large"]
[policies.quick]
kind = "cheapest"
models = ["echo/near", "echo/far"]
[policies.ordered]
kind = "fixed"
models = ["echo/near", "echo/far"]
[providers.echo]
wire = "echo"
place = "process"
models = ["near", "far", "small", "middle", "large"]
[models."echo/near"]
tools = true
price = {input = "9", output = "25", cached = "0.9"}
[models."echo/far"]
tools = true
price = {input = "10", output = "25", cached = "1"}
[models."echo/small"]
parameters = 100_000_000
logprobs = true
price = {input = "1", output = "5", cached = "0.1"}
[models."echo/middle"]
parameters = 10_000_000_000
logprobs = true
price = {input = "3", output = "15", cached = "0.3"}
[models."echo/large"]
parameters = 70_000_000_000
price = {input = "10", output = "50", cached = "1"}
"""
LONG = "word " * 2_000
OTHERS = "key-of-another-project"


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a second key, which belongs to another project: no endpoint moves a key, so its row is changed."""
    home = tmp_path_factory.mktemp("sessions")
    with serving(home, CONFIG) as served:
        body = {"query": 'mutation { createKey(name: "others", permissions: [ask]) { secret } }'}
        made = served.ask("/graphql", body, key=(home / "admin.token").read_text().strip())
        text = json.loads(made.body)["data"]["createKey"]["secret"]
    with closing(sqlite3.connect(home / "sizewise.db")) as db, db:
        db.execute("UPDATE keys SET project = 'others' WHERE name = 'others'")
    db.close()
    (home / OTHERS).write_text(text)
    with serving(home, CONFIG) as served:
        yield served


def others(served: Served) -> str:
    return (served.home / OTHERS).read_text()


def chat(
    served: Served,
    session: str,
    model: str,
    words: str = LONG,
    *,
    key: str = "",
    max_tokens: int = 1,
    **more: object,
) -> Answer:
    body = {"model": model, "messages": [{"role": "user", "content": words}], "max_tokens": max_tokens, **more}
    return served.ask(CHAT, body, key=key, x_sizewise_session=session)


def message(served: Served, model: str, **more: object) -> Answer:
    body = {"model": model, "messages": [{"role": "user", "content": LONG}], "max_tokens": 1, **more}
    return served.ask("/v1/messages", body)


def tokens(words: str) -> int:
    """As the router estimates them: four bytes a token, and four tokens for the message."""
    return len(json.dumps([{"role": "user", "content": words}])) // 4 + 4


def usd(pico: int) -> str:
    return "$" + f"{pico / PICO:.12f}".rstrip("0")


def model(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return answer.headers["x-sizewise-model"]


def why(answer: Answer) -> str:
    return answer.headers["x-sizewise-why"]


def begun(served: Served, model: str, words: str = LONG, **more: object) -> str:
    """A new session that this model has answered."""
    session = uuid4().hex
    assert chat(served, session, model, words, **more).status == 200  # type: ignore[arg-type]  # as they come
    return session


def test_without_a_session_every_request_is_chosen_anew(sessions: Served) -> None:
    begun(sessions, "echo/far")
    answer = sessions.chat("auto:quick", LONG)
    assert (model(answer), why(answer)) == ("echo/near", "the cheapest model that fits")


def test_a_session_stays_with_its_model_and_the_record_says_what_switching_would_save_and_cost(
    sessions: Served,
) -> None:
    session = begun(sessions, "echo/far")
    answer = chat(sessions, session, "auto:quick")
    saved = tokens(LONG) * 1_000_000  # pico-dollars: a dollar per million tokens
    lost = 2_001 * 9_000_000  # 2,000 words read and one said, each at nine dollars per million
    said = f"stays with echo/far in this session: switching would save {usd(saved)}, at a cost of {usd(lost)}"
    assert (model(answer), why(answer)) == ("echo/far", said)
    trace = answer.headers["x-sizewise-trace"]
    until(lambda: booked(sessions.home, trace))
    (record,) = booked(sessions.home, trace)
    assert (record["model"], record["why"], record["tries"][0]["why"]) == ("echo/far", said, said)


def test_a_session_leaves_its_model_when_that_saves_more_than_it_costs(sessions: Served) -> None:
    session = begun(sessions, "echo/far", "Hello there")
    answer = chat(sessions, session, "auto:quick")
    saved, lost = tokens(LONG) * 1_000_000, 3 * 9_000_000  # two words read, one said
    said = f"leaves echo/far: saves {usd(saved)}, switching costs {usd(lost)}; the cheapest model that fits"
    assert (model(answer), why(answer)) == ("echo/near", said)
    assert why(chat(sessions, session, "auto:quick")) == "the cheapest model that fits", "it has moved"


def test_a_history_of_tool_calls_is_worth_the_declared_cost(sessions: Served) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    session = begun(sessions, "echo/far", "Look [[tool look {}]]", tools=[tool])
    answer = chat(sessions, session, "auto:quick")
    lost = 5 * 9_000_000 + PICO // 100  # four words, cue and all, and the call
    assert model(answer) == "echo/far" and why(answer).endswith(f"at a cost of {usd(lost)}")


def test_the_order_of_a_fixed_policy_is_no_reason_to_leave(sessions: Served) -> None:
    session = begun(sessions, "echo/far")
    assert model(chat(sessions, session, "auto:ordered")) == "echo/far"


def test_a_name_is_obeyed_and_remembered(sessions: Served) -> None:
    session = begun(sessions, "echo/far")
    answer = chat(sessions, session, "echo/large")
    assert (model(answer), why(answer)) == ("echo/large", "named in the request")
    answer = chat(sessions, session, "auto:quick")
    said = "leaves echo/large: it is not used here; the cheapest model that fits"
    assert (model(answer), why(answer)) == ("echo/near", said)


def test_constraints_win_over_a_session(sessions: Served) -> None:
    session = begun(sessions, "echo/far")
    most = (tokens(LONG) * 9_500_000 + 25_000_000) / PICO
    answer = chat(sessions, session, "auto:quick", sizewise={"max_cost_usd": most})
    assert model(answer) == "echo/near" and why(answer).startswith("leaves echo/far: it could cost ")


def test_a_model_that_fails_is_left_and_the_session_moves(sessions: Served) -> None:
    session = begun(sessions, "echo/far")
    answer = chat(sessions, session, "auto:quick", f"{LONG}[[echo/far: fail]]")
    said = "leaves echo/far, which failed (upstream_unreachable); the cheapest model that fits"
    assert (model(answer), why(answer), answer.headers["x-sizewise-attempts"]) == ("echo/near", said, "3")
    assert why(chat(sessions, session, "auto:quick")) == "the cheapest model that fits"


def test_when_everyone_fails_the_models_error_is_the_answer(sessions: Served) -> None:
    session = begun(sessions, "echo/far")
    answer = chat(sessions, session, "auto:quick", f"{LONG}[[fail refused]]")
    assert answer.error["code"] == "upstream_refused"
    assert model(chat(sessions, session, "auto:quick")) == "echo/far", "a failure is no answer: nothing is forgotten"


def test_a_session_that_went_up_stays_up_while_that_is_cheaper(sessions: Served) -> None:
    session = uuid4().hex
    up = chat(sessions, session, "auto", f"{LONG}[[echo/small: logprob -9]][[echo/middle: logprob -9]]")
    assert (model(up), up.headers["x-sizewise-attempts"]) == ("echo/large", "3")
    answer = chat(sessions, session, "auto")
    assert (model(answer), answer.headers.get("x-sizewise-attempts")) == ("echo/large", None)
    # It would be asked all the same in two cases of three, as far as one distrusted answer tells.
    large, small = tokens(LONG) * 10_000_000 + 50_000_000, tokens(LONG) * 1_000_000 + 5_000_000
    assert f"would save {usd(large - small - large * 2 // 3)}, at a cost" in why(answer)


def test_whom_a_policy_judges_is_judged_in_a_session_too(sessions: Served) -> None:
    session = begun(sessions, "echo/middle")
    kept = chat(sessions, session, "auto")
    assert model(kept) == "echo/middle" and why(kept).startswith("stays with echo/middle in this session: ")
    assert "trusted at 0.90, and 0.50 is enough (the model's own confidence is 0.90)" in why(kept)
    up = chat(sessions, session, "auto", f"{LONG}[[echo/middle: logprob -9]][[echo/middle: say distrusted]]")
    assert (model(up), up.headers["x-sizewise-attempts"]) == ("echo/large", "2")
    assert b"distrusted" not in up.body
    assert model(chat(sessions, session, "auto")) == "echo/large"


def test_another_projects_session_of_the_same_name_is_another(sessions: Served) -> None:
    session = begun(sessions, "echo/far")
    assert why(chat(sessions, session, "auto:quick", key=others(sessions))) == "the cheapest model that fits"
    assert model(chat(sessions, session, "auto:quick")) == "echo/far"


def test_a_prompt_cache_key_names_a_session(sessions: Served) -> None:
    named = uuid4().hex
    for asked in ("echo/far", "auto:quick"):
        answer = sessions.chat(asked, LONG, prompt_cache_key=named, max_tokens=1)
        assert model(answer) == "echo/far"
    assert model(chat(sessions, named, "auto:quick")) == "echo/far", "the same by whatever way it is said"
    odd: tuple[object, ...] = (None, 7, "", {"a": 1})
    assert {model(sessions.chat("auto:quick", LONG, prompt_cache_key=each)) for each in odd} == {"echo/near"}


def test_a_stream_minds_its_session_too(sessions: Served) -> None:
    session = begun(sessions, "echo/far", stream=True)
    assert model(chat(sessions, session, "auto:quick", stream=True)) == "echo/far"


def test_the_messages_endpoint_knows_sessions(sessions: Served) -> None:
    session = {"sizewise": {"session": uuid4().hex}}
    assert model(message(sessions, "echo/far", **session)) == "echo/far"
    assert why(message(sessions, "auto:quick", **session)).startswith("stays with echo/far in this session")


def test_a_user_is_no_session_but_a_session_behind_it_is(sessions: Served) -> None:
    name = uuid4().hex
    for user, stays in ((f"user_{name}", "echo/near"), (f"user_{name}_session_{name}", "echo/far")):
        assert model(message(sessions, "echo/far", metadata={"user_id": user})) == "echo/far"
        assert model(message(sessions, "auto:quick", metadata={"user_id": user})) == stays


def test_the_decision_for_a_session_is_told_without_the_call(sessions: Served) -> None:
    session = begun(sessions, "echo/far")
    query = """query ($words: String, $session: String) {
        explain(prompt: $words, model: "auto:quick", maxTokens: 1, session: $session) { why steps { models } } }"""
    said = {}
    for each in (session, None):
        body = {"query": query, "variables": {"words": LONG, "session": each}}
        said[each] = json.loads(sessions.ask("/graphql", body).body)["data"]["explain"]
    assert said[session]["why"].startswith("stays with echo/far in this session: switching would save $0.0")
    assert (said[session]["steps"][0]["models"], said[None]["steps"][0]["models"]) == (["echo/far"], ["echo/near"])


def test_a_sessions_name_has_at_most_200_characters(sessions: Served) -> None:
    answer = chat(sessions, "x" * 201, "auto:quick")
    assert (answer.status, answer.error["code"]) == (400, "bad_body")


def test_no_session_is_minded_where_that_is_switched_off(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG.replace("[router]", "[router]\nsession_ttl_s = 0")) as served:
        assert model(chat(served, begun(served, "echo/far"), "auto:quick")) == "echo/near"
