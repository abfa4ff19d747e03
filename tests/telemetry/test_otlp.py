"""Export of traces by OTLP: each span once, as registered; a collector that is away costs nothing and loses nothing.

The collector is a double that keeps what came; a real one was tried by hand.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

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
def test_what_a_collector_missed_comes_when_it_is_back_and_after_a_restart(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("away")
    with receiving(503, 503, 200) as collector:
        with serving(home, settings(collector)) as server:
            ask(server)
            until(lambda: b"the OTLP collector" in server.ask("/readyz").body)
            assert server.ask("/readyz").status == 200
        with serving(home, settings(collector)) as server:
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
