"""Export of traces by OTLP: each span once, as registered; a collector that is away costs nothing and loses nothing.

The collector is a double that keeps what came; a real one was tried by hand.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sizewise.settings.server import OtlpNames
from sizewise.telemetry.otlp_encoding import record_to_otlp
from sizewise.telemetry.otlp_names import VERSIONS
from sizewise.telemetry.tables import AttemptRow, RecordWithAttempts, RequestRecord
from tests.fakes.webhook_receiver import WebhookReceiver, receiving
from tests.running_server import ECHO, Served, serving, until

CANARY = "Canary4711"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def settings(receiver: WebhookReceiver, more: str = "") -> str:
    return f'{ECHO}\n[otlp]\nendpoint = "{receiver.url}"\nplace = "machine"\n{more}\n'


def spans(receiver: WebhookReceiver) -> list[dict[str, Any]]:
    found = []
    for headers, body in receiver.came:
        assert headers["content-encoding"] == "gzip" and headers["content-type"] == "application/json"
        (resource,) = json.loads(gzip.decompress(body))["resourceSpans"]
        (scope,) = resource["scopeSpans"]
        found += scope["spans"]
    return found


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}


def ask(server: Served, trace: str = TRACE, prompt: str = CANARY) -> int:
    body = {"model": "echo/small", "messages": [{"role": "user", "content": prompt}], "user": "ann@example.com"}
    return server.ask("/v1/chat/completions", body, traceparent=f"00-{trace}-{SPAN}-01").status


@pytest.fixture
def collector() -> Iterator[WebhookReceiver]:
    with receiving(200) as found:
        yield found


@pytest.mark.long
def test_a_request_and_its_attempt_are_exported_once_below_the_clients_span(
    collector: WebhookReceiver, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(tmp_path_factory.mktemp("otlp"), settings(collector)) as server:
        assert ask(server) == 200
        until(lambda: len(spans(collector)) == 2)
        request, attempt = spans(collector)
        assert (request["traceId"], request["parentSpanId"], request["kind"]) == (TRACE, SPAN, 2)
        assert (attempt["parentSpanId"], attempt["kind"], attempt["name"]) == (request["spanId"], 3, "chat echo/small")
        assert attributes(attempt)["gen_ai.operation.name"] == "chat"
        assert attributes(attempt)["gen_ai.provider.name"] == "echo"
        assert int(attributes(attempt)["gen_ai.usage.input_tokens"]) > 0
        assert int(request["startTimeUnixNano"]) <= int(attempt["startTimeUnixNano"])
        assert collector.paths == ["/hooks/here/v1/traces"]
        ask(server, "a" * 32)
        until(lambda: len(spans(collector)) == 4)
        assert [each["traceId"] for each in spans(collector)] == [TRACE, TRACE, "a" * 32, "a" * 32]
    sent = b"".join(gzip.decompress(body) for _, body in collector.came)
    assert CANARY.encode() not in sent and b"ann@example.com" not in sent


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_collector_missed_comes_when_it_is_back_and_after_a_restart(
    tmp_path_factory: pytest.TempPathFactory, workers: int
) -> None:
    home = tmp_path_factory.mktemp("away")
    with receiving(503, 503, 200) as collector:
        config = settings(collector).replace("[server]", f"[server]\nworkers = {workers}")
        with serving(home, config) as server:
            ask(server)
            until(lambda: b"the OTLP collector" in server.ask("/readyz").body)
            assert server.ask("/readyz").status == 200
        with serving(home, config) as server:
            until(lambda: len(collector.came) >= 3)
            last = json.loads(gzip.decompress(collector.came[-1][1]))
            assert len(last["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 2
            until(lambda: b"the OTLP collector" not in server.ask("/readyz").body)


@pytest.mark.long
def test_of_sampled_traces_errors_are_exported_all_the_same(
    collector: WebhookReceiver, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(tmp_path_factory.mktemp("sampled"), settings(collector, "sample = 0.0")) as server:
        assert ask(server, "a" * 32) == 200 and ask(server, "b" * 32, "[[fail]]") >= 400
        until(lambda: spans(collector) != [])
        assert {each["traceId"] for each in spans(collector)} == {"b" * 32}
        assert all(each["status"]["code"] == 2 for each in spans(collector))


@pytest.mark.long
def test_a_collector_that_egress_does_not_allow_is_never_called(tmp_path_factory: pytest.TempPathFactory) -> None:
    with receiving(200) as collector:
        config = (
            settings(collector).replace('place = "machine"\n\n', 'place = "anyone"\n')
            + '[egress]\ninternal = "machine"\n'
        )
        with serving(tmp_path_factory.mktemp("egress"), config) as server:
            ask(server)
            until(lambda: b"the OTLP collector" in server.ask("/readyz").body)
        assert collector.came == []


def metric(server: Served, name: str) -> float:
    """A metric without labels."""
    return float(server.ask("/metrics").body.decode().partition(f"\n{name} ")[2].partition("\n")[0])


@pytest.mark.long
def test_metrics_count_what_was_exported_and_say_that_nothing_waits(
    collector: WebhookReceiver, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(tmp_path_factory.mktemp("counted"), settings(collector)) as server:
        ask(server)
        until(lambda: metric(server, "sizewise_otlp_spans_exported_total") == 2)
        until(lambda: metric(server, "sizewise_otlp_lag_seconds") == 0)
        assert metric(server, "sizewise_otlp_spans_dropped_total") == 0


@pytest.mark.long
def test_a_collector_that_accepts_and_never_answers_holds_no_request_up_and_the_lag_is_seen(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with serving(tmp_path_factory.mktemp("silent"), settings(WebhookReceiver(url=url))) as server:
            ask(server)
            until(lambda: metric(server, "sizewise_otlp_lag_seconds") > 2)
            assert [ask(server, f"{number:032x}") for number in range(1, 20)] == [200] * 19
            assert metric(server, "sizewise_otlp_spans_exported_total") == 0


@pytest.mark.long
def test_what_was_missed_for_over_an_hour_is_counted_as_dropped_and_not_sent(
    collector: WebhookReceiver, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("late")
    with serving(home, settings(collector)) as server:
        ask(server)
        until(lambda: len(spans(collector)) == 2)
    hours_ago = 2 * 3_600 * 10**6 << 10  # of an id
    with closing(sqlite3.connect(home / "sizewise.db")) as database, database:
        database.execute("UPDATE records SET id = id - ?", [hours_ago])
        database.execute("UPDATE otlp_position SET position = position - ? * 2", [hours_ago])
    with serving(home, settings(collector)) as server:
        until(lambda: metric(server, "sizewise_otlp_spans_dropped_total") == 2)
        ask(server, "a" * 32)
        until(lambda: len(spans(collector)) == 4)
        assert [each["traceId"] for each in spans(collector)[2:]] == ["a" * 32] * 2


@pytest.mark.long
def test_opentelemetrys_variables_are_obeyed_unless_the_settings_say_otherwise(
    collector: WebhookReceiver, tmp_path_factory: pytest.TempPathFactory
) -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-team=a%20b, x-other=c",
        "OTEL_SERVICE_NAME": "from-env",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=prod,service.name=not-this",
    }
    config = f'{ECHO}\n[otlp]\nplace = "machine"\nresource = {{region = "eu"}}\n'
    with serving(tmp_path_factory.mktemp("variables"), config, **variables) as server:
        ask(server)
        until(lambda: collector.came != [])
    headers, body = collector.came[0]
    resource = attributes(json.loads(gzip.decompress(body))["resourceSpans"][0]["resource"])
    assert (headers["x-team"], headers["x-other"]) == ("a b", "c")
    assert resource["service.name"] == "from-env" and resource["region"] == "eu"
    assert resource["deployment.environment.name"] == "prod"


@pytest.mark.parametrize(("names", "expected"), [("2026-04", "cache_creation"), ("main", "cache_write")])
def test_a_version_of_the_names_is_chosen_by_the_settings(names: OtlpNames, expected: str) -> None:
    record = RequestRecord(
        *(1 << 20, "t", "p", "k", "a" * 32, 0, "chat", "x", "fixed", "cloud/m", "", 200, "", 1, 9, 5, 2, 3, 1, False),
        *(None, 2.0, 4.0, True, "", None),
    )
    attempt = AttemptRow(
        *(record.id, 1, "t", record.trace, "cloud/m", "anyone", "answered", "", 1.0, 3.0, 4.0, 9, 5, 2, 3, 1, False),
        *(None, "", None),
    )
    _, client = record_to_otlp(RecordWithAttempts(record, (attempt,)), VERSIONS[names])
    shown = attributes(client)
    assert shown[f"gen_ai.usage.{expected}.input_tokens"] == "3"
    assert shown["gen_ai.usage.reasoning.output_tokens"] == "1"
    assert shown["gen_ai.response.time_to_first_chunk"] == 0.002
    assert len([name for name in shown if "cache" in name]) == 2


@pytest.mark.long
def test_two_servers_on_one_postgres_export_each_span_once(
    collector: WebhookReceiver, postgres_url: str, tmp_path: Path
) -> None:
    config = settings(collector) + '[database]\nurl = "env:SHARED_STORE"\n'
    with contextlib.ExitStack() as stack:
        pair = [
            stack.enter_context(serving(tmp_path / name, config, SHARED_STORE=postgres_url))
            for name in ("one", "other")
        ]
        until(lambda: any(metric(server, "sizewise_leader") == 1 for server in pair))
        for number in range(1, 11):
            ask(pair[number % 2], f"{number:032x}")
        until(lambda: len(spans(collector)) >= 20)
        until(lambda: sum(metric(server, "sizewise_otlp_spans_exported_total") for server in pair) == 20)
        found = [each["spanId"] for each in spans(collector)]
        assert len(found) == len(set(found)) == 20
        assert sorted(metric(server, "sizewise_otlp_spans_exported_total") for server in pair) == [0, 20]
