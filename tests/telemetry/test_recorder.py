"""Every request is written down as it went: answered, refused, abandoned, tried twice."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from msgspec import Raw

from sizewise.app.services import open_services
from sizewise.errors import BadRequest, Forbidden, NoModelFits, UpstreamRejected, UpstreamUnreachable
from sizewise.handler import (
    AttemptFinished,
    ChoiceFinished,
    Event,
    Handler,
    ModelSelected,
    Request,
    RequestOptions,
    Send,
    TextDelta,
    ToolDelta,
    discard_events,
)
from sizewise.messages import ChatRequest, Choice, EmbeddingRequest, Message, Reply, Usage
from sizewise.principal import Principal
from sizewise.telemetry.metrics import Metrics
from sizewise.telemetry.record_queries import RecordFilter
from sizewise.telemetry.recorder import RecordingMiddleware
from sizewise.telemetry.tables import RecordWithAttempts

TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRET = "my prompt of gold"
CHAT = ChatRequest("auto:cascade", [Message("user", SECRET)], {"messages": Raw(b"[]")}, stream=True)
REPLY = Reply((Choice(0, "hello"),), Usage(100, 50))
SMALL = AttemptFinished(
    "here/small",
    "machine",
    "distrusted",
    "too unsure",
    0.001,
    0.01,
    0.1,
    Usage(100, 40),
    0,
    "",
    0.25,
)
LARGE = AttemptFinished(
    "there/large",
    "anyone",
    "answered",
    "no smaller one trusted",
    0.1,
    0.2,
    0.3,
    Usage(100, 50, 20, 5, 7),
    12_345,
)


NO_WISHES, CALLER = RequestOptions(), Principal(key_id="sw-k")


def ask(
    what: ChatRequest | EmbeddingRequest = CHAT,
    options: RequestOptions = NO_WISHES,
    principal: Principal = CALLER,
) -> Request:
    return Request(what, principal, TRACE, time.perf_counter(), options)


def saying(*events: Event, reply: Reply = REPLY, error: BaseException | None = None) -> Handler:
    async def answer(request: Request, send: Send) -> Reply:
        for event in events:
            await send(event)
        if error is not None:
            raise error
        return reply

    return answer


def booked(
    home: Path,
    answer: Handler,
    asked: Request | None = None,
    send: Send = discard_events,
) -> RecordWithAttempts:
    """What the record says of one request that may fail."""

    async def scene() -> RecordWithAttempts:
        with open_services(home) as services:
            try:
                await RecordingMiddleware(
                    answer,
                    write=services.records.enqueue,
                    metrics=Metrics(services.records.queue_counts),
                    record_ids=services.records.ids,
                )(asked or ask(), send)
            except (Exception, asyncio.CancelledError):
                pass
            (found,) = await services.records.find_by_trace(TRACE)
            return found

    return asyncio.run(scene())


def test_an_escalated_request_is_written_with_both_attempts_and_what_they_cost_together(tmp_path: Path) -> None:
    found = booked(tmp_path, saying(SMALL, ModelSelected("there/large", "because", 2), TextDelta(0, "hello"), LARGE))
    record = found.record
    assert (record.tenant, record.project, record.key, record.trace, record.door) == (
        "local",
        "default",
        "sw-k",
        TRACE,
        "chat",
    )
    assert (record.asked, record.policy, record.model, record.why) == (
        "auto:cascade",
        "cascade",
        "there/large",
        "because",
    )
    assert (record.status, record.error, record.attempts, record.stream) == (200, "", 2, True)
    assert (record.input, record.output, record.cached, record.cache_write, record.reasoning) == (200, 90, 20, 5, 7)
    assert (record.cost, record.estimated) == (12_345, False)
    assert record.first_ms is not None and 0 < record.first_ms <= record.total_ms < 10_000
    assert abs(record.at - time.time() * 1000) < 60_000
    small, large = found.attempts
    assert (small.number, small.model, small.place, small.result, small.score) == (
        1,
        "here/small",
        "machine",
        "distrusted",
        0.25,
    )
    assert (small.why, small.began_ms, small.first_ms, small.ended_ms) == ("too unsure", 1.0, 10.0, 100.0)
    assert (large.number, large.result, large.cost, large.cached) == (2, "answered", 12_345, 20)


def test_one_unknown_price_makes_the_sum_unknown_and_one_estimate_an_estimate(tmp_path: Path) -> None:
    unpriced = AttemptFinished(
        "x/y",
        "anyone",
        "failed",
        "it broke",
        0,
        None,
        0.1,
        Usage(5, 1, estimated=True),
        None,
        "upstream_error",
    )
    record = booked(tmp_path, saying(unpriced, LARGE)).record
    assert (record.cost, record.estimated, record.input) == (None, True, 105)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NoModelFits("nobody"), 422, "no_model_fits"),
        (BadRequest("gone", status=418), 418, "bad_request"),
        (UpstreamUnreachable("down"), 502, "upstream_unreachable"),
        (asyncio.CancelledError(), 499, "cancelled"),
        (ZeroDivisionError(), 500, "internal_error"),
    ],
)
def test_a_request_that_fails_is_written_with_what_was_spent(
    tmp_path: Path,
    error: BaseException,
    status: int,
    code: str,
) -> None:
    found = booked(tmp_path, saying(SMALL, error=error))
    assert (found.record.status, found.record.error, found.record.model) == (status, code, "")
    assert (len(found.attempts), found.record.output) == (1, 40)


async def test_a_client_that_leaves_in_mid_stream_is_booked_before_its_task_ends(tmp_path: Path) -> None:
    spoke = asyncio.Event()

    async def answer(request: Request, send: Send) -> Reply:
        try:
            await send(ModelSelected("here/small", "cheapest", 1))
            await send(TextDelta(0, "hel"))
            spoke.set()
            await asyncio.Event().wait()
        finally:
            await send(
                AttemptFinished(
                    "here/small",
                    "machine",
                    "cancelled",
                    "cheapest",
                    0,
                    0.1,
                    0.2,
                    Usage(9, 1, estimated=True),
                    0,
                ),
            )
        return REPLY

    with open_services(tmp_path) as services:
        recorded = RecordingMiddleware(
            answer,
            write=services.records.enqueue,
            metrics=Metrics(services.records.queue_counts),
            record_ids=services.records.ids,
        )
        task = asyncio.create_task(recorded(ask(), discard_events))
        await spoke.wait()
        task.cancel()
        await asyncio.wait([task])
        (found,) = await services.records.find_by_trace(TRACE)
    assert (found.record.status, found.record.error, found.record.model) == (499, "cancelled", "here/small")
    assert (found.record.estimated, found.attempts[0].result) == (True, "cancelled")


def test_events_pass_through_unchanged_and_in_order(tmp_path: Path) -> None:
    events: list[Event] = [
        ModelSelected("a/b", "w", 1),
        TextDelta(0, "x"),
        ToolDelta(0, 0, "id", "f", "{}"),
        ChoiceFinished(0, "stop"),
        LARGE,
    ]
    seen: list[Event] = []

    async def send(event: Event) -> None:
        seen.append(event)

    booked(tmp_path, saying(*events), send=send)
    assert seen == events


def test_the_time_to_the_first_word_is_that_of_the_reply_when_nothing_was_streamed(tmp_path: Path) -> None:
    assert booked(tmp_path, saying(ModelSelected("there/large", "w", 1), LARGE)).record.first_ms == 200.0


def test_nothing_of_a_prompt_or_a_reply_is_stored(tmp_path: Path) -> None:
    booked(
        tmp_path,
        saying(ModelSelected("a/b", "w", 1), TextDelta(0, SECRET), LARGE, reply=Reply((Choice(0, SECRET),), Usage())),
    )
    assert not [path for path in tmp_path.iterdir() if SECRET.encode() in path.read_bytes()]


def test_a_long_model_name_is_cut_and_an_embedding_request_is_written_too(tmp_path: Path) -> None:
    record = booked(tmp_path, saying(LARGE), ask(EmbeddingRequest("m" * 100_000, ["x"], {}))).record
    assert (record.asked, record.stream, record.policy) == ("m" * 200, False, "m" * 200)


def test_the_data_class_is_the_stricter_of_request_and_key(tmp_path: Path) -> None:
    key = Principal(data_class="internal")
    cases: list[tuple[RequestOptions, Principal, str | None]] = [
        (RequestOptions(), Principal(), None),
        (RequestOptions(data_class="public"), key, "internal"),
        (RequestOptions(data_class="confidential"), key, "confidential"),
        (RequestOptions(data_class="public"), Principal(), "public"),
    ]
    for number, (options, principal, expected) in enumerate(cases):
        home = tmp_path / str(number)
        assert booked(home, saying(LARGE), ask(options=options, principal=principal)).record.data_class == expected


async def test_the_last_records_can_be_narrowed_by_model_status_time_and_trace(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        metrics = Metrics(services.records.queue_counts)

        async def one(trace: str, answer: Handler, tenant: str = "local") -> None:
            try:
                await RecordingMiddleware(
                    answer, write=services.records.enqueue, metrics=metrics, record_ids=services.records.ids
                )(
                    Request(CHAT, Principal(tenant), trace, time.perf_counter()),
                    discard_events,
                )
            except NoModelFits:
                pass

        await one("aa" * 16, saying(ModelSelected("here/small", "w", 1)))
        await one("ab" * 16, saying(ModelSelected("there/large", "w", 1)))
        between = time.time_ns() // 1_000_000 + 1
        while time.time_ns() // 1_000_000 <= between:
            await asyncio.sleep(0)
        await one("ac" * 16, saying(error=NoModelFits("nobody")))
        await one("ac" * 16, saying(ModelSelected("here/small", "w", 1)), tenant="other")

        async def traces(wanted: RecordFilter, limit: int = 20) -> list[str]:
            return [record.trace[:2] for record in (await services.records.page(wanted, limit)).rows]

        assert await traces(RecordFilter()) == ["ac", "ab", "aa"], "newest first, one tenant's only"
        assert await traces(RecordFilter(), 2) == ["ac", "ab"]
        assert await traces(RecordFilter(model="here/small")) == ["aa"]
        assert await traces(RecordFilter(status=422)) == ["ac"]
        assert await traces(RecordFilter(since=between)) == ["ac"]
        assert await traces(RecordFilter(trace="ab")) == ["ab"]
        assert await traces(RecordFilter(trace="abc")) == []
        assert await traces(RecordFilter("other")) == ["ac"]
        for wrong in (0, 1_001):
            with pytest.raises(BadRequest, match=repr(wrong)):
                await services.records.page(RecordFilter(), wrong)


async def test_requests_that_share_a_clients_trace_are_all_kept(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        recorded = RecordingMiddleware(
            saying(LARGE),
            write=services.records.enqueue,
            metrics=Metrics(services.records.queue_counts),
            record_ids=services.records.ids,
        )
        await asyncio.gather(*(recorded(ask(), discard_events) for _ in range(50)))
        found = await services.records.find_by_trace(TRACE[:8])
    assert len({whole.record.id for whole in found}) == 50
    assert all(len(whole.attempts) == 1 for whole in found)


def test_a_refusal_of_ours_is_written_with_its_reason_and_an_upstreams_words_are_not(tmp_path: Path) -> None:
    why = "cloud/m is at place 'anyone', and confidential data may go no further than 'machine'"
    refused = booked(tmp_path / "a", saying(error=Forbidden(why))).record
    assert (refused.error, refused.why, refused.model) == ("forbidden", why, "")
    parrot = booked(tmp_path / "b", saying(error=UpstreamRejected(f"cannot read {SECRET!r}"))).record
    assert (parrot.error, parrot.why) == ("upstream_refused", "")


def test_the_class_by_which_it_was_decided_is_written(tmp_path: Path) -> None:
    chosen = ModelSelected("here/small", "w", 1, "default", "confidential")
    assert booked(tmp_path, saying(chosen, SMALL)).record.data_class == "confidential"
