"""/v1/evals with the official `openai` SDK: graders, data sources, restarts, budgets, and whose evals they are."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.gateway.server_harness import rows
from tests.gateway.vector_store_client import key_of
from tests.running_server import Served, serving, until

CONFIG = """
[server]
embedded = false
discover = false
drain_timeout_s = 0.3
[evals]
concurrency = 2
max_unfinished = 6
max_items = 40
[projects.other]
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large"]
[models."echo/small"]
price = {input = "1", output = "5"}
"""
CANARY = "canary-0815-secret"
SCHEMA = {
    "type": "object",
    "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
    "required": ["question"],
}
CUSTOM: Any = {"type": "custom", "item_schema": SCHEMA, "include_sample_schema": True}
EXACT: Any = {
    "type": "string_check",
    "name": "exact",
    "input": "{{ sample.output_text }}",
    "operation": "eq",
    "reference": "{{ item.answer }}",
}
SIMILAR: Any = {
    "type": "text_similarity",
    "name": "similar",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
    "evaluation_metric": "fuzzy_match",
    "pass_threshold": 0.5,
}
LABEL: Any = {
    "type": "label_model",
    "name": "polite",
    "model": "echo/large",
    "labels": ["yes", "no"],
    "passing_labels": ["yes"],
    "input": [{"role": "user", "content": "[[say {{ item.verdict }}]] {{ sample.output_text }}"}],
}
ASK: Any = {"type": "template", "template": [{"role": "user", "content": "[[say {{ item.question }}]]"}]}
ENDED = ("completed", "failed", "canceled")


def client_of(served: Served, key: str = "") -> OpenAI:
    return OpenAI(base_url=f"{served.url}/v1", api_key=key or served.key, max_retries=0)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("evals"), CONFIG) as running:
        yield running
        said = "".join(running.said)
        assert "Traceback" not in said and "unexpected" not in said, said


@pytest.fixture(scope="module")
def mine(served: Served) -> Iterator[OpenAI]:
    with client_of(served) as client:
        yield client


def items(*pairs: tuple[str, str], **more: Any) -> list[dict[str, Any]]:
    return [{"item": {"question": question, "answer": answer, **more}} for question, answer in pairs]


def completions(*pairs: tuple[str, str], model: str = "echo/small", **more: Any) -> Any:
    source = {"type": "file_content", "content": items(*pairs, **more)}
    return {"type": "completions", "model": model, "source": source, "input_messages": ASK}


def created(client: OpenAI, *graders: Any) -> str:
    return client.evals.create(
        name="capitals", data_source_config=CUSTOM, testing_criteria=list(graders or (EXACT,))
    ).id


def ended(client: OpenAI, id: str, eval_id: str) -> Any:
    until(lambda: client.evals.runs.retrieve(id, eval_id=eval_id).status in ENDED)
    return client.evals.runs.retrieve(id, eval_id=eval_id)


def ran(client: OpenAI, eval_id: str, source: Any, **more: Any) -> Any:
    return ended(client, client.evals.runs.create(eval_id, data_source=source, **more).id, eval_id)


def test_story_17_an_eval_is_created_run_and_read_by_the_sdk(mine: OpenAI) -> None:
    made = mine.evals.create(
        name="capitals", data_source_config=CUSTOM, testing_criteria=[EXACT, SIMILAR], metadata={"team": "a"}
    )
    assert (made.name, made.metadata, made.object) == ("capitals", {"team": "a"}, "eval")
    assert made.testing_criteria[0].type == "string_check" and made.data_source_config.type == "custom"
    begun = mine.evals.runs.create(
        made.id, name="first", data_source=completions(("Paris", "Paris"), ("Roma", "Rome"), ("Wien", "Berlin"))
    )
    assert (begun.status in ("queued", "in_progress", "completed"), begun.eval_id) == (True, made.id)
    run = ended(mine, begun.id, made.id)
    assert (run.status, run.error, run.model, run.name) == ("completed", None, "echo/small", "first")
    counts = run.result_counts
    assert (counts.total, counts.passed, counts.failed, counts.errored) == (3, 1, 2, 0)
    by_name = {each.testing_criteria: (each.passed, each.failed) for each in run.per_testing_criteria_results}
    assert by_name == {"exact": (1, 2), "similar": (2, 1)}
    assert [(each.run_model_name, each.invocation_count) for each in run.per_model_usage] == [("echo/small", 3)]
    found = list(mine.evals.runs.output_items.list(begun.id, eval_id=made.id, limit=2))
    assert [each.datasource_item["question"] for each in found] == ["Paris", "Roma", "Wien"]
    assert [each.status for each in found] == ["pass", "fail", "fail"]
    second = found[1]
    assert (second.sample.output[0].content, second.sample.input[0].role) == ("Roma", "user")
    assert {each.name: each.passed for each in second.results} == {"exact": False, "similar": True}
    same = mine.evals.runs.output_items.retrieve(second.id, eval_id=made.id, run_id=begun.id)
    assert same.to_dict() == second.to_dict()
    failed = mine.evals.runs.output_items.list(begun.id, eval_id=made.id, status="fail")
    assert [each.datasource_item_id for each in failed] == [1, 2]


def test_evals_are_listed_renamed_and_deleted_with_their_runs(mine: OpenAI) -> None:
    ids = [created(mine) for _ in range(3)]
    listed = [each.id for each in mine.evals.list(limit=1, order="desc")]
    assert listed[:3] == ids[::-1]
    changed = mine.evals.update(ids[0], name="new", metadata={"a": "b"})
    assert (changed.name, changed.metadata, mine.evals.retrieve(ids[0]).name) == ("new", {"a": "b"}, "new")
    run = ran(mine, ids[0], completions(("a", "a")))
    assert [each.id for each in mine.evals.runs.list(ids[0])] == [run.id]
    assert mine.evals.runs.delete(run.id, eval_id=ids[0]).deleted
    assert list(mine.evals.runs.list(ids[0])) == []
    for id in ids:
        assert mine.evals.delete(id).deleted
        with pytest.raises(openai.NotFoundError, match="there is no eval"):
            mine.evals.retrieve(id)


# ---- graders


@pytest.mark.long
@pytest.mark.parametrize(
    ("verdict", "status", "passed"),
    [
        ('{"reasoning": "it is", "result": "yes"}', "pass", 1),
        ('{"reasoning": "it is not", "result": "no"}', "fail", 0),
        ("x]] [[fail", "error", 0),
    ],
)
def test_a_model_labels_and_a_label_that_is_missing_is_never_a_fail(
    mine: OpenAI, verdict: str, status: str, passed: int
) -> None:
    any_item: Any = {"type": "custom", "item_schema": {"type": "object"}}
    id = mine.evals.create(data_source_config=any_item, testing_criteria=[LABEL, EXACT]).id
    run = ran(mine, id, completions(("Paris", "Paris"), verdict=verdict))
    (item,) = mine.evals.runs.output_items.list(run.id, eval_id=id)
    assert item.status == status
    first = run.per_testing_criteria_results[0]
    assert (first.passed, first.sizewise["missing"]) == (passed, int(status == "error"))
    assert (run.result_counts.errored, item.sample.error is not None) == (int(status == "error"), status == "error")


@pytest.mark.long
def test_a_model_scores_within_its_range(mine: OpenAI) -> None:
    score: Any = {
        "type": "score_model",
        "name": "quality",
        "model": "echo/large",
        "range": [1, 10],
        "pass_threshold": 6,
        "input": [{"role": "user", "content": '[[say {"reasoning": "", "result": {{ item.verdict }}}]]'}],
    }
    id = mine.evals.create(
        data_source_config={"type": "custom", "item_schema": {"type": "object"}}, testing_criteria=[score]
    ).id
    source: Any = completions(("a", "a"))
    source["source"]["content"] = [{"item": {"question": "a", "verdict": each}} for each in (7, 3.5, 11)]
    run = ran(mine, id, source)
    found = list(mine.evals.runs.output_items.list(run.id, eval_id=id))
    assert [each.status for each in found] == ["pass", "fail", "error"]
    assert [result.score for each in found for result in each.results] == [7, 3.5]


@pytest.mark.parametrize(
    ("grader", "words"),
    [
        ({"type": "python", "name": "p", "source": "def grade(a, b): return 1"}, "runs no code"),
        ({**SIMILAR, "evaluation_metric": "cosine"}, "there is no metric 'cosine'"),
        ({**LABEL, "passing_labels": ["perhaps"]}, "not in `labels`"),
        ({**EXACT, "input": "{{ thing.answer }}"}, "neither the item nor the sample"),
        ({**EXACT, "operation": "near"}, "operation"),
        ({"type": "multi", "name": "m"}, "there is no grader 'multi'"),
    ],
)
def test_a_grader_that_cannot_be_used_is_refused_with_what_can(mine: OpenAI, grader: Any, words: str) -> None:
    with pytest.raises(openai.BadRequestError, match=words) as refused:
        created(mine, grader)
    assert "testing_criteria[0]" in str(refused.value.param)


# ---- data


@pytest.mark.long
def test_the_data_is_an_uploaded_file_and_may_bring_its_answers(mine: OpenAI) -> None:
    lines = [
        {"item": {"question": "a", "answer": "Paris"}, "sample": {"output_text": "Paris"}},
        {"item": {"question": "b", "answer": "Rome"}, "sample": {"output_text": "Milan"}},
        {"item": {"question": "c", "answer": "Rome"}},
    ]
    content = "\n".join(map(json.dumps, lines)).encode()
    file = mine.files.create(file=("data.jsonl", content), purpose="evals")
    id = created(mine)
    run = ran(mine, id, {"type": "jsonl", "source": {"type": "file_id", "id": file.id}})
    counts = run.result_counts
    assert (counts.passed, counts.failed, counts.errored) == (1, 1, 1)
    assert run.per_model_usage == []
    (lost,) = mine.evals.runs.output_items.list(run.id, eval_id=id, extra_query={"status": "error"})
    assert "sample.output_text" in str(lost.sample.error)


@pytest.mark.long
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"type": "jsonl", "source": {"type": "file_id", "id": "file-none"}}, "there is no file"),
        ({"type": "jsonl", "source": {"type": "file_content", "content": []}}, "has no item"),
        (completions(*[("a", "a")] * 41), "more than 40 items"),
        ({**completions(("a", "a")), "model": ""}, "model` is missing"),
        ({**completions(("a", "a")), "source": {"type": "stored_completions"}}, "stores responses"),
        (
            {"type": "jsonl", "source": {"type": "file_content", "content": [{"item": {"question": 5}}]}},
            "item 1 does not fit",
        ),
        ({"type": "nonsense"}, "data_source"),
    ],
)
def test_data_that_cannot_be_run_is_refused_before_anything_is_asked(mine: OpenAI, source: Any, words: str) -> None:
    with pytest.raises(openai.APIStatusError, match=words):
        mine.evals.runs.create(created(mine), data_source=source)


@pytest.mark.long
def test_stored_responses_are_graded_as_they_are_and_answered_anew(served: Served, mine: OpenAI) -> None:
    for words in ("one", "two"):
        mine.responses.create(model="echo/small", input=words, metadata={"use": "chat"})
    logs: Any = {"type": "logs", "metadata": {"use": "chat"}}
    check: Any = {**EXACT, "reference": "one"}
    id = mine.evals.create(data_source_config=logs, testing_criteria=[check]).id
    asked: Any = {"type": "responses", "source": {"type": "responses"}}
    with pytest.raises(openai.PermissionDeniedError, match="read_contents"):
        mine.evals.runs.create(id, data_source=asked)
    with client_of(served, key_of(served, ["ask", "read_contents"])) as reader:
        assert ran(reader, id, asked).result_counts.to_dict() == {"total": 2, "passed": 1, "failed": 1, "errored": 0}
        again = {"type": "item_reference", "item_reference": "item.input"}
        run = ran(reader, id, {**asked, "model": "echo/large", "input_messages": again})
        assert run.result_counts.passed == 1 and run.per_model_usage[0].run_model_name == "echo/large"


# ---- who, how much, how often


@pytest.mark.long
def test_an_eval_is_its_projects_and_a_key_may_be_kept_out(served: Served, mine: OpenAI) -> None:
    id = created(mine)
    run = ran(mine, id, completions(("a", "a")))
    with client_of(served, key_of(served, ["ask"], project="other")) as stranger:
        for call in (
            lambda: stranger.evals.retrieve(id),
            lambda: stranger.evals.runs.retrieve(run.id, eval_id=id),
            lambda: stranger.evals.runs.output_items.list(run.id, eval_id=id),
            lambda: stranger.evals.runs.create(id, data_source=completions(("a", "a"))),
        ):
            with pytest.raises(openai.NotFoundError):
                call()
        assert list(stranger.evals.list()) == []
    with client_of(served, key_of(served, ["ask"], endpoints=["chat"])) as confined:
        with pytest.raises(openai.PermissionDeniedError):
            confined.evals.list()


def test_a_request_that_is_sent_twice_makes_one_run(served: Served, mine: OpenAI) -> None:
    id = created(mine)
    again = {"Idempotency-Key": "run-once"}
    first, second = (
        mine.evals.runs.create(id, data_source=completions(("a", "a")), extra_headers=again).id for _ in range(2)
    )
    assert first == second and len(list(mine.evals.runs.list(id))) == 1
    with pytest.raises(openai.ConflictError, match="another request"):
        mine.evals.runs.create(id, data_source=completions(("b", "b")), extra_headers=again)
    ended(mine, first, id)


@pytest.mark.long
def test_a_run_ends_at_its_budget_and_says_so(mine: OpenAI) -> None:
    id = created(mine)
    source = {**completions(*[("a", "a")] * 20), "sampling_params": {"max_completion_tokens": 2}}
    run = ran(mine, id, source, extra_headers={"x-sizewise-max-cost-usd": "0.0001"})
    assert (run.status, run.error.code) == ("failed", "over_budget")
    assert 0 < run.result_counts.total < 20 and float(run.sizewise["cost_usd"]) <= 0.0001


@pytest.mark.long
def test_an_unknown_model_ends_the_run_and_names_it(mine: OpenAI) -> None:
    run = ran(mine, created(mine), completions(("a", "a"), model="gpt-9"))
    assert (run.status, run.error.code) == ("failed", "model_not_found") and "gpt-9" in run.error.message


@pytest.mark.long
def test_an_item_without_an_answer_is_an_error_and_the_others_go_on(mine: OpenAI) -> None:
    id = created(mine)
    run = ran(mine, id, completions(("a", "a"), ("b]] [[fail", "b"), ("c", "c")))
    assert run.status == "completed"
    assert run.result_counts.to_dict() == {"total": 3, "passed": 2, "failed": 0, "errored": 1}


def test_a_run_that_hangs_is_canceled_and_then_deleted(mine: OpenAI) -> None:
    id = created(mine)
    run = mine.evals.runs.create(id, data_source=completions(("a", "a"), ("b]] [[hang after=0", "b"), ("c", "c")))
    until(lambda: mine.evals.runs.retrieve(run.id, eval_id=id).result_counts.total == 2)
    assert mine.evals.runs.cancel(run.id, eval_id=id).status == "canceled"
    again = mine.evals.runs.retrieve(run.id, eval_id=id)
    assert (again.status, again.result_counts.total) == ("canceled", 2)
    assert [each.id for each in mine.evals.runs.list(id, status="canceled")] == [run.id]
    mine.evals.runs.delete(run.id, eval_id=id)


# ---- restarts and secrets


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_a_run_goes_on_after_a_restart_and_pays_the_rest_only(tmp_path: Path, number: signal.Signals) -> None:
    pairs = [(f"word{n}]] [[slow 0.05", f"word{n}") for n in range(30)]
    with serving(tmp_path, CONFIG) as served, client_of(served) as client:
        id = created(client)
        run = client.evals.runs.create(id, data_source=completions(*pairs)).id
        until(lambda: client.evals.runs.retrieve(run, eval_id=id).result_counts.total >= 4)
        served.process.send_signal(number)
        served.process.wait(30)
    with serving(tmp_path, CONFIG) as served, client_of(served) as client:
        assert ended(client, run, id).result_counts.to_dict() == {"total": 30, "passed": 30, "failed": 0, "errored": 0}
        asked = rows(served.home, "SELECT id FROM records WHERE door = 'evals' AND status = 200")
        assert len(asked) <= 32, "only what was in flight is asked twice"  # kill -9 may lose the last records


@pytest.mark.long
def test_no_word_of_an_eval_is_in_clear_on_disk(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG) as served, client_of(served) as client:
        id = created(client, {**EXACT, "name": CANARY})
        ran(client, id, completions((CANARY, CANARY)), name=CANARY)
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or CANARY.encode() not in file.read_bytes(), file


@pytest.mark.long
def test_two_workers_serve_the_same_evals(tmp_path: Path) -> None:
    config = CONFIG.replace("embedded = false", "embedded = false\nworkers = 2")
    with serving(tmp_path, config) as served, client_of(served) as client:
        id = created(client)
        assert ran(client, id, completions(("a", "a"), ("b", "c"))).result_counts.passed == 1
