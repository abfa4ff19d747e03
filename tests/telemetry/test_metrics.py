"""What Prometheus reads, through its own parser."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest
from msgspec import Raw
from prometheus_client.parser import text_string_to_metric_families

from sizewise.errors import ModelNotFound
from sizewise.handler import AttemptFinished, ModelSelected, Request, Send, TextDelta, discard_events
from sizewise.messages import ChatRequest, Choice, Message, Reply, Usage
from sizewise.principal import Principal
from sizewise.storage.rows import RowGroup
from sizewise.telemetry.metrics import Metrics
from sizewise.telemetry.prometheus import render_metrics
from sizewise.telemetry.record_ids import record_ids
from sizewise.telemetry.recorder import RecordingMiddleware

SMALL = AttemptFinished("here/small", "machine", "distrusted", "unsure", 0, 0.1, 0.2, Usage(100, 40), 0)
LARGE = AttemptFinished(
    "there/large",
    "anyone",
    "answered",
    "last",
    0.2,
    0.3,
    0.4,
    Usage(100, 50, 20, 5, 7),
    2_500_000_000_000,
)


async def answer(request: Request, send: Send) -> Reply:
    if request.payload.model.startswith("made-up"):
        raise ModelNotFound("no")
    await send(SMALL)
    await send(ModelSelected("there/large", "last", 2))
    await send(TextDelta(0, "hi"))
    await send(LARGE)
    return Reply((Choice(0, "hi"),), Usage(100, 50))


def asked(metrics: Metrics, *models: str) -> dict[tuple[str, ...], float]:
    """Samples after asking `models`, by name and label values."""
    kept: list[RowGroup] = []

    async def scene() -> None:
        recorded = RecordingMiddleware(answer, write=kept.append, metrics=metrics, record_ids=record_ids())
        for model in models:
            chat = ChatRequest(model, [Message("user", "x")], {"messages": Raw(b"[]")})
            try:
                await recorded(Request(chat, Principal(), "ab" * 16, time.perf_counter()), discard_events)
            except ModelNotFound:
                pass

    asyncio.run(scene())
    assert len(kept) == len(models)
    return samples(metrics)


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(render_metrics(metrics).decode())
    return {(s.name, *(s.labels[label] for label in sorted(s.labels))): s.value for f in families for s in f.samples}


def test_requests_attempts_tokens_money_and_escalations_are_counted() -> None:
    seen = asked(Metrics(), "auto:cascade", "auto:cascade")
    assert seen["sizewise_requests_total", "there/large", "cascade", "200"] == 2
    assert seen["sizewise_attempts_total", "here/small", "distrusted"] == 2
    assert seen["sizewise_attempts_total", "there/large", "answered"] == 2
    assert seen["sizewise_tokens_total", "output", "here/small"] == 80
    assert seen["sizewise_tokens_total", "cached", "there/large"] == 40
    assert seen["sizewise_cost_dollars_total", "there/large"] == 5.0
    assert seen["sizewise_cost_dollars_total", "here/small"] == 0.0
    assert seen["sizewise_escalations_total",] == 2
    assert seen["sizewise_requests_in_flight",] == 0


def test_times_are_histograms_whose_last_bucket_holds_everything() -> None:
    seen = asked(Metrics(), "auto")
    for name in ("sizewise_request_seconds", "sizewise_first_token_seconds"):
        assert seen[f"{name}_bucket", "+Inf", "there/large"] == seen[f"{name}_count", "there/large"] == 1
        assert seen[f"{name}_bucket", "10.0", "there/large"] == 1
        assert 0 < seen[f"{name}_sum", "there/large"] < 10


def test_names_that_clients_make_up_never_become_labels() -> None:
    metrics = Metrics()
    seen = asked(metrics, *(f"made-up-{number}" for number in range(100)))
    assert seen["sizewise_requests_total", "", "", "404"] == 100
    assert b"made-up" not in render_metrics(metrics)


def test_even_configured_names_are_bounded() -> None:
    metrics = Metrics()
    for number in range(5_000):
        metrics.count_request(f"model-{number}", f"policy-{number}", 200, 0.1, None, [])
    assert len(render_metrics(metrics)) < 2_000_000
    assert samples(metrics)["sizewise_requests_total", "other", "other", "200"] > 4_000


@pytest.mark.long
def test_models_beyond_the_bound_are_booked_as_others_and_not_forgotten() -> None:
    metrics = Metrics()
    for number in range(1_000):
        mine = msgspec.structs.replace(LARGE, model=f"there/{number}")
        metrics.count_request(mine.model, "fixed", 200, 0.1, None, [mine])
    assert samples(metrics)["sizewise_attempts_total", "other", "answered"] == 500


def test_the_state_of_the_records_shows_and_nothing_leaks_between_two() -> None:
    limping, fine = Metrics(lambda: (7, 3)), Metrics()
    seen = samples(limping)
    assert (seen["sizewise_records_pending",], seen["sizewise_records_dropped_total",]) == (7, 3)
    assert samples(fine)["sizewise_records_pending",] == 0
    assert seen["process_cpu_seconds_total",] > 0
