"""Errors of an upstream that clients act on: rate limits, quota, content policy and bad parameters keep their codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sizewise.testing.upstream import FakeOpenAI, FaultResponder, _answers
from tests.gateway.server_harness import beside
from tests.running_server import Answer, Served, serving

DOORS = ("chat", "messages", "responses")
PARAMETER: dict[str, object] = {
    "message": "Unsupported parameter: 'max_tokens' is not supported with this model.",
    "type": "invalid_request_error",
    "param": "max_tokens",
    "code": "unsupported_parameter",
}
ERRORS: dict[str, tuple[str, dict[str, object], tuple[str, ...]]] = {
    "limited": (
        "429 Too Many Requests",
        {"message": "Rate limit reached", "type": "requests", "param": None, "code": "rate_limit_exceeded"},
        ("retry-after: 17",),
    ),
    "quota": (
        "429 Too Many Requests",
        {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"},
        (),
    ),
    "policy": (
        "400 Bad Request",
        {"message": "rejected by our safety system", "type": "image", "code": "content_policy_violation"},
        (),
    ),
    "filter": (
        "400 Bad Request",
        {
            "message": "The response was filtered",
            "type": None,
            "param": "prompt",
            "code": "content_filter",
            "status": 400,
            "innererror": {"code": "ResponsibleAIPolicyViolation"},
        },
        (),
    ),
    "parameter": ("400 Bad Request", PARAMETER, ()),
    "value": ("422 Unprocessable", {**PARAMETER, "param": "messages[0].content", "code": "invalid_value"}, ()),
    "words": ("400 Bad Request", {**PARAMETER, "code": "sk-1234567890abcdef1234", "param": {"a": 1}}, ()),
    "number": ("400 Bad Request", {**PARAMETER, "code": 1210, "param": None}, ()),
}


class Refusing(FakeOpenAI):
    """Answers each model with its error."""

    def fault(self, model: str) -> FaultResponder:
        status, error, headers = ERRORS[model]
        return _answers(status, json.dumps({"error": error}).encode(), *headers)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with beside(Refusing) as up:
        rows = "".join(
            f'[providers.{door}{stream}]\nbase_url = "{up.url}"\nplace = "machine"\nmodels = {list(ERRORS)}\n'
            for door in (*DOORS, "again")
            for stream in ("", "-stream")
        )
        config = f"[server]\nembedded = false\ndiscover = false\n{rows}"
        with serving(tmp_path_factory.mktemp("codes"), config) as server:
            yield server


def ask(served: Served, door: str, model: str, stream: bool, provider: str = "") -> Answer:
    body: dict[str, object] = {"model": f"{provider or door}{'-stream' if stream else ''}/{model}", "stream": stream}
    messages = [{"role": "user", "content": "hello"}]
    if door == "responses":
        return served.ask("/v1/responses", {**body, "input": "hello", "store": False})
    if door == "messages":
        return served.ask("/v1/messages", {**body, "messages": messages, "max_tokens": 9})
    return served.ask("/v1/chat/completions", {**body, "messages": messages})


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("model", "status", "code", "param"),
    [
        ("limited", 429, "rate_limit_exceeded", None),
        ("quota", 429, "insufficient_quota", None),
        ("policy", 400, "content_policy_violation", None),
        ("filter", 400, "content_filter", "prompt"),
        ("parameter", 400, "unsupported_parameter", "max_tokens"),
        ("value", 422, "invalid_value", "messages[0].content"),
        ("words", 400, "upstream_refused", None),
        ("number", 400, "upstream_refused", None),
    ],
)
def test_a_client_sees_the_status_and_code_that_the_upstream_gave(
    served: Served, door: str, stream: bool, model: str, status: int, code: str, param: str | None
) -> None:
    answer = ask(served, door, model, stream)
    error: dict[str, Any] = answer.error
    assert (answer.status, error["code"], error["param"]) == (status, code, param), answer.body
    assert answer.headers.get("retry-after") == ("17" if model == "limited" else None)
    if door == "messages":
        assert error["type"] == ("rate_limit_error" if status == 429 else "invalid_request_error")
    elif status == 429:
        assert error["type"] == ("insufficient_quota" if model == "quota" else "rate_limit_error")


@pytest.mark.parametrize("model", ["limited", "quota"])
def test_while_the_model_is_left_alone_its_limit_stays_a_429(served: Served, model: str) -> None:
    answers = [ask(served, "chat", model, False, "again") for _ in range(6)]
    assert [answer.status for answer in answers] == [429] * 6
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers[-2:])
