"""The npm package @urql/core, unchanged, at /graphql: its script runs once, each test looks at one case."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.graphql.graphql_client import fresh_key
from tests.graphql.test_flows import APPROVED, SUPPORT, published
from tests.running_server import ECHO, serving
from tests.sdks.test_node import HERE, node

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    program = node()
    with serving(tmp_path_factory.mktemp("urql"), ECHO) as server:
        for text in (SUPPORT, APPROVED):
            assert published(server, text).errors == []
        key = fresh_key(server, "ask")
        env = {"PATH": os.environ.get("PATH", ""), "SIZEWISE_URL": server.url, "SIZEWISE_KEY": key}
        done = subprocess.run([program, "urql.mjs"], cwd=HERE, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    shown: dict[str, Any] = json.loads(done.stdout)
    assert shown.pop("strangers") == [], "an SDK called home"
    yield shown


def test_a_query_goes_by_get(cases: dict[str, Any]) -> None:
    found = {"support_desk": {"answer": "tea & cake = ü"}}
    assert cases["query"] == {"data": found, "errors": [], "method": "GET"}


def test_a_query_too_long_for_an_address_goes_by_post(cases: dict[str, Any]) -> None:
    assert cases["long"] == {"characters": 9_999, "method": "POST"}


def test_a_mutation_goes_by_post(cases: dict[str, Any]) -> None:
    assert (cases["mutation"]["errors"], cases["mutation"]["method"]) == ([], "POST")
    assert cases["mutation"]["data"]["startFlowRun"]["state"]


def test_a_run_that_is_unknown_keeps_its_neighbors(cases: dict[str, Any]) -> None:
    assert cases["unknown"]["errors"] == ["not_found"] and cases["unknown"]["data"]["flowRun"] is None
    assert cases["unknown"]["data"]["me"]["name"]


@pytest.mark.parametrize(("case", "code"), [("refused", "upstream_unreachable"), ("invalid", "bad_request")])
def test_an_error_keeps_its_code(cases: dict[str, Any], case: str, code: str) -> None:
    assert cases[case]["errors"] == [code]


def test_a_subscription_streams_word_by_word(cases: dict[str, Any]) -> None:
    assert cases["subscription"] == {"pieces": ["one", " two", " three", ""], "error": None, "method": "POST"}
