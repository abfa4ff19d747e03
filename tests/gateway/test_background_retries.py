"""Retries of `background: true` under an idempotency key: one response, run once, with the same events."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai import OpenAI

from tests.gateway.server_harness import rows
from tests.gateway.test_background_responses import ended
from tests.running_server import ECHO, Served, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("retries"), ECHO) as served:
        yield served


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0) as client:
        yield client


def begin(client: OpenAI, key: str, words: str = "[[pace 0.01]] one two three", **more: Any) -> Any:
    body: Any = {"model": "echo/small", "input": words, "background": True, **more}
    return client.responses.create(**body, extra_headers={"Idempotency-Key": key})


def test_a_retry_is_the_same_response_before_and_after_its_end(served: Served, client: OpenAI) -> None:
    first = begin(client, "a")
    assert begin(client, "a").id == first.id
    whole = ended(client, first.id)
    assert begin(client, "a").to_dict() == whole.to_dict() and whole.output_text == "one two three"
    assert len(rows(served.home, "SELECT id FROM responses")) == 1


@pytest.mark.long
@pytest.mark.parametrize("wait", [False, True], ids=["while it runs", "after its end"])
def test_the_stream_of_a_retry_has_the_same_events(client: OpenAI, wait: bool) -> None:
    first = begin(client, f"b{wait}", stream=True)
    seen = [next(iter(first))]
    if wait:
        seen += list(first)
    retried = list(begin(client, f"b{wait}", stream=True))
    assert [each.to_dict() for each in [*seen, *first]] == [each.to_dict() for each in retried]
    assert [each.type for each in retried][-1] == "response.completed"


@pytest.mark.long
def test_requests_at_once_are_one_response(client: OpenAI) -> None:
    with ThreadPoolExecutor(6) as pool:
        ids = {each.id for each in pool.map(lambda _: begin(client, "c"), range(6))}
    [id] = ids
    assert ended(client, id).status == "completed"


@pytest.mark.long
def test_another_request_under_the_same_key_fails_and_changes_nothing(client: OpenAI) -> None:
    first, other = begin(client, "d"), begin(client, "d", "Something else")
    assert other.id != first.id
    failed = ended(client, other.id)
    assert failed.status == "failed" and "belongs to another request" in failed.error.message
    assert ended(client, first.id).status == "completed"


@pytest.mark.long
def test_a_retry_in_a_conversation_stays_in_it(client: OpenAI) -> None:
    root = client.responses.create(model="echo/small", input="one")
    first = begin(client, "e", previous_response_id=root.id)
    assert begin(client, "e", previous_response_id=root.id).id == first.id
    assert ended(client, first.id).previous_response_id == root.id


@pytest.mark.long
def test_one_that_was_deleted_is_made_again(client: OpenAI) -> None:
    first = ended(client, begin(client, "f").id)
    client.responses.delete(first.id)
    assert ended(client, begin(client, "f").id).output_text == first.output_text
