"""`sizewise records export`: every record once, in formats that others read, in little memory and whole files only."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sizewise.storage.database import open_database, sqlite_url
from sizewise.telemetry.tables import RECORDS, SCHEMA
from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import fresh_key, graphql
from tests.graphql.test_record_pages import row
from tests.running_server import ECHO, Served, environment, serving

FLOW = """
name: whole
inputs: {question: text}
nodes:
  tell: {kind: ask, model: echo/small, prompt: "{{ inputs.question }}"}
outputs: {answer: "{{ tell.text }}"}
"""
PRICED = '\n[models."echo/large"]\nprice = {input = "1", output = "2", source = "test", date = "2026-11-01"}\n'
IDS = ("traceId", "spanId", "parentSpanId")
CANARY = "canary-export-4711"
PUBLISH = "mutation ($t: String!) { publishFlow(text: $t) { flow { name } } }"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("export"), ECHO + PRICED) as served:
        assert (
            graphql(served, "mutation ($t: String!) { publishFlow(text: $t) { flow { name } } }", t=FLOW).errors == []
        )
        served.chat("echo/large", CANARY)
        served.chat("echo/small", f"[[fail times=1]] {CANARY}")
        served.chat("flow:whole", CANARY)
        yield served


def exported(server: Served, *words: str, key: str = "") -> Any:
    """As the administrator, or with a key."""
    if key:  # from a home that is not the server's
        home = server.home / "elsewhere"
        home.mkdir(exist_ok=True)
        return sizewise("records", "export", *words, home=home, SIZEWISE_URL=server.url, SIZEWISE_KEY=key)
    return sizewise("records", "export", *words, home=server.home)


def test_the_newest_records_are_exported_first(echo: Served) -> None:
    trace = echo.chat("echo/small", CANARY).headers["x-sizewise-trace"]
    done = exported(echo, "--since", "1h", "--model", "echo/small")
    assert done.code == 0 and json.loads(done.out.splitlines()[0])["trace"] == trace and CANARY not in done.out


@pytest.mark.long
def test_jsonl_has_each_record_with_its_attempts_as_records_shows_it(server: Served) -> None:
    done = exported(server)
    assert done.code == 0 and CANARY not in done.out
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [each["requestedModel"] for each in rows] == ["echo/small", "echo/small", "echo/large"]
    assert [[tried["result"] for tried in each["attempts"]] for each in rows[1:]] == [
        ["failed", "answered"],
        ["answered"],
    ]
    assert rows[0]["flow"] == "whole" and rows[2]["costUsd"] not in ("0", None)
    shown = sizewise("records", rows[2]["trace"], "--json", home=server.home).json["records"]
    assert shown == [rows[2]]


@pytest.mark.long
def test_otlp_is_read_by_opentelemetrys_own_parser_and_has_the_steps_of_flows(server: Served) -> None:
    trace_service = pytest.importorskip(
        "opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason="pip install opentelemetry-proto"
    )
    json_format = pytest.importorskip("google.protobuf.json_format")
    (line,) = exported(server, "--format", "otlp").out.splitlines()
    message = json_format.Parse(_base64_ids(line), trace_service.ExportTraceServiceRequest())
    spans = message.resource_spans[0].scope_spans[0].spans
    names = sorted(each.name for each in spans)
    assert names == sorted(["chat echo/small"] * 5 + ["chat echo/large"] * 2 + ["invoke_workflow whole", "node tell"])
    ids = {each.span_id for each in spans}
    assert len(ids) == len(spans) and all(len(each.trace_id) == 16 and len(each.span_id) == 8 for each in spans)
    workflow = next(each for each in spans if each.name == "invoke_workflow whole")
    assert [each.name for each in spans if each.parent_span_id == workflow.span_id] == ["node tell"]


def _base64_ids(line: str) -> str:
    """OTLP's JSON has ids in hex, protobuf's own JSON has bytes in base64."""

    def change(value: Any) -> Any:
        if isinstance(value, list):
            return [change(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            name: base64.b64encode(bytes.fromhex(each)).decode() if name in IDS else change(each)
            for name, each in value.items()
        }

    return json.dumps(change(json.loads(line)))


@pytest.mark.long
def test_langfuse_gets_a_trace_a_span_and_a_generation_per_attempt(server: Served) -> None:
    (line,) = exported(server, "--format", "langfuse").out.splitlines()
    batch = json.loads(line)["batch"]
    assert len({each["id"] for each in batch}) == len(batch), "Langfuse drops events whose id it has seen"
    kinds = [each["type"] for each in batch]
    assert (kinds.count("trace-create"), kinds.count("span-create"), kinds.count("generation-create")) == (3, 3, 4)
    priced = next(each["body"] for each in batch if each["body"].get("model") == "large")
    spans = {each["body"]["id"]: each["body"] for each in batch if each["type"] == "span-create"}
    assert priced["parentObservationId"] in spans and priced["costDetails"]["total"] > 0
    assert priced["usageDetails"].keys() == {"input", "output"} and priced["level"] == "DEFAULT"
    assert CANARY not in line


@pytest.mark.long
def test_parquet_keeps_types_and_costs_to_the_pico_dollar(server: Served, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install 'sizewise[parquet]'")
    done = exported(server, "--format", "parquet", "-o", str(tmp_path / "r.parquet"))
    assert done.code == 0, done.err
    rows = parquet.read_table(tmp_path / "r.parquet").to_pylist()
    shown = [json.loads(line) for line in exported(server).out.splitlines()]
    assert [each["trace"] for each in rows] == [each["trace"] for each in shown]
    costs = [each["costUsd"] for each in shown]
    assert [each["cost_usd"] for each in rows] == [None if each is None else Decimal(each) for each in costs]
    assert None in costs and costs[-1] is not None
    assert rows[0]["at"].tzinfo is not None and [len(each["attempts"]) for each in rows] == [1, 2, 1]


@pytest.mark.long
def test_without_pyarrow_the_error_says_how_to_install_it(server: Served, tmp_path: Path) -> None:
    file = tmp_path / "r.parquet"
    code = "import sys; sys.modules['pyarrow'] = None; from sizewise.cli.main import main; main()"
    words = ["records", "export", "--format", "parquet", "-o", str(file), "--home", str(server.home)]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment())
    assert done.returncode == 2 and "pip install 'sizewise[parquet]'" in done.stderr and not file.exists()


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--format", "parquet"), "stdout"),
        (("--since", "yesterday"), "24h"),
        (("--since", "1h", "--until", "2h"), "not before --until"),
        (("--min-cost", "lots"), "dollars"),
        (("--out", "no/such/folder/x.jsonl"), "cannot write"),
        (("--format", "csv"), "jsonl"),
    ],
)
def test_a_mistake_is_named(server: Served, words: tuple[str, ...], said: str) -> None:
    done = exported(server, *words)
    assert done.code in (2, 3) and said in done.err and done.out == ""


@pytest.mark.long
def test_a_key_of_another_project_exports_nothing_and_one_without_the_right_is_refused(server: Served) -> None:
    made = 'mutation { createKey(name: "o", permissions: [read_records], project: "other") { secret } }'
    other = str(graphql(server, made).data["createKey"]["secret"])
    assert exported(server, key=other).out == ""
    refused = exported(server, key=fresh_key(server, "ask"))
    assert refused.code != 0 and "read_records" in refused.err and refused.out == ""


@pytest.mark.long
def test_a_file_is_replaced_only_by_a_whole_one(server: Served, tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text("old")
    assert exported(server, "-o", str(file), "--project", "none").code == 0 and file.read_text() == ""
    file.write_text("old")
    down = sizewise("records", "export", "-o", str(file), home=tmp_path)
    assert down.code == 3 and file.read_text() == "old" and list(tmp_path.glob(".r*")) == []


@pytest.mark.long
def test_many_records_take_no_more_memory_than_few(tmp_path: Path) -> None:
    """The peak of a process that exports 12,000 records is within 12 MB of one that exports 500."""
    home = tmp_path / "home"
    with serving(home, ECHO):
        pass
    database = open_database(sqlite_url(str(home / "sizewise.db")), [SCHEMA])
    with database.write() as connection:
        connection.execute(RECORDS.insert(), [{**row(number), "tenant": "local"} for number in range(12_000)])
    database.close()
    code = (
        "import resource, sys; from sizewise.cli.main import main\n"
        "try: main()\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    with serving(home, ECHO):
        peaks = []
        for until in (1_800_000_000_500, 4_000_000_000_000):
            file = tmp_path / f"{until}.jsonl"
            when = ["--until", "2027-01-15T08:00:00.500+00:00"] if until < 2_000_000_000_000 else []
            words = ["records", "export", "-o", str(file), *when, "--home", str(home)]
            done = subprocess.run(
                [sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment()
            )
            assert done.returncode == 0, done.stderr
            peaks.append((len(file.read_text().splitlines()), int(done.stderr.split()[-1]) / 1024))
    assert [count for count, _ in peaks] == [500, 12_000]
    assert peaks[1][1] - peaks[0][1] < 12
