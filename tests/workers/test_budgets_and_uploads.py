"""Two workers of a server: budgets in dollars hold together, and media and files are as with one process."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import pytest

from tests.fakes.media_upstream import TEXT, MediaUpstream
from tests.gateway.media_server import FILE, post, record_of, sdk, settings, transcribe
from tests.gateway.server_harness import SECRET, beside
from tests.graphql.graphql_client import fresh_key, graphql
from tests.limits.test_limits_end_to_end import ENDPOINTS, PRICED, SET, booked, limited_key, standing
from tests.running_server import Served, serving, until
from tests.workers.processes import asked_with, at_once

pytestmark = pytest.mark.long

CONTENT = bytes(range(256)) * 5_000
"""1.28 MB: two parts of a file."""
MAX_TRANSCRIPT = 6_291_456


@pytest.fixture(scope="module")
def upstream() -> Iterator[MediaUpstream]:
    with beside(MediaUpstream) as up:
        yield up


@pytest.fixture(scope="module")
def server(upstream: MediaUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = settings(upstream.url, "workers = 2").replace(
        'models = ["small"]', 'models = ["small", "large", "vectors"]'
    )
    config += f'{PRICED}\n[models."echo/vectors"]\ntask = "embed"\nprice = {{input = "1", output = "2"}}\n'
    with serving(tmp_path_factory.mktemp("workers"), config, UPSTREAM_KEY=SECRET) as served:
        yield served
        assert "Traceback" not in "".join(served.said)


# ---- dollars


@pytest.mark.parametrize("day", ["0.0015", "0.01"])
def test_a_budget_in_dollars_is_not_passed_by_two_workers_on_any_endpoint(server: Served, day: str) -> None:
    key, scope = limited_key(server, day=day)
    before, kinds = booked(server), cycle(ENDPOINTS)
    with ThreadPoolExecutor(64) as pool:
        asked = [pool.submit(server.ask, *next(kinds), key=key, timeout=60) for _ in range(256)]
        codes = [each.result().status for each in asked]
    until(lambda: standing(server, scope)["reserved"] == 0)  # no block stays with an idle worker
    stands = standing(server, scope)
    assert set(codes) <= {200, 402} and codes.count(200) >= 1
    assert stands["spent"] <= stands["limit"]
    assert stands["spent"] == pytest.approx(booked(server) - before)
    assert stands["remaining"] == pytest.approx(stands["limit"] - stands["spent"])


def test_what_is_left_of_a_budget_can_be_spent_when_the_others_are_idle(server: Served) -> None:
    key, scope = limited_key(server, day="0.02")
    assert {each.status for each in at_once(lambda n: asked_with(server, key), 16)} <= {200, 402}  # both hold blocks
    while (answer := asked_with(server, key)).status == 200:
        pass
    assert answer.status == 402
    until(lambda: standing(server, scope)["reserved"] == 0)
    dearest = 0.02 - standing(server, scope)["spent"]
    assert 0 <= dearest < 0.02 / 2


def test_a_raised_budget_is_known_to_both_workers(server: Served) -> None:
    key, scope = limited_key(server, day="0")
    assert {each.status for each in at_once(lambda n: asked_with(server, key), 16)} == {402}
    assert graphql(server, SET, scope=scope, day="5", rpm=None).errors == []
    until(lambda: {each.status for each in at_once(lambda n: asked_with(server, key), 16)} == {200})


# ---- uploads


def test_transcripts_at_once_have_their_text_and_a_record_each(server: Served) -> None:
    answers = at_once(lambda n: transcribe(server, file=FILE * 20), 24)
    assert {each.status for each in answers} == {200}
    assert {each.json["text"] for each in answers} == {TEXT}  # type: ignore[index]  # JSON
    for each in answers[:4]:
        assert record_of(server, each)["model"] == "up/ear"


def test_an_upload_that_is_too_long_is_refused_by_each_worker(server: Served) -> None:
    answers = at_once(lambda n: transcribe(server, file=bytes(MAX_TRANSCRIPT + 1)), 6)
    assert {each.status for each in answers} == {413}


def test_files_are_on_all_workers_byte_for_byte(server: Served) -> None:
    with sdk(server) as client, ThreadPoolExecutor(8) as pool:

        def upload(number: int) -> str:
            return client.files.create(file=(f"{number}.bin", bytes([number]) + CONTENT), purpose="user_data").id

        made = list(pool.map(upload, range(8)))
        assert {each.id for each in client.files.list()} >= set(made)
        read = list(pool.map(lambda id: client.files.content(id).read(), made))
        assert read == [bytes([number]) + CONTENT for number in range(8)]
        for each in made:
            client.files.delete(each)
        assert list(client.files.list()) == []


def test_a_form_that_is_cut_leaves_no_file(server: Served) -> None:
    answer = post(server, "/v1/files", b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhal')
    assert answer.status == 400
    with sdk(server) as client:
        assert list(client.files.list()) == []


def test_a_key_without_the_right_uploads_nothing(server: Served) -> None:
    key = fresh_key(server, "read")
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
    assert {each.status for each in at_once(lambda n: post(server, "/v1/files", body, key=key), 4)} == {403}
