"""The health helper: a small model enriches, a large one answers, and nothing goes further than it may."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.examples.example_runner import ECHO_LARGE, ask, copied, records
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, until

COUGH = "For four days I have had a dry cough and a sore throat, and since yesterday a temperature of 38.4."
LARGE = {'models = ["local/qwen2.5-coder-1.5b"]': 'models = ["echo/large"]'}
AWAY = {
    'models = ["local/smollm2-135m"]': 'models = ["echo/large"]',
    'models = ["local/qwen2.5-coder-1.5b"]': 'models = ["away/large"]',
}
CLOUD = '\n[providers.away]\nwire = "echo"\nplace = "anyone"\nmodels = ["large"]\n'


@pytest.fixture(scope="module")
def helper(tmp_path_factory: pytest.TempPathFactory, smollm_gguf: Path) -> Iterator[Served]:
    with copied("health", tmp_path_factory.mktemp("health"), smollm_gguf, over=ECHO_LARGE, instead=LARGE) as served:
        yield served


@pytest.fixture(scope="module")
def said(helper: Served) -> Any:
    return ask(helper, "health", COUGH)


@pytest.mark.long
def test_facts_and_terms_of_the_small_model_stand_in_the_question_to_the_large_one(said: Any) -> None:
    facts = said["outputs"]["facts"]
    assert set(facts) == {"complaint", "body_part", "days", "urgent"}
    assert isinstance(facts["days"], int) and isinstance(facts["urgent"], bool)
    assert COUGH in said["text"] and facts["complaint"] in said["text"] and said["outputs"]["terms"] in said["text"]
    assert said["text"].endswith("In an emergency call 112.")


@pytest.mark.long
def test_the_records_show_which_model_ran_where_for_how_much(helper: Served, said: Any) -> None:
    asked = records(helper, said["trace"])
    assert [each["model"] for each in asked] == ["local/smollm2-135m", "local/smollm2-135m", "echo/large"]
    assert {each["dataClass"] for each in asked} == {"confidential"}
    costs = [Decimal(each["costUsd"]) for each in asked]
    assert all(costs) and Decimal(said["cost"]) == sum(costs)


@pytest.mark.long
def test_a_run_that_is_kept_shows_the_model_and_the_cost_of_each_node(helper: Served) -> None:
    start = 'mutation ($i: JSON) { startFlowRun(flow: "health", inputs: $i) { id } }'
    id = graphql(helper, start, key=helper.key, i={"question": "My knee hurts."}).data["startFlowRun"]["id"]
    look = "query ($id: String!) { flowRun(id: $id) { state steps { key model costUsd } } }"

    def run() -> Any:
        return graphql(helper, look, key=helper.key, id=id).data["flowRun"]

    until(lambda: run()["state"] == "done")
    ran = {each["key"]: (each["model"], Decimal(each["costUsd"]) > 0) for each in run()["steps"]}
    small = ("local/smollm2-135m", True)
    assert ran == {"facts": small, "terms": small, "answer": ("echo/large", True)}


@pytest.mark.long
def test_a_model_that_is_further_away_than_the_data_may_go_is_not_asked(tmp_path: Path) -> None:
    with copied("health", tmp_path, over=ECHO_LARGE + CLOUD, instead=AWAY) as served:
        body = {"model": "flow:health", "messages": [{"role": "user", "content": COUGH}]}
        answer: Any = served.ask("/v1/chat/completions", body, timeout=120)
        assert answer.status == 403 and answer.error["code"] == "forbidden", answer.body
        assert "away/large is at place 'anyone'" in answer.error["message"]
        assert "no further than 'machine'" in answer.error["message"]
        assert COUGH not in answer.body.decode()


@pytest.mark.large
def test_both_models_of_this_machine_help(tmp_path: Path, smollm_gguf: Path, qwen_gguf: Path) -> None:
    over = "[local]\ncontext = 2048\nslots = 1\n"
    with copied("health", tmp_path, smollm_gguf, qwen_gguf, over=over) as served:
        said = ask(served, "health", COUGH)
        assert {each["model"] for each in records(served, said["trace"])} == {
            "local/smollm2-135m",
            "local/qwen2.5-coder-1.5b",
        }
        assert said["outputs"]["facts"]["days"] >= 0
