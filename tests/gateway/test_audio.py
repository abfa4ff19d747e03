"""The openai SDK's `audio` through the front door: speech, transcripts and translations, streams and forms."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.fakes.media_upstream import AUDIO, TEXT, MediaUpstream
from tests.gateway.media_server import FILE, events, form, post, record_of, sdk, settings, transcribe
from tests.gateway.server_harness import SECRET, beside
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, serving, until

SPEECH, TRANSCRIPTS, TRANSLATIONS = "/v1/audio/speech", "/v1/audio/transcriptions", "/v1/audio/translations"
MAIL = "anna@example.org"
PICO = 10**12


@pytest.fixture(scope="module")
def upstream() -> Iterator[MediaUpstream]:
    with beside(MediaUpstream) as up:
        yield up


@pytest.fixture(scope="module")
def server(upstream: MediaUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("audio"), settings(upstream.url), UPSTREAM_KEY=SECRET) as served:
        yield served
        said = "".join(served.said)
        assert "Traceback" not in said and SECRET not in said and MAIL not in said


@pytest.fixture(scope="module")
def masking(upstream: MediaUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Leaks of replies are masked, and slow clients are refused soon."""
    more = 'min_body_bytes_per_s = 1_000_000\nbody_timeout_s = 1\n[guardrails]\nleakage = "mask"'
    with serving(tmp_path_factory.mktemp("masking"), settings(upstream.url, more), UPSTREAM_KEY=SECRET) as served:
        yield served
        assert "Traceback" not in "".join(served.said)


# ---- speech


def test_speech_is_the_provider_s_audio_with_a_record_by_the_character(server: Served, upstream: MediaUpstream) -> None:
    with sdk(server) as client:
        made = client.audio.speech.with_raw_response.create(model="up/voice", voice="alloy", input="Hello there")
    assert made.content == AUDIO and made.headers["content-type"] == "audio/mpeg"
    assert upstream.received.paths[-1] == "/audio/speech"
    assert upstream.received.bodies[-1] == {"model": "voice", "input": "Hello there", "voice": "alloy"}
    assert upstream.received.headers[-1]["authorization"] == f"Bearer {SECRET}"
    assert made.headers["x-sizewise-model"] == "up/voice"
    record = record_of(server, made)
    assert (record["door"], record["model"], record["status"]) == ("audio", "up/voice", 200)
    assert (record["characters"], record["audio_ms"], record["cost"]) == (11, None, 11 * 15 * PICO // 1_000_000)


def test_speech_streams_as_it_comes(server: Served) -> None:
    with (
        sdk(server) as client,
        client.audio.speech.with_streaming_response.create(model="up/voice", voice="a", input="Hi") as made,
    ):
        pieces = list(made.iter_bytes(1000))
    assert b"".join(pieces) == AUDIO and len(pieces) > 50


def test_speech_as_events_keeps_the_provider_s(server: Served) -> None:
    answer = server.ask(SPEECH, {"model": "up/voice", "input": "Hello", "voice": "a", "stream_format": "sse"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    assert [event["type"] for event in events(answer)] == [
        "speech.audio.delta",
        "speech.audio.delta",
        "speech.audio.done",
    ]
    assert record_of(server, answer)["input"] == 14


def test_speech_that_breaks_off_is_no_whole_answer(server: Served) -> None:
    assert server.ask(SPEECH, {"model": "up/cut-speech", "input": "Hello", "voice": "a"}).cut


def test_a_page_is_no_audio(server: Served) -> None:
    answer = server.ask(SPEECH, {"model": "up/page", "input": "Hello", "voice": "a"})
    assert (answer.status, answer.error["code"]) == (502, "upstream_garbled")


def test_personal_data_is_spoken_by_a_near_model_and_by_no_distant_one(server: Served, upstream: MediaUpstream) -> None:
    already = len(upstream.received.bodies)
    answer = server.ask(SPEECH, {"model": "up/voice", "input": f"Write to {MAIL}", "voice": "a"})
    assert (answer.status, answer.error["code"]) == (400, "guard_blocked") and "EMAIL" in answer.error["message"]
    assert len(upstream.received.bodies) == already and MAIL not in answer.error["message"]
    assert server.ask(SPEECH, {"model": "near/voice", "input": f"Write to {MAIL}", "voice": "a"}).body == AUDIO
    assert upstream.received.bodies[-1]["input"] == f"Write to {MAIL}"


def test_an_unknown_price_is_said(server: Served) -> None:
    answer = server.ask(SPEECH, {"model": "up/dear-voice", "input": "Hello", "voice": "a"})
    assert answer.status == 200 and record_of(server, answer)["cost"] is None


# ---- transcripts


def test_a_transcript_costs_by_the_second(server: Served, upstream: MediaUpstream) -> None:
    with sdk(server) as client:
        made = client.audio.transcriptions.with_raw_response.create(
            model="up/ear", file=("Anna's call.mp3", FILE), language="en", temperature=0.2
        )
    assert made.parse().text == TEXT
    sent = upstream.uploads[-1]
    assert sent.path == "/audio/transcriptions" and int(sent.headers["content-length"]) == len(sent.body)
    assert sent.fields() == {
        "model": ["ear"], "language": ["en"], "temperature": ["0.2"], "file": [f'"audio.mp3":{len(FILE)}'],
    }  # fmt: skip
    record = record_of(server, made)
    assert (record["door"], record["audio_ms"], record["cost"]) == ("audio", 12_000, 12 * PICO // 10_000)
    assert made.headers["x-sizewise-cost-usd"] == "0.0012"


@pytest.mark.parametrize("kind", ["text", "srt", "vtt"])
def test_a_transcript_in_plain_text_passes_as_it_is(server: Served, kind: str) -> None:
    with sdk(server) as client:
        made: Any = client.audio.transcriptions.create(model="up/ear", file=("a.mp3", FILE), response_format=kind)  # type: ignore[call-overload]  # one format at a time
    assert isinstance(made, str) and TEXT in made
    answer = transcribe(server, response_format=kind)
    assert answer.headers["content-type"].startswith("text/vtt" if kind == "vtt" else "text/plain")
    record = record_of(server, answer)
    expected = (None, None) if kind == "text" else (12_340, 12_340 * PICO // 10_000_000)
    assert (record["audio_ms"], record["cost"]) == expected


def test_a_verbose_transcript_has_its_segments_and_its_duration(server: Served) -> None:
    with sdk(server) as client:
        made = client.audio.transcriptions.with_raw_response.create(
            model="up/ear", file=("a.mp3", FILE), response_format="verbose_json", timestamp_granularities=["word"]
        )
    said = made.parse()
    assert said.segments is not None and said.segments[0].text == TEXT and said.words is not None
    assert record_of(server, made)["audio_ms"] == 12_340


def test_a_translation_goes_to_its_own_endpoint(server: Served, upstream: MediaUpstream) -> None:
    with sdk(server) as client:
        assert client.audio.translations.create(model="up/ear", file=("a.mp3", FILE)).text == TEXT
    assert upstream.uploads[-1].path == "/audio/translations"


def test_a_transcript_streams_its_words(server: Served) -> None:
    with sdk(server) as client:
        made = client.audio.transcriptions.create(model="up/ear", file=("a.mp3", FILE), stream=True)
        heard = list(made)
    assert [event.type for event in heard] == ["transcript.text.delta"] * 4 + ["transcript.text.done"]
    assert heard[-1].text == TEXT  # type: ignore[union-attr]  # the last event
    answer = transcribe(server, stream="true")
    record = record_of(server, answer)
    assert (record["input"], record["output"], record["audio_ms"], record["cost"]) == (14, 45, None, None)


def test_a_provider_that_does_not_stream_answers_a_stream_all_the_same(server: Served) -> None:
    answer = transcribe(server, model="up/whole", stream="true")
    assert [event["type"] for event in events(answer)] == ["transcript.text.delta", "transcript.text.done"]


def test_a_transcript_that_breaks_off_ends_with_an_error_and_is_cut(server: Served) -> None:
    answer = transcribe(server, model="up/cut-transcript", stream="true")
    assert answer.cut and events(answer)[-1]["error"]["code"] == "stream_interrupted"


@pytest.mark.parametrize("model", ["up/uncounted", "up/dear-ear"])
def test_an_uncounted_or_unpriced_transcript_has_an_unknown_cost(server: Served, model: str) -> None:
    answer = transcribe(server, model=model)
    assert answer.headers["x-sizewise-cost-usd"] == "unknown" and record_of(server, answer)["cost"] is None


def test_the_hint_is_masked_on_its_way(server: Served, upstream: MediaUpstream) -> None:
    transcribe(server, prompt=f"A call with {MAIL}")
    assert upstream.uploads[-1].fields()["prompt"] == ["A call with <EMAIL_1>"]
    transcribe(server, prompt=f"A call with {MAIL}", model="near/ear")
    assert upstream.uploads[-1].fields()["prompt"] == [f"A call with {MAIL}"]


@pytest.mark.parametrize(
    "asked",
    [{}, {"response_format": "verbose_json"}, {"response_format": "text"}, {"response_format": "srt"},
     {"stream": "true"}, {"stream": "true", "model": "up/whole"}],
    ids=["json", "verbose", "text", "srt", "stream", "a stream that is none"],
)  # fmt: skip
def test_guardrails_read_what_comes_back(masking: Served, asked: dict[str, str]) -> None:
    answer = transcribe(masking, file=FILE, **asked)
    assert answer.status == 200 and b"bob@example.org" not in answer.body and b"[EMAIL]" in answer.body, answer.body
    assert "leakage" in record_of(masking, answer)["guards"]


# ---- uploads


def begin(served: Served, body: bytes, length: int | None) -> http.client.HTTPConnection:
    """Sends the head of a transcription and some of its form."""
    connection = served.connection()
    connection.putrequest("POST", TRANSCRIPTS)
    connection.putheader("authorization", f"Bearer {served.key}")
    connection.putheader("content-type", "multipart/form-data; boundary=b")
    if length is None:
        connection.putheader("transfer-encoding", "chunked")
    else:
        connection.putheader("content-length", str(length))
    connection.endheaders()
    connection.send(body if length is not None else b"%x\r\n%b\r\n" % (len(body), body))
    return connection


def test_a_long_upload_reaches_the_provider_while_it_arrives(server: Served, upstream: MediaUpstream) -> None:
    content = bytes(range(256)) * 20_000
    body = form(("model", "up/ear"), ("file", "a.mp3", content))
    before = len(upstream.uploads)
    connection = begin(server, body[:3_000_000], len(body))
    until(lambda: len(upstream.uploads) > before and len(upstream.uploads[-1].body) > 2_500_000)
    sent = upstream.uploads[-1]
    assert not sent.is_whole and sent.headers["transfer-encoding"] == "chunked"
    connection.send(body[3_000_000:])
    answer = connection.getresponse()
    assert answer.status == 200 and json.loads(answer.read())["text"] == TEXT
    assert sent.is_whole and content in sent.body
    connection.close()


def test_a_client_that_leaves_ends_the_upload_to_the_provider(server: Served, upstream: MediaUpstream) -> None:
    body = form(("model", "up/ear"), ("file", "a.mp3", bytes(5_000_000)))
    before, left = len(upstream.uploads), upstream.disconnected_uploads
    connection = begin(server, body[:2_000_000], len(body))
    until(lambda: len(upstream.uploads) > before)
    connection.close()
    until(lambda: upstream.disconnected_uploads > left)
    assert not upstream.uploads[-1].is_whole


def test_a_field_after_a_long_file_is_refused_and_no_whole_form_is_sent(
    server: Served, upstream: MediaUpstream
) -> None:
    body = form(("model", "up/ear"), ("file", "a.mp3", bytes(3_000_000)), ("language", "en"))
    answer = post(server, TRANSCRIPTS, body)
    assert (answer.status, answer.error["param"]) == (400, "language") and "before the file" in answer.error["hint"]
    assert not upstream.uploads[-1].is_whole


def test_a_form_may_begin_with_a_file_that_is_held(server: Served) -> None:
    first = form(("file", "a.mp3", bytes(1_500_000)), ("model", "up/ear"))
    assert post(server, TRANSCRIPTS, first).status == 200
    answer = post(server, TRANSCRIPTS, form(("file", "a.mp3", bytes(3_000_000)), ("model", "up/ear")))
    assert (answer.status, answer.error["code"], answer.error["param"]) == (413, "body_too_large", "file")
    assert "before the file" in answer.error["hint"]


@pytest.mark.parametrize("declared", [True, False], ids=["by its length", "by what arrives"])
def test_too_large_an_upload_is_refused(server: Served, declared: bool) -> None:
    body = form(("model", "up/ear"), ("file", "a.mp3", bytes(6_500_000)))
    if declared:
        answer = post(server, TRANSCRIPTS, body)
        assert (answer.status, answer.error["code"]) == (413, "body_too_large")
        assert "max_upload_bytes" in answer.error["hint"]
        return
    connection = begin(server, body, None)
    connection.send(b"0\r\n\r\n")
    said = connection.getresponse()
    assert said.status == 413 and "max_upload_bytes" in json.loads(said.read())["error"]["hint"]
    connection.close()


def test_a_trickling_upload_is_refused(masking: Served) -> None:
    connection = begin(masking, form(("model", "up/ear"), ("file", "a.mp3", FILE))[:200], 5_000)
    answer = connection.getresponse()
    assert answer.status == 408 and json.loads(answer.read())["error"]["code"] == "body_too_slow"
    connection.close()


def test_an_answer_before_the_end_of_the_upload_is_passed_on(server: Served, upstream: MediaUpstream) -> None:
    upstream.refuses_early = True
    try:
        answer = transcribe(server, file=bytes(4_000_000))
        assert (answer.status, answer.error["code"]) == (413, "upstream_refused") and "no room" in answer.error[
            "message"
        ]
    finally:
        upstream.refuses_early = False
    assert transcribe(server).status == 200


BAD: list[tuple[str, bytes, str, int, str | None]] = [
    ("no file", form(("model", "up/ear")), "", 400, "file"),
    ("no model", form(("file", "a.mp3", FILE)), "", 400, "model"),
    ("an empty model", form(("model", " "), ("file", "a.mp3", FILE)), "", 400, "model"),
    ("an empty file", form(("model", "up/ear"), ("file", "a.mp3", b"")), "", 400, "file"),
    ("two files", form(("model", "up/ear"), ("file", "a.mp3", FILE), ("file", "b.mp3", FILE)), "", 400, "file"),
    ("a text file", form(("model", "up/ear"), ("file", "a.txt", FILE, "text/plain")), "", 400, "file"),
    ("a picture", form(("model", "up/ear"), ("file", "a.png", FILE, "image/png")), "", 400, "file"),
    ("a file in a field", form(("model", "up/ear"), ("file", "text")), "", 400, "file"),
    ("a model that is not there", form(("model", "nonsense"), ("file", "a.mp3", FILE)), "", 404, "model"),
    ("a chat model", form(("model", "echo/small"), ("file", "a.mp3", FILE)), "", 400, "model"),
    ("a speech model", form(("model", "up/voice"), ("file", "a.mp3", FILE)), "", 400, "model"),
    ("auto among several", form(("model", "auto"), ("file", "a.mp3", FILE)), "", 404, "model"),
    ("a stream that is no word for one", form(("model", "up/ear"), ("stream", "maybe"), ("file", "a.mp3", FILE)), "",
     400, "stream"),
    ("speakers in a stream", form(("model", "up/ear"), ("stream", "true"), ("response_format", "diarized_json"),
                                  ("file", "a.mp3", FILE)), "", 400, "stream"),
    ("bytes that are no text", form(("model", "up/ear")).replace(b"up/ear", b"\xff\xfe"), "", 400, "model"),
    ("options that are none", form(("model", "up/ear"), ("sizewise", "{"), ("file", "a.mp3", FILE)), "", 400,
     "sizewise"),
    ("json", b'{"model": "up/ear"}', "application/json", 400, None),
    ("no boundary", form(("model", "up/ear")), "multipart/form-data", 400, None),
    ("half a form", form(("model", "up/ear"), ("file", "a.mp3", FILE))[:-8], "", 400, None),
    ("nothing", b"", "", 400, None),
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind", "status", "param"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_form_is_refused_by_name(
    server: Served, upstream: MediaUpstream, body: bytes, kind: str, status: int, param: str | None
) -> None:
    before = len(upstream.uploads)
    answer = post(server, TRANSCRIPTS, body, **({"content_type": kind} if kind else {}))
    assert (answer.status, answer.error["param"]) == (status, param), answer.error
    assert answer.error["hint"] and len(answer.headers["x-request-id"]) == 32 and len(upstream.uploads) == before


@pytest.mark.parametrize(
    ("body", "param"),
    [({"model": "up/voice"}, None), ({"input": "Hi"}, None), ({"model": "up/voice", "input": ""}, "input"),
     ({"model": "up/voice", "input": "Hi", "stream_format": "ogg"}, "stream_format")],
    ids=["no input", "no model", "an empty input", "an unknown stream"],
)  # fmt: skip
def test_a_bad_speech_is_refused_by_name(server: Served, body: dict[str, str], param: str | None) -> None:
    answer = server.ask(SPEECH, body)
    assert (answer.status, answer.error["param"]) == (400, param), answer.error
    assert param or next(iter({"model", "input"} - set(body))) in answer.error["message"]


# ---- what holds at every endpoint


def test_errors_of_a_provider_are_as_those_of_a_chat(server: Served, upstream: MediaUpstream) -> None:
    with sdk(server) as client, pytest.raises(openai.APIStatusError) as caught:
        client.audio.transcriptions.create(model="up/locked", file=("a.mp3", FILE))
    assert caught.value.status_code == 502 and SECRET not in str(caught.value)
    busy = transcribe(server, model="up/busy")
    assert busy.error["code"] == "upstream_busy" and busy.headers["retry-after"] == "7"
    before = len(upstream.uploads)
    long = transcribe(server, model="up/busy", file=bytes(3_000_000))
    assert long.status in (429, 503) and len(upstream.uploads) <= before + 1


def test_a_key_is_confined_in_endpoints_and_models(server: Served) -> None:
    create = 'mutation($e: [String!], $m: [String!]) { createKey(name: "t", endpoints: $e, models: $m) { secret } }'

    def secret(endpoints: list[str], models: list[str]) -> str:
        return str(graphql(server, create, e=endpoints, m=models).data["createKey"]["secret"])

    body = {"model": "up/voice", "input": "Hello", "voice": "a"}
    sound, chat, other = secret(["audio"], []), secret(["chat"], []), secret([], ["up/ear"])
    assert [server.ask(SPEECH, body, key=key).status for key in (sound, chat, other)] == [200, 403, 403]
    assert post(server, TRANSCRIPTS, form(("model", "up/ear"), ("file", "a.mp3", FILE)), key=other).status == 200
    assert post(server, TRANSCRIPTS, b"", key=None).status == 401


def test_a_budget_holds_before_the_call(server: Served, upstream: MediaUpstream) -> None:
    made = graphql(server, 'mutation { createKey(name: "poor", endpoints: ["audio"]) { secret } }')
    key = str(made.data["createKey"]["secret"])
    limit = 'mutation($s: String!) { setBudget(scope: $s, usdPerDay: "0.001") { scope } }'
    assert graphql(server, limit, s=f"key:{key[:11]}").errors == []
    body = {"model": "up/voice", "voice": "a"}
    assert server.ask(SPEECH, {**body, "input": "x" * 50}, key=key).status == 200
    already = len(upstream.received.bodies)
    answer = server.ask(SPEECH, {**body, "input": "x" * 100}, key=key)
    assert (answer.status, answer.error["code"]) == (402, "over_budget")
    unpriced = server.ask(SPEECH, {**body, "model": "up/dear-voice", "input": "x"}, key=key)
    assert unpriced.status == 402 and "unknown" in unpriced.error["message"]
    assert len(upstream.received.bodies) == already


def test_a_request_may_cost_no_more_than_it_says(server: Served) -> None:
    body = {"model": "up/voice", "input": "x" * 100, "voice": "a"}
    assert server.ask(SPEECH, {**body, "sizewise": {"max_cost_usd": "0.0015"}}).status == 200
    assert server.ask(SPEECH, {**body, "sizewise": {"max_cost_usd": "0.0014"}}).status == 402
    free = form(("model", "up/ear"), ("sizewise", '{"max_cost_usd": "0"}'), ("file", "a.mp3", FILE))
    assert post(server, TRANSCRIPTS, free).status == 402


def test_confidential_audio_stays_within_its_reach(server: Served, upstream: MediaUpstream) -> None:
    before = len(upstream.uploads)
    body = form(("model", "up/ear"), ("file", "a.mp3", FILE))
    answer = post(server, TRANSCRIPTS, body, x_sizewise_data_class="confidential")
    assert (answer.status, answer.error["code"]) == (403, "forbidden") and len(upstream.uploads) == before
    near = form(("model", "near/ear"), ("file", "a.mp3", FILE))
    assert post(server, TRANSCRIPTS, near, x_sizewise_data_class="confidential").status == 200


def test_an_idempotency_key_belongs_to_one_text_and_to_one_file(server: Served, upstream: MediaUpstream) -> None:
    body = {"model": "up/voice", "voice": "a", "input": "Once"}
    already = len(upstream.received.bodies)
    first, again = (server.ask(SPEECH, body, idempotency_key="s1") for _ in range(2))
    assert first.body == again.body == AUDIO and len(upstream.received.bodies) == already + 1
    assert server.ask(SPEECH, {**body, "input": "Twice"}, idempotency_key="s1").status == 409
    before = len(upstream.uploads)
    forms = [form(("model", "up/ear"), ("file", "a.mp3", content)) for content in (FILE, FILE, FILE + b"x")]
    asked = [post(server, TRANSCRIPTS, each, idempotency_key="t1") for each in forms]
    assert [answer.status for answer in asked] == [200, 200, 409] and len(upstream.uploads) == before + 1


def test_a_model_that_speaks_answers_no_chat_and_is_listed(server: Served) -> None:
    answer = server.chat("up/voice")
    assert answer.status == 400 and "speech model" in answer.error["message"]
    assert server.chat("auto").headers["x-sizewise-model"] == "echo/small"
    assert "up/voice" in {each["id"] for each in server.ask("/v1/models", method="GET").json["data"]}  # type: ignore[index]  # an object


def test_records_show_the_units(server: Served) -> None:
    trace = transcribe(server).headers["x-sizewise-trace"]
    asked = """query($t: String!) {
        records(filter: {trace: $t}) { rows { endpoint audioSeconds characters images costUsd } } }"""
    until(lambda: graphql(server, asked, t=trace).data["records"]["rows"])
    (shown,) = graphql(server, asked, t=trace).data["records"]["rows"]
    assert shown == {"endpoint": "audio", "audioSeconds": 12.0, "characters": None, "images": None, "costUsd": "0.0012"}
