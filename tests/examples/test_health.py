"""The health helper: a small model finds what leaflets say, a large one answers, and no data goes too far."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import weights
from tests.examples.example_runner import ECHO_LARGE, EXAMPLES, ask, copied, records, synced
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, until

SCALD = "I spilled boiling tea on my arm. How long must I hold it under the tap?"
LARGE = {'models = ["local/qwen2.5-coder-1.5b"]': 'models = ["echo/large"]'}
AWAY = {'models = ["local/qwen2.5-coder-1.5b"]': 'models = ["away/large"]'}
CLOUD = '\n[providers.away]\nwire = "echo"\nplace = "anyone"\nmodels = ["large"]\n'


@pytest.fixture(scope="module")
def helper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Found by the real embeddings of this machine, answered by the echo: it says the passages again."""
    vectors = weights("minilm-l6-v2")
    with copied("health", tmp_path_factory.mktemp("health"), vectors, over=ECHO_LARGE, instead=LARGE) as served:
        assert all(not each["quarantined"] for each in synced(served, "leaflets"))
        yield served


@pytest.fixture(scope="module")
def said(helper: Served) -> Any:
    return ask(helper, "health", SCALD)


def test_each_question_of_the_eval_has_its_answer_in_a_leaflet() -> None:
    leaflets = " ".join(each.read_text() for each in (EXAMPLES / "health/leaflets").glob("*.md")).replace("\n", " ")
    rows = [json.loads(line) for line in (EXAMPLES / "health/evals/health.jsonl").read_text().splitlines()]
    assert len(rows) == len({each["id"] for each in rows}) == 52
    assert [each["id"] for each in rows if not any(known in leaflets for known in each["expected"])] == []


@pytest.mark.long
def test_what_the_leaflets_say_stands_before_the_question_to_the_large_model(said: Any) -> None:
    best = said["outputs"]["sources"][0]
    assert best["source"].endswith("burns.md") and "running water for 20 minutes" in best["text"]
    assert "\nCool\n" in said["text"]  # the echo says the first words of its prompt, here with one of the passage
    assert "<<" not in said["text"] and ">>" not in said["text"]
    assert said["text"].endswith("In an emergency call 112.")


@pytest.mark.long
def test_the_records_show_which_model_ran_for_how_much(helper: Served, said: Any) -> None:
    asked = [each for each in records(helper, said["trace"]) if each["model"] == "echo/large"]
    assert [each["dataClass"] for each in asked] == ["confidential"]
    assert 0 < Decimal(asked[0]["costUsd"]) <= Decimal(said["cost"])


@pytest.mark.long
def test_a_run_that_is_kept_shows_the_model_and_the_cost_of_each_node(helper: Served) -> None:
    start = 'mutation ($i: JSON) { startFlowRun(flow: "health", inputs: $i) { id } }'
    id = graphql(helper, start, key=helper.key, i={"question": "My knee hurts."}).data["startFlowRun"]["id"]
    look = "query ($id: String!) { flowRun(id: $id) { state steps { key model costUsd } } }"

    def run() -> Any:
        return graphql(helper, look, key=helper.key, id=id).data["flowRun"]

    until(lambda: run()["state"] == "done")
    ran = {each["key"]: each["model"] for each in run()["steps"]}
    assert ran.keys() == {"find", "answer"} and ran["answer"] == "echo/large"


@pytest.mark.long
def test_a_model_that_is_further_away_than_the_data_may_go_is_not_asked(tmp_path: Path) -> None:
    with copied("health", tmp_path, weights("minilm-l6-v2"), over=CLOUD, instead=AWAY) as served:
        synced(served, "leaflets")
        body = {"model": "flow:health", "messages": [{"role": "user", "content": SCALD}]}
        answer: Any = served.ask("/v1/chat/completions", body, timeout=120)
        assert answer.status == 403 and answer.error["code"] == "forbidden", answer.body
        assert "away/large is at place 'anyone'" in answer.error["message"]
        assert "no further than 'machine'" in answer.error["message"]
        assert SCALD not in answer.body.decode()


@pytest.mark.large
def test_with_the_leaflets_the_model_of_this_machine_is_right(tmp_path: Path, qwen_gguf: Path) -> None:
    over = "[local]\ncontext = 2048\nslots = 1\n"
    with copied("health", tmp_path, qwen_gguf, weights("minilm-l6-v2"), over=over) as served:
        synced(served, "leaflets")
        said = ask(served, "health", SCALD)
        assert "20 minutes" in said["text"] and said["outputs"]["model"] == "local/qwen2.5-coder-1.5b"
