"""GET /v1/models through the front door: when a model was made, and Anthropic's shape where its version is sent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from openai import OpenAI

from tests.running_server import Served, serving

VERSION: Any = {"anthropic_version": "2023-06-01"}
CONFIG = """
[server]
embedded = false
discover = false
[router.alias]
opus = "vendor/claude-3-opus"
[providers.vendor]
wire = "anthropic"
base_url = "http://127.0.0.1:9/v1"
models = ["claude-3-opus", "claude-3-haiku", "unheard-of"]
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large"]
"""
OPUS = int(datetime(2024, 2, 29, tzinfo=UTC).timestamp())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("models"), CONFIG) as served:
        yield served


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[Anthropic]:
    with Anthropic(base_url=served.url, api_key=served.key, max_retries=0, _strict_response_validation=True) as client:
        yield client


def test_created_is_the_release_date_of_the_catalog_or_when_the_server_started(served: Served) -> None:
    with OpenAI(base_url=f"{served.url}/v1", api_key=served.key, _strict_response_validation=True) as client:
        created = {model.id: model.created for model in client.models.list()}
        assert client.models.retrieve("opus").created == OPUS
    assert created["vendor/claude-3-opus"] == created["opus"] == OPUS
    for name in ("auto", "echo/small", "vendor/unheard-of"):
        assert time.time() - 3600 < created[name] <= time.time() + 1, name


def test_anthropics_sdk_lists_every_model_in_its_own_types_newest_first(served: Served, client: Anthropic) -> None:
    models = list(client.models.list(limit=3))  # the SDK asks for page after page
    assert {model.id for model in models} == {each["id"] for each in _openai(served)}
    assert [model.created_at for model in models] == sorted((m.created_at for m in models), reverse=True)
    opus = client.models.retrieve("vendor/claude-3-opus")
    assert (opus.type, opus.display_name, opus.created_at) == (
        "model",
        "Claude 3 Opus",
        datetime(2024, 2, 29, tzinfo=UTC),
    )
    assert (opus.max_input_tokens, opus.max_tokens) == (200_000, 4_096)
    assert client.models.retrieve("vendor/unheard-of").max_input_tokens is None


def test_pages_go_forward_and_back_without_a_gap(client: Anthropic) -> None:
    everything = [model.id for model in client.models.list(limit=1000)]
    first = client.models.list(limit=2)
    assert ([m.id for m in first.data], first.has_more) == (everything[:2], True)
    assert (first.first_id, first.last_id) == (everything[0], everything[1])
    second = client.models.list(limit=2, after_id=everything[1])
    assert [m.id for m in second.data] == everything[2:4]
    back = client.models.list(limit=2, before_id=everything[3])
    assert ([m.id for m in back.data], back.has_more) == (everything[1:3], True)
    assert client.models.list(limit=2, before_id=everything[2]).has_more is False
    end = client.models.list(after_id=everything[-1])
    assert (end.data, end.first_id, end.last_id, end.has_more) == ([], None, None, False)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=%D9%A1", "limit"),
        ("after_id=nobody/knows", "after_id"),
        ("before_id=", "before_id"),
        ("after_id=auto&before_id=auto", "before_id"),
    ],
)
def test_a_bad_page_is_refused_by_name_in_anthropics_shape(served: Served, query: str, param: str) -> None:
    answer = served.ask(f"/v1/models?{query}", **VERSION)
    shown: Any = answer.json
    assert (answer.status, shown["type"], shown["error"]["param"]) == (400, "error", param), answer.body
    assert shown["request_id"] == answer.headers["request-id"]
    assert served.ask(f"/v1/models?{query}").status == 200, "OpenAI's API has no pages"


def test_an_unknown_model_and_a_wrong_key_get_anthropics_errors(served: Served, client: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("nobody/knows")
    with pytest.raises(anthropic.AuthenticationError):
        client.with_options(api_key="sk-wrong-0123456789abcdef").models.list()


def test_without_the_version_the_list_stays_openais(served: Served) -> None:
    answer: Any = served.ask("/v1/models").json
    assert answer["object"] == "list" and all(each["object"] == "model" for each in answer["data"])
    assert "has_more" not in answer


def _openai(served: Served) -> list[dict[str, Any]]:
    shown: Any = served.ask("/v1/models").json
    found: list[dict[str, Any]] = shown["data"]
    return found
