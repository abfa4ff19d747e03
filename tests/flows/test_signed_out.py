"""What a signed-in user left to the server goes on after sign-out, in the middle of a call, and ends with the user."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.auth.user_client import Browser, new_user
from tests.flows.test_progress import SETTINGS
from tests.gateway.server_harness import beside
from tests.gateway.stepwise_upstream import CUT, END, StepwiseOpenAI
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, serving, until

FLOW = """
name: slow
nodes:
  answer: {kind: ask, model: up/large, prompt: "Take your time"}
outputs: {answer: "{{ answer.text }}"}
"""
START = 'mutation { startFlowRun(flow: "slow") { id } }'
RUN = "query ($i: String!) { flowRun(id: $i) { state error outputs } }"
DISABLE = "mutation ($i: String!) { disableUser(id: $i) { id } }"


@pytest.fixture(scope="module")
def upstream() -> Iterator[StepwiseOpenAI]:
    with beside(StepwiseOpenAI) as up:
        yield up


@pytest.fixture(scope="module")
def server(upstream: StepwiseOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("signed") / "home"
    (home / "flows").mkdir(parents=True)
    (home / "flows" / "slow.yaml").write_text(FLOW)
    with serving(home, SETTINGS.format(url=upstream.url)) as served:
        yield served


def run_of(browser: Browser, upstream: StepwiseOpenAI) -> str:
    """A run whose model has been asked."""
    started = browser.graphql(START)
    assert started.errors == [], started.errors
    until(lambda: upstream.received.active_requests == 1)
    return str(started.data["startFlowRun"]["id"])


def ended(server: Served, run: str) -> dict[str, Any]:
    def shown() -> dict[str, Any]:
        found: dict[str, Any] = graphql(server, RUN, i=run).data["flowRun"]
        return found

    until(lambda: shown()["state"] not in ("queued", "running"))
    return shown()


def test_a_run_goes_on_when_its_user_signs_out_and_another_signs_in(server: Served, upstream: StepwiseOpenAI) -> None:
    browser = new_user(server, "ann@example.com", "developer")
    run = run_of(browser, upstream)
    assert browser.send("/auth/sign-out", {}).status == 200
    new_user(server, "bob@example.com", "developer")
    upstream.step(1)
    upstream.step(END)
    assert ended(server, run) == {"state": "done", "error": "", "outputs": {"answer": "word-1 "}}


def test_a_background_response_goes_on_when_its_user_signs_out(server: Served, upstream: StepwiseOpenAI) -> None:
    browser = new_user(server, "cleo@example.com", "developer")
    made: Any = browser.send("/v1/responses", {"model": "up/large", "input": "Take your time", "background": True}).json
    until(lambda: upstream.received.active_requests == 1)
    assert browser.send("/auth/sign-out", {}).status == 200
    again = Browser(server)
    assert again.sign_in("cleo@example.com").status == 200
    upstream.step(1)
    upstream.step(END)

    def status() -> str:
        shown: Any = again.send(f"/v1/responses/{made['id']}").json
        return str(shown["status"])

    until(lambda: status() not in ("queued", "in_progress"))
    assert status() == "completed"


def test_a_run_ends_when_its_user_is_disabled(server: Served, upstream: StepwiseOpenAI) -> None:
    browser = new_user(server, "dora@example.com", "developer")
    user, run = browser.user, run_of(browser, upstream)
    assert browser.send("/auth/sign-out", {}).status == 200
    assert graphql(server, DISABLE, i=user).errors == []
    shown = ended(server, run)
    upstream.step(CUT)  # no one reads it any more
    assert (shown["state"], shown["error"]) == ("failed", "invalid_api_key")
