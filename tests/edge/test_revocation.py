"""A revoked key: a Worker refuses it once KV has forgotten it, in mid-stream too, and never because KV is away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.edge.kv_double import Kv, kv_double
from tests.edge.running_worker import upstream, worker
from tests.edge.test_bad_days import SETTINGS, workerd
from tests.running_server import KEY, Served, until

pytestmark = pytest.mark.node
KV_DELAY_S = 60
"""As the how-to page and `sizewise edge keys` say."""
WORKERS_AI = '[models."up/hang-mid"]\nedge = true\n'


@contextmanager
def edge_and_kv(tmp_path: Path, more: str = "") -> Iterator[tuple[Served, Kv]]:
    """`more`: settings."""
    with upstream() as url:
        with worker(tmp_path, SETTINGS.format(url=url) + more, UP_KEY="sk-up"):
            pass
        folder = tmp_path / "build/edge"
        with kv_double(json.loads((folder / "keys.json").read_text())) as kv:
            kv.put_in(folder)
            with workerd(folder) as edge:
                yield edge, kv


def test_a_revoked_key_is_accepted_for_the_stated_delay_and_no_longer(tmp_path: Path) -> None:
    with edge_and_kv(tmp_path) as (edge, kv):
        assert edge.chat("auto").status == 200
        kv.values.clear()
        kv.now = KV_DELAY_S - 0.1
        assert edge.chat("auto").status == 200
        kv.now = KV_DELAY_S
        refused = edge.chat("auto")
        assert (refused.status, refused.error["code"]) == (401, "invalid_api_key")


def test_a_new_key_that_was_refused_is_accepted_after_the_delay(tmp_path: Path) -> None:
    with edge_and_kv(tmp_path) as (edge, kv):
        [(digest, caller)] = kv.values.items()
        kv.values.clear()
        assert edge.chat("auto").status == 401
        kv.values[digest] = caller
        kv.now = KV_DELAY_S
        assert edge.chat("auto").status == 200


@pytest.mark.parametrize(
    ("path", "more"),
    [("/v1/chat/completions", ""), ("/v1/messages", ""), ("/v1/chat/completions", WORKERS_AI)],
    ids=["chat", "messages", "workers-ai"],
)
def test_a_key_that_is_revoked_in_mid_stream_ends_it_with_an_error_event(tmp_path: Path, path: str, more: str) -> None:
    body = {"model": "up/hang-mid", "stream": True, "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
    with edge_and_kv(tmp_path, more) as (edge, kv):
        connection = edge.connection()
        connection.request("POST", path, json.dumps(body), {"Authorization": f"Bearer {KEY}"})
        answer = connection.getresponse()
        assert answer.readline()
        kv.values.clear()
        kv.now = KV_DELAY_S
        rest = answer.read()
        connection.close()
        assert b"invalid_api_key" in rest and b"[DONE]" not in rest and b"message_stop" not in rest


def test_a_stream_goes_on_while_kv_is_away(tmp_path: Path) -> None:
    body = {"model": "up/hang-mid", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    with edge_and_kv(tmp_path) as (edge, kv):
        connection = edge.connection()
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Authorization": f"Bearer {KEY}"})
        answer = connection.getresponse()
        assert answer.readline()
        kv.away = True
        until(lambda: kv.refused >= 1)
        kv.away = False
        kv.values.clear()
        kv.now = KV_DELAY_S
        assert b"invalid_api_key" in answer.read()
        connection.close()
        assert kv.refused >= 1
