"""Servers that share a Postgres share background responses: read, cancelled, and taken over from one that is gone."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai import OpenAI

from tests.postgres import libpq_uri
from tests.running_server import ECHO, Served, serving, until

psycopg: Any = pytest.importorskip("psycopg", reason="needs a driver for Postgres: pip install psycopg[binary]")

pytestmark = pytest.mark.long
CONFIG = f"""{ECHO}
[database]
url = "env:SHARED_STORE"
[encryption]
key = "env:SHARED_KEY"
[stored_responses]
max_background_running = 1
"""
HANGS = "[[say one two]] [[hang after=1]]"
SEALING = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(scope="module")
def shared(module_postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Served, str]]:
    folder = tmp_path_factory.mktemp("together")
    with contextlib.ExitStack() as stack:
        environ = {"SHARED_STORE": module_postgres_url, "SHARED_KEY": SEALING}
        one = stack.enter_context(serving(folder / "one", CONFIG, **environ))
        other = stack.enter_context(serving(folder / "other", CONFIG, **environ))
        yield one, other, libpq_uri(module_postgres_url)


def client(served: Served) -> OpenAI:
    return OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0)


def begin(at: OpenAI, words: str) -> str:
    made: Any = at.responses.create(model="echo/small", input=words, background=True)
    return str(made.id)


def test_another_server_reads_follows_and_cancels_it(shared: tuple[Served, Served, str]) -> None:
    with client(shared[0]) as one, client(shared[1]) as other:
        id = begin(one, HANGS)
        until(lambda: other.responses.retrieve(id).status == "in_progress")
        with ThreadPoolExecutor(1) as beside:
            followed = beside.submit(lambda: list(other.responses.retrieve(id, stream=True)))
            assert other.responses.cancel(id).status == "cancelled"
            events: list[Any] = followed.result(60)
        assert events[-1].response.status == "cancelled" and events[0].sequence_number == 0
        for each in (one, other):
            assert each.responses.retrieve(id).output_text == "one"


def test_what_a_server_that_is_gone_had_is_taken_over_and_none_runs_twice(shared: tuple[Served, Served, str]) -> None:
    served, _, url = shared
    with client(served) as one, client(shared[1]) as other:
        runs, waits = begin(one, HANGS), [begin(one, f"number {n}") for n in range(3)]
        until(lambda: other.responses.retrieve(runs).status == "in_progress")
        served.process.kill()
        served.process.wait(60)
        assert {other.responses.retrieve(id).status for id in waits} == {"queued"}, "its server may be slow only"
        with psycopg.connect(url) as database:  # as if it were not seen for long
            database.execute("UPDATE background_responses SET seen = 0")
        for number, id in enumerate(waits):
            until(lambda id=id: other.responses.retrieve(id).status == "completed")
            assert other.responses.retrieve(id).output_text == f"number {number}"
        failed: Any = other.responses.retrieve(runs)
        assert (failed.status, failed.error.type) == ("failed", "outcome_unknown")
