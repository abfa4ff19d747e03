"""/v1/batches with the official `openai` SDK: files, answers, errors, cost, cancel, restarts, and whose they are."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types import Batch

from sizewise.telemetry.tables import split_tags
from tests.auth.user_client import Browser
from tests.cli.terminal import sizewise
from tests.gateway.server_harness import rows
from tests.gateway.vector_store_client import key_of
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, serving, until

CONFIG = """
[server]
embedded = false
discover = false
drain_timeout_s = 0.3
[batches]
concurrency = 4
max_requests = 60
[projects.other]
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "vectors"]
[models."echo/small"]
price = {input = "1", output = "5"}
[models."echo/vectors"]
task = "embed"
"""
FULL = CONFIG.replace("[batches]", "[files]\nmax_files = 3\n[batches]\nmax_running = 1")
CANARY = "canary-0816-secret"
CHAT: Any = "/v1/chat/completions"
ENDED = ("completed", "failed", "expired", "cancelled")


def client_of(served: Served, key: str = "") -> OpenAI:
    return OpenAI(base_url=f"{served.url}/v1", api_key=key or served.key, max_retries=0)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("batches"), CONFIG) as running:
        yield running
        said = "".join(running.said)
        assert "Traceback" not in said and "unexpected" not in said, said


@pytest.fixture
def client(served: Served) -> Iterator[OpenAI]:
    with client_of(served) as made:
        yield made


def line(custom_id: str, words: str, url: str = CHAT, **more: Any) -> dict[str, Any]:
    body = {"model": "echo/small", "messages": [{"role": "user", "content": words}], **more}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def uploaded(client: OpenAI, lines: Sequence[Any], purpose: Any = "batch") -> str:
    text = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines)
    return client.files.create(file=("asked.jsonl", text.encode()), purpose=purpose).id


def begun(client: OpenAI, lines: Sequence[Any], endpoint: Any = CHAT, **more: Any) -> Batch:
    file = uploaded(client, lines)
    return client.batches.create(input_file_id=file, endpoint=endpoint, completion_window="24h", **more)


def ended(client: OpenAI, id: str) -> Batch:
    until(lambda: client.batches.retrieve(id).status in ENDED)
    return client.batches.retrieve(id)


def results(client: OpenAI, file: str | None) -> dict[str, dict[str, Any]]:
    """By custom id; each is there once."""
    assert file is not None
    read = [json.loads(each) for each in client.files.content(file).text.splitlines()]
    found = {each["custom_id"]: each for each in read}
    assert len(found) == len(read), "a request has two results"
    return found


def has_completed(client: OpenAI, id: str, least: int) -> bool:
    counts = client.batches.retrieve(id).request_counts
    return counts is not None and counts.completed >= least


def key_of_another_organization(served: Served) -> str:
    token = graphql(served, 'mutation { createOrganization(id: "acme", email: "o@acme.example") { token } }')
    owner = Browser(served)
    owner.accept(token.data["createOrganization"]["token"])
    made = owner.graphql('mutation { createKey(name: "t", permissions: [ask]) { secret } }')
    return str(made.data["createKey"]["secret"])


def cost_of(batch: Batch) -> float:
    return float(batch.model_extra["sizewise"]["cost_usd"])  # type: ignore[index]  # every batch of ours has it


def test_requests_are_answered_into_one_file_and_errors_into_another(served: Served, client: OpenAI) -> None:
    lines = [line(f"q{n}", f"[[say answer {n}]] question") for n in range(20)]
    lines[3]["body"]["model"] = "echo/none"
    lines[7]["body"]["temperature"] = "hot"
    batch = begun(client, lines, metadata={"why": "a test"})
    assert batch.status in ("validating", "in_progress") and batch.metadata == {"why": "a test"}
    batch = ended(client, batch.id)
    assert (batch.status, batch.endpoint, batch.completion_window) == ("completed", CHAT, "24h")
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 20, "completed": 18, "failed": 2}
    assert batch.in_progress_at and batch.finalizing_at and batch.completed_at and batch.failed_at is None
    good, bad = results(client, batch.output_file_id), results(client, batch.error_file_id)
    assert set(bad) == {"q3", "q7"} and len(good) == 18
    assert good["q5"]["response"]["body"]["choices"][0]["message"]["content"] == "answer 5"
    assert good["q5"]["response"]["status_code"] == 200 and good["q5"]["error"] is None
    assert bad["q3"]["response"]["status_code"] == 404
    assert bad["q3"]["response"]["body"]["error"]["code"] == "model_not_found"
    asked = "query($i: ID!) { batch(id: $i) { sentence ended requestErrors { code count } } }"
    told = graphql(served, asked, i=batch.id).data["batch"]
    assert told["sentence"] == "Done, 2 failed: 18 of 20 requests answered." and told["ended"]
    assert {each["code"]: each["count"] for each in told["requestErrors"]} == {"model_not_found": 1, "bad_body": 1}
    listed = "{ open: batches(unfinished: true) { id } over: batches(unfinished: false) { id } }"
    found = graphql(served, listed).data
    assert found["open"] == [] and batch.id in {each["id"] for each in found["over"]}
    assert bad["q7"]["response"]["body"]["error"]["param"] == "temperature"
    assert batch.usage is not None and batch.usage.output_tokens == 36
    recorded = rows(served.home, f"SELECT cost FROM records WHERE tags LIKE '%{batch.id}%' AND status = 200")
    assert len(recorded) == 18 and sum(each["cost"] for each in recorded) == round(cost_of(batch) * 1e12) > 0


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/responses", {"model": "echo/small", "input": "[[say yes]] or no"}),
        ("/v1/completions", {"model": "echo/small", "prompt": "[[say yes]] or no"}),
        ("/v1/embeddings", {"model": "echo/vectors", "input": ["a", "b"]}),
    ],
)
def test_other_endpoints_of_the_api_are_asked_as_well(client: OpenAI, endpoint: str, body: dict[str, Any]) -> None:
    batch = begun(client, [{"custom_id": "a", "method": "POST", "url": endpoint, "body": body}], endpoint)
    found = results(client, ended(client, batch.id).output_file_id)["a"]["response"]["body"]
    assert "yes" in json.dumps(found) or len(found["data"]) == 2


def test_a_wrong_file_fails_with_each_line_and_its_reason(client: OpenAI) -> None:
    lines = [
        line("a", "hello"),
        line("a", "again"),
        "{not json",
        line("c", "other url", "/v1/embeddings"),
        {"method": "POST", "url": CHAT, "body": {}},
        line("e", "streams", stream=True),
        {**line("f", "read"), "method": "GET"},
    ]
    batch = ended(client, begun(client, lines).id)
    assert batch.status == "failed" and batch.failed_at and batch.errors is not None and batch.errors.data is not None
    found = [(each.line, each.code) for each in batch.errors.data]
    assert found == [
        (2, "duplicate_custom_id"),
        (3, "invalid_json_line"),
        (4, "mismatched_url"),
        (5, "invalid_request"),
        (6, "invalid_request"),
        (7, "invalid_method"),
    ]
    assert "custom_id" in str(batch.errors.data[3].message) and batch.output_file_id is None
    many = ended(client, begun(client, [line(f"q{n}", "x") for n in range(61)]).id)
    assert many.errors is not None and many.errors.data is not None
    assert [each.code for each in many.errors.data] == ["too_many_requests"]
    empty = ended(client, begun(client, ["", " "]).id)
    assert empty.errors is not None and empty.errors.data is not None and empty.errors.data[0].code == "empty_file"


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"endpoint": "/v1/messages"}, "bad_body", "/v1/messages"),
        ({"completion_window": "soon"}, "bad_body", "24h"),
        ({"input_file_id": "file-none"}, "not_found", "purpose"),
    ],
)
def test_a_batch_that_cannot_be_is_refused(client: OpenAI, change: dict[str, Any], code: str, words: str) -> None:
    asked: Any = {"input_file_id": uploaded(client, [line("a", "x")]), "endpoint": CHAT, "completion_window": "24h"}
    with pytest.raises(openai.APIStatusError) as refused:
        client.batches.create(**{**asked, **change})
    error: Any = refused.value.body
    assert error["code"] == code and words in error["message"] + error["hint"]


def test_a_file_of_another_purpose_is_refused(client: OpenAI) -> None:
    file = uploaded(client, [line("a", "x")], "user_data")
    with pytest.raises(openai.BadRequestError, match="user_data"):
        client.batches.create(input_file_id=file, endpoint=CHAT, completion_window="24h")


def test_a_canceled_batch_keeps_what_was_answered(client: OpenAI) -> None:
    batch = begun(client, [line(f"q{n}", f"[[slow 0.2]] [[say {n}]]") for n in range(40)])
    until(partial(has_completed, client, batch.id, 4))
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    found = ended(client, batch.id)
    assert (
        found.status == "cancelled" and found.cancelling_at and found.cancelled_at and found.request_counts is not None
    )
    kept = results(client, found.output_file_id)
    assert 4 <= len(kept) == found.request_counts.completed < 40 and found.request_counts.failed == 0
    assert client.batches.cancel(batch.id).status == "cancelled", "a second time changes nothing"
    done = ended(client, begun(client, [line("a", "x")]).id)
    with pytest.raises(openai.ConflictError, match="completed"):
        client.batches.cancel(done.id)


def test_a_deleted_file_ends_its_batch_once_what_is_in_flight_is_answered(served: Served, client: OpenAI) -> None:
    """Of four parts, which are read one after the other."""
    batch = begun(client, [{**line(f"q{n}", "[[slow 0.5]] x"), "more": "x" * 90_000} for n in range(36)])
    until(partial(has_completed, client, batch.id, 2))
    client.files.delete(batch.input_file_id)
    found = ended(client, batch.id)
    own: Any = found.model_extra
    assert (found.status, own["sizewise"]["cut"]["code"]) == ("completed", "invalid_file")
    answered = results(client, found.output_file_id)
    assert found.request_counts is not None and found.request_counts.failed == 36 - len(answered) > 0
    recorded = rows(served.home, f"SELECT status FROM records WHERE tags LIKE '%{batch.id}%'")
    assert [each["status"] for each in recorded] == [200] * len(answered), "none was broken off"


def test_no_batch_costs_more_than_it_may(client: OpenAI) -> None:
    """A request costs at most 26 micro-dollars: one token in, five out of `max_tokens`."""
    lines = [line(f"q{n}", "[[say a b c d e]]", max_tokens=5) for n in range(40)]
    batch = begun(client, lines, extra_body={"sizewise": {"max_cost_usd": "0.0003"}})
    found = ended(client, batch.id)
    assert found.request_counts is not None and found.request_counts.completed > 0
    assert found.request_counts.total == 40 == found.request_counts.completed + found.request_counts.failed
    assert 0 < cost_of(found) <= 0.0003
    missed = results(client, found.error_file_id)
    assert len(missed) == found.request_counts.failed > 0


@pytest.mark.long
def test_what_was_paid_for_tries_that_failed_counts_as_well(served: Served, client: OpenAI) -> None:
    """A try costs the 141 tokens of its prompt, at a micro-dollar each, and gets no answer."""
    lines = [line(f"q{n}", f"[[fail garbled]] {'word ' * 100}", max_tokens=1) for n in range(3)]
    found = ended(client, begun(client, lines, extra_body={"sizewise": {"max_cost_usd": "0.0006"}}).id)
    assert found.request_counts is not None and found.request_counts.failed == 3
    paid = rows(served.home, f"SELECT cost FROM records WHERE tags LIKE '%{found.id}%' AND cost > 0")
    assert len(paid) > 3, "some were tried again"
    assert sum(each["cost"] for each in paid) == round(cost_of(found) * 1e12) <= 600_000_000


@pytest.mark.parametrize("limit", [{}, {"max_cost_usd": "1"}], ids=["without a limit", "with a limit"])
def test_a_request_has_its_own_tags_and_limit_beside_those_of_its_batch(
    served: Served, client: OpenAI, limit: dict[str, str]
) -> None:
    tags = [f"t{n}" for n in range(16)]
    own = [line("tagged", "x", sizewise={"tags": ["own"]}), line("dear", "x", sizewise={"max_cost_usd": "0.000001"})]
    batch = begun(client, [*own, line("plain", "x")], extra_body={"sizewise": {"tags": tags, **limit}})
    found = ended(client, batch.id)
    assert set(results(client, found.output_file_id)) == {"tagged", "plain"}
    refused = results(client, found.error_file_id)["dear"]["response"]
    assert (refused["status_code"], refused["body"]["error"]["code"]) == (402, "over_budget")
    recorded = rows(served.home, f"SELECT tags FROM records WHERE tags LIKE '%{batch.id}%' AND status = 200")
    seen = [set(split_tags(each["tags"])) for each in recorded]
    assert sorted(each - {*tags, batch.id} for each in seen) == [set(), {"own"}]
    assert all({*tags, batch.id} <= each for each in seen)


def test_a_file_may_begin_with_a_byte_order_mark_and_must_be_utf_8(client: OpenAI) -> None:
    good = json.dumps(line("a", "[[say a]]"))
    for text, status in (
        (f"\ufeff{good}".encode(), "completed"),
        (good.replace("say a", "say \xe9").encode(), "completed"),
    ):
        file = client.files.create(file=("asked.jsonl", text), purpose="batch").id
        batch = client.batches.create(input_file_id=file, endpoint=CHAT, completion_window="24h")
        assert ended(client, batch.id).status == status
    file = client.files.create(
        file=("asked.jsonl", good.replace("say a", "say ö").encode("latin-1")), purpose="batch"
    ).id
    batch = client.batches.create(input_file_id=file, endpoint=CHAT, completion_window="24h")
    errors = ended(client, batch.id).errors
    assert errors is not None and errors.data is not None
    assert [(each.line, each.message) for each in errors.data] == [
        (1, "this line is not UTF-8: save the file as UTF-8")
    ]


def test_what_a_batch_cannot_be_is_said_with_what_it_can(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        begun(client, [line("a", "x")], endpoint="/v1/audio/speech")
    assert "Possible are: /v1/chat/completions, " in str(refused.value.body)
    with pytest.raises(openai.BadRequestError, match=r'an amount in dollars, such as "0\.25" - at `max-cost-usd`'):
        begun(client, [line("a", "x")], extra_body={"sizewise": {"max_cost_usd": "five"}})


@pytest.mark.parametrize(("limit", "answered"), [("0.012", 30), ("0.0012", 0)])
def test_fewer_are_asked_at_once_where_all_could_cost_more_than_is_left(
    client: OpenAI, limit: str, answered: int
) -> None:
    """Without `max_tokens` one could cost 5 milli-dollars, and costs 11 micro-dollars."""
    lines = [line(f"q{n}", "[[say a b]]") for n in range(30)]
    found = ended(client, begun(client, lines, extra_body={"sizewise": {"max_cost_usd": limit}}).id)
    assert found.request_counts is not None and found.request_counts.completed == answered
    if not answered:
        missed = results(client, found.error_file_id)
        assert len(missed) == 30
        assert "raise it, or set `max_tokens` in the requests" in missed["q0"]["error"]["message"]


def test_lists_pages_and_projects(served: Served, client: OpenAI) -> None:
    ids = [ended(client, begun(client, [line("a", "x")]).id).id for _ in range(3)]
    assert [each.id for each in client.batches.list(limit=2).data] == [ids[2], ids[1]]
    assert [each.id for each in client.batches.list(limit=1, after=ids[2]).data] == [ids[1]]
    with client_of(served, key_of(served, ["ask"], project="other")) as theirs:
        assert theirs.batches.list().data == []
        for call in (theirs.batches.retrieve, theirs.batches.cancel):
            with pytest.raises(openai.NotFoundError, match="there is no batch"):
                call(ids[0])
    with client_of(served, key_of(served, ["ask"], endpoints=["batches", "files"])) as narrow:
        with pytest.raises(openai.PermissionDeniedError):
            begun(narrow, [line("a", "x")])


def test_the_same_idempotency_key_makes_one_batch(client: OpenAI) -> None:
    file, header = uploaded(client, [line("a", "x")]), {"idempotency-key": "once-1"}
    asked: Any = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h", "extra_headers": header}
    first, second = client.batches.create(**asked), client.batches.create(**asked)
    assert first.id == second.id
    with pytest.raises(openai.ConflictError):
        client.batches.create(**{**asked, "metadata": {"other": "body"}})


@pytest.mark.long
def test_what_the_page_shows_runs(served: Served) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/batches.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    code = code.replace("http://127.0.0.1:8080", served.url).replace("YOUR_SIZEWISE_KEY", served.key)
    command = [sys.executable, "-c", code.replace('"auto"', '"echo/small"')]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.splitlines()[0] == "Italy What is the capital of Italy?"


# ---- restarts and secrets


@pytest.mark.long
@pytest.mark.parametrize("waits", [False, pytest.param(True, marks=pytest.mark.long)], ids=["restarts", "waits"])
def test_a_batch_waits_for_room_for_its_files_while_others_run_and_writes_each_once(
    tmp_path: Path, waits: bool
) -> None:
    with serving(tmp_path, FULL) as served, client_of(served) as client:
        other = uploaded(client, ["x"], "user_data")
        id = begun(client, [line("good", "x"), line("bad", "x", temperature="hot")]).id
        until(lambda: client.batches.retrieve(id).errors)
        full = client.batches.retrieve(id)
        assert full.status == "finalizing" and full.errors is not None and full.errors.data is not None
        assert [each.code for each in full.errors.data] == ["result_files_full"]
        assert set(results(client, full.output_file_id)) == {"good"} and full.error_file_id is None
        with client_of(served, key_of_another_organization(served)) as theirs:
            assert ended(theirs, begun(theirs, [line("a", "x")]).id).status == "completed"
        client.files.delete(other)
        if waits:
            until(lambda: client.batches.retrieve(id).status in ENDED, 150)
    with serving(tmp_path, FULL) as served, client_of(served) as client:
        found = ended(client, id)
        assert (found.status, found.errors, found.output_file_id) == ("completed", None, full.output_file_id)
        assert set(results(client, found.error_file_id)) == {"bad"}
        written = {each.id for each in client.files.list(purpose="batch_output")}
        assert written == {found.output_file_id, found.error_file_id}


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_a_batch_that_is_stopped_three_times_has_each_result_once(tmp_path: Path, number: signal.Signals) -> None:
    lines = [line(f"q{n}", f"[[slow 0.05]] [[say {n}]]") for n in range(60)]
    id, seen = "", 0
    for _ in range(3):
        with serving(tmp_path, CONFIG) as served, client_of(served) as client:
            id = id or begun(client, lines).id
            until(partial(has_completed, client, id, min(seen + 8, 50)))
            counts = client.batches.retrieve(id).request_counts
            assert counts is not None and counts.completed >= seen, "the bar never goes back"
            seen = counts.completed
            served.process.send_signal(number)
            served.process.wait(30)
    with serving(tmp_path, CONFIG) as served, client_of(served) as client:
        batch = ended(client, id)
        assert batch.request_counts is not None
        assert batch.request_counts.to_dict() == {"total": 60, "completed": 60, "failed": 0}
        found = results(client, batch.output_file_id)
        assert {each["response"]["body"]["choices"][0]["message"]["content"] for each in found.values()} == {
            str(n) for n in range(60)
        }
        recorded = rows(served.home, f"SELECT cost FROM records WHERE tags LIKE '%{id}%'")
        assert sum(each["cost"] for each in recorded) == round(cost_of(batch) * 1e12), "of lost answers too"
        assert 48 <= len(recorded) <= 72, "only what was in flight is asked twice, or loses its record"


@pytest.mark.long
def test_no_word_of_a_batch_is_in_clear_on_disk(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG) as served, client_of(served) as client:
        ended(client, begun(client, [line(CANARY, CANARY)], metadata={"a": CANARY}).id)
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or CANARY.encode() not in file.read_bytes(), file


@pytest.mark.long
def test_two_workers_serve_the_same_batches(tmp_path: Path) -> None:
    config = CONFIG.replace("embedded = false", "embedded = false\nworkers = 2")
    with serving(tmp_path, config) as served, client_of(served) as client:
        batch = ended(client, begun(client, [line(f"q{n}", "x") for n in range(10)]).id)
        assert batch.request_counts is not None and batch.request_counts.completed == 10


# ---- at a terminal and in GraphQL

BATCHES = "query($n: Int!, $b: ID!) { batches(first: $n, before: $b) { id status total done failed costUsd } }"


def test_a_terminal_and_graphql_show_the_same_batches_and_cancel_them(served: Served, client: OpenAI) -> None:
    earlier = ended(client, begun(client, [line("a", "x")]).id)
    done = ended(client, begun(client, [line("a", "[[say a b]]"), line("b", "x", temperature="hot")]).id)
    shown = sizewise("batches", "show", done.id, home=served.home).out
    assert (
        "completed" in shown
        and "Done, 1 failed: 1 of 2 requests answered." in shown
        and str(done.output_file_id) in shown
    )
    begin = done.id[:18]
    assert sizewise("batches", "show", begin, home=served.home).out == shown
    row = next(each for each in sizewise("batches", home=served.home).out.splitlines() if each.startswith(begin))
    assert row.split()[:5] == [begin, "completed", "1", "1", "2"] and len(row) <= 80
    many = sizewise("batches", "show", "batch_", home=served.home)
    assert many.code == 2 and "batches begin with 'batch_'" in many.err
    assert "The newest 1; more: -n 100" in sizewise("batches", "list", "-n", "1", home=served.home).err
    listed = sizewise("batches", "--json", home=served.home).json["batches"]
    assert listed[0]["id"] == done.id and listed[0]["costUsd"] == f"{cost_of(done):f}".rstrip("0")
    found = graphql(served, BATCHES, n=1, b="").data["batches"]
    assert [(each["id"], each["done"], each["failed"]) for each in found] == [(done.id, 2, 1)]
    assert graphql(served, BATCHES, n=1, b=done.id).data["batches"][0]["id"] == earlier.id
    running = begun(client, [line(f"q{n}", "[[slow 0.3]] x") for n in range(30)])
    assert sizewise("batches", "cancel", running.id, home=served.home).code == 0
    assert ended(client, running.id).status == "cancelled"
    again = sizewise("batches", "cancel", done.id, home=served.home)
    assert again.code == 2 and "completed" in again.err
    unknown = sizewise("batches", "show", "batch_none", home=served.home)
    assert unknown.code == 2 and "sizewise batches" in unknown.err
    theirs = key_of(served, ["ask"], project="other")
    assert graphql(served, BATCHES, key=theirs, n=5, b="").data["batches"] == []
