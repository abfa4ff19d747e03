"""Scores through the front doors: by trace from any client, once an author, exported, erased, and never in clear."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sizewise.evals.scores import tables as score_tables
from sizewise.evals.scores.tables import ScoreFilter, ScoreRetention, ScoreRow, put_score
from sizewise.evals.tables import SCHEMA as EVALS_SCHEMA
from sizewise.evals.tables import Feedback, replace_feedback
from sizewise.storage.database import open_database, sqlite_url
from tests.cli.terminal import sizewise
from tests.gateway.server_harness import rows
from tests.gateway.vector_store_client import key_of
from tests.graphql.graphql_client import fresh_key, graphql
from tests.running_server import ECHO, Served, serving

CANARY = "canary-comment-0815"
CONFIG = ECHO + "\n[projects.other]\n"
LISTED = """query($f: ScoreFilter, $n: Int = 20, $b: String) { scores(filter: $f, last: $n, before: $b) {
  before rows { target targetId name value label source scorer author trace model commented comment } } }"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("scores"), CONFIG) as served:
        yield served
        assert CANARY not in "".join(served.said) and "Traceback" not in "".join(served.said)


def answered(server: Served, session: str = "") -> str:
    body = {"model": "echo/small", "messages": [{"role": "user", "content": "hi"}], "user": "ann@example.org"}
    return server.ask("/v1/chat/completions", body, x_sizewise_session=session).headers["x-sizewise-trace"]


def scored(server: Served, key: str = "", **body: object) -> Any:
    return server.ask("/v1/scores", body, key=key)


def refused(server: Served, body: dict[str, object]) -> Any:
    return server.ask("/v1/scores", body)


def listed(server: Served, **filter: object) -> list[dict[str, Any]]:
    found = graphql(server, LISTED, f=filter)
    assert found.errors == [], found.errors
    page: list[dict[str, Any]] = found.data["scores"]["rows"]
    return page


def test_a_client_scores_its_answer_by_trace_and_the_last_word_counts(server: Served) -> None:
    trace = answered(server)
    made = scored(server, trace=trace, name="helpful", value=0, comment=CANARY)
    assert made.status == 200 and (made.json["target"], made.json["value"]) == ("trace", 0.0), made.json
    assert scored(server, trace=trace[:20], name="helpful", value=1, label="great").status == 200
    assert scored(server, trace=trace, name="helpful", value=0.5, source="code").status == 200
    shown = {(each["source"], each["value"], each["label"]) for each in listed(server, trace=trace)}
    assert shown == {("user", 1.0, "great"), ("code", 0.5, None)}
    record = "query($t: String) { records(filter: {trace: $t}) { rows { model scores { name value model } } } }"
    (row,) = graphql(server, record, t=trace).data["records"]["rows"]
    assert len(row["scores"]) == 2 and row["scores"][0]["model"] == row["model"]
    said = graphql(server, "{ quality { policy } }")
    assert said.errors == []
    assert rows(server.home, "SELECT score FROM feedback WHERE trace = ?", trace) == [{"score": 1.0}]


def test_feedback_of_before_is_also_a_score(server: Served) -> None:
    trace = answered(server)
    rate = "mutation($t: String!) { feedback(trace: $t, score: 0.25) { model score } }"
    assert graphql(server, rate, key=server.key, t=trace).errors == []
    (score,) = listed(server, trace=trace)
    assert (score["name"], score["source"], score["value"], score["model"]) == ("user", "user", 0.25, "echo/small")


def test_a_span_and_a_session_are_scored_and_a_comment_is_read_with_the_right_alone(server: Served) -> None:
    trace = answered(server, session="talk-9")
    find = "query($t: String) { records(filter: {trace: $t}) { rows { spanId scores { target } } } }"
    span = graphql(server, find, t=trace).data["records"]["rows"][0]["spanId"]
    assert scored(server, span=span, value=1, comment=CANARY).status == 200
    assert scored(server, session="talk-9", value=0, name="resolved").status == 200
    assert graphql(server, find, t=trace).data["records"]["rows"][0]["scores"] == [{"target": "record"}]
    (score,) = listed(server, session="talk-9", name="resolved")
    assert (score["target"], score["targetId"], score["trace"]) == ("session", "talk-9", None)
    (score,) = listed(server, trace=trace)
    assert score["commented"] and score["comment"] == CANARY
    poor = graphql(server, LISTED, key=fresh_key(server, "read"), f={"trace": trace})
    assert poor.code == "forbidden" and "read_contents" in poor.message
    assert not any(CANARY.encode() in path.read_bytes() for path in server.home.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"value": 1}, 400, "one target"),
        ({"trace": "x" * 32, "value": 1}, 400, "is not a trace id"),
        ({"trace": "f" * 32, "value": 1}, 404, "there is no answer with the trace"),
        ({"span": "ffff", "value": 1}, 400, "is not a span id"),
        ({"span": "7" * 16, "value": 1}, 404, "there is no answer with the record"),
        ({"session": "nobody's", "value": 1}, 404, "there is no answer with the session"),
        ({"trace": "TRACE"}, 400, "a value or a label"),
        ({"trace": "TRACE", "value": 1.5}, 400, "is not a score"),
        ({"trace": "TRACE", "value": "good"}, 400, "value"),
        ({"trace": "TRACE", "value": 1, "name": "it was rubbish"}, 400, "is not the name of a score"),
        ({"trace": "TRACE", "label": "two\nlines"}, 400, "is not a label"),
        ({"trace": "TRACE", "value": 1, "comment": "x" * 4001}, 400, "use at most 4,000"),
        ({"trace": "TRACE", "value": 1, "source": "judge"}, 400, "needs its `scorer`"),
        ({"trace": "TRACE", "value": 1, "source": "person"}, 403, "annotate"),
        ({"trace": "TRACE", "value": 1, "stars": 5}, 400, "there is no field `stars`"),
    ],
)
def test_a_score_that_cannot_be_is_refused(server: Served, body: dict[str, object], status: int, said: str) -> None:
    if body.get("trace") == "TRACE":
        body = {**body, "trace": answered(server)}
    answer = refused(server, body)
    assert answer.status == status and said in f"{answer.error['message']} {answer.error['hint']}", answer.json


def test_answers_of_others_and_keys_for_other_endpoints_are_refused(server: Served) -> None:
    trace = answered(server)
    for key in (key_of(server, ["ask"], project="other"), key_of(server, ["ask"])):
        assert scored(server, key=key, trace=trace, value=1).status == 404
    manager = key_of(server, ["ask", "manage_policies"])
    assert scored(server, key=manager, trace=trace, value=1).status == 200
    chat = key_of(server, ["ask"], endpoints=["chat"])
    assert scored(server, key=chat, trace=trace, value=1).status == 403
    elsewhere = graphql(server, LISTED, key=key_of(server, ["read"], project="other"), f={"trace": trace})
    assert elsewhere.data["scores"]["rows"] == []


def test_the_command_line_adds_and_lists_page_by_page(server: Served) -> None:
    trace = answered(server)
    for name in ("tone", "facts"):
        done = sizewise("scores", "add", trace, "--name", name, "--value", "0.5", home=server.home)
        assert done.code == 0 and name in done.out, done.err
    first = sizewise("scores", "list", "--trace", trace, "-n", "1", "--json", home=server.home).json
    assert [each["name"] for each in first["scores"]] == ["facts"]
    after = sizewise("scores", "list", "--trace", trace, "--before", first["before"], home=server.home)
    assert "tone" in after.out and "facts" not in after.out
    assert sizewise("scores", "list", "--before", "x", home=server.home).code == 2


@pytest.mark.long
def test_scores_are_exported_and_erased_with_the_end_user_they_are_about(server: Served) -> None:
    trace = answered(server, session="gone-1")
    assert scored(server, trace=trace, name="exported", value=0.5, label="so-so", comment=CANARY).status == 200
    lines = sizewise("records", "export", "--session", "gone-1", home=server.home).out.splitlines()
    assert [each["name"] for each in json.loads(lines[0])["scores"]] == ["exported"]
    langfuse = sizewise("records", "export", "--session", "gone-1", "--format", "langfuse", home=server.home).out
    (event,) = (each for each in json.loads(langfuse)["batch"] if each["type"] == "score-create")
    assert (event["body"]["traceId"], event["body"]["value"], event["body"]["dataType"]) == (trace, 0.5, "NUMERIC")
    otlp = sizewise("records", "export", "--session", "gone-1", "--format", "otlp", home=server.home).out
    assert "gen_ai.evaluation.result" in otlp
    done = sizewise("erase", "--session", "gone-1", "--yes", "--json", home=server.home).json
    assert {"kind": "scores", "count": 1} in done["rows"]
    assert rows(server.home, "SELECT * FROM scores WHERE trace = ?", trace) == []
    lost = "SELECT c.score FROM score_comments c LEFT JOIN scores s ON s.id = c.score WHERE s.id IS NULL"
    assert rows(server.home, lost) == []


def test_old_feedback_is_carried_over_and_scores_go_with_time_and_number(tmp_path: Path) -> None:
    database = open_database(sqlite_url(str(tmp_path / "x.db")), [EVALS_SCHEMA])
    old = Feedback("local", "default", "auto", "s", "a" * 32, 5, "k1", "user", 1.0)
    with database.write() as connection:
        replace_feedback(connection, [old])
    database.close()
    database = open_database(sqlite_url(str(tmp_path / "x.db")), [EVALS_SCHEMA, score_tables.SCHEMA])
    with database.read() as connection:
        (row,) = score_tables.page_of_scores(connection, ScoreFilter("local"), 10, None)
    assert row.id == score_tables.score_id(row) and (row.value, row.source, row.trace) == (1.0, "user", "a" * 32)
    with database.write() as connection:
        for number in range(5):
            put_score(connection, ScoreRow(**NEW, target=f"{number}"), b"sealed")
        assert not ScoreRetention(1, 1_000)(connection)  # the old one went by its age
        assert not ScoreRetention(1e5, 3)(connection)
        left = score_tables.page_of_scores(connection, ScoreFilter("local"), 10, None)
        assert [each.target for each in left] == ["4", "3", "2"]
        assert len(connection.execute(score_tables.COMMENTS.select()).all()) == 3
    database.close()


NEW: dict[str, Any] = {
    **dict.fromkeys(("tenant", "project"), "local"),
    "kind": "trace",
    "name": "n",
    "source": "user",
    "author": "k",
    "created": 4_000_000_000_000,
}
