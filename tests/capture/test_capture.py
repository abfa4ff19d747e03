"""What leaves, seen from outside: all traffic of a real server, captured in a network where every address answers.

240 requests, each with a word of its own, through every endpoint and policy with its retries, fallbacks, races, judges,
comparisons and cache. A word that must stay on this machine is looked for in every packet to anywhere else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.capture.captured_server import NEAR, PLACES
from tests.capture.network_capture import APART, missing

pytestmark = pytest.mark.long


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Any:
    if lacks := missing():
        pytest.skip(f"no capture of the traffic: {lacks}")
    home = tmp_path_factory.mktemp("capture")
    words = [*APART, sys.executable, "-m", "tests.capture.captured_server", str(home)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=180)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_no_word_is_seen_further_away_than_it_may_go(captured: Any) -> None:
    assert captured["used"]["lost"] == 0, "every packet was seen"
    gone = [
        (one["canary"], to) for one in captured["asked"] for to in one["seen"] if NEAR[PLACES[to]] > NEAR[one["limit"]]
    ]
    assert not gone
    assert len(captured["asked"]) > 200


def test_what_may_go_is_seen_where_it_went_so_the_capture_is_not_blind(captured: Any) -> None:
    seen = {PLACES[to] for one in captured["asked"] for to in one["seen"]}
    assert seen == set(NEAR), "every place was reached by words that may go there"
    far = [one for one in captured["asked"] if {"anyone"} & {PLACES[to] for to in one["seen"]}]
    assert {one["limit"] for one in far} == {"anyone"} and len(far) > 10
    answered = [one for one in captured["asked"] if one["limit"] == "machine" and one["status"] == 200]
    assert len(answered) > 50, "what stays is answered here, and not only refused"


def test_nobody_is_spoken_to_whom_the_configuration_does_not_name(captured: Any) -> None:
    assert set(captured["used"]["opened"]) <= set(PLACES)
    assert captured["used"]["datagrams"] == [], "no name was looked up, no time was asked for"


def test_a_server_without_providers_speaks_to_nobody_outside(captured: Any) -> None:
    """At start it looks for model servers on the loopback (`discover`), and never further."""
    assert captured["idle"]["lost"] == 0
    assert captured["idle"]["opened"] == ["127.0.0.1"] and captured["idle"]["datagrams"] == []
