"""A gateway that bends and does not break: deadlines, retries, replicas, breakers, hedges, lines, on real sockets."""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sizewise.testing.upstream import FakeOpenAI
from tests.gateway.server_harness import CHAT, Line, booked, closed_port, misbehaving, question, words
from tests.running_server import ECHO, Answer, Served, serving, until

MESSAGES = "/v1/messages"
ENDPOINTS = (CHAT, MESSAGES)


@pytest.fixture(scope="module")
def bad() -> Iterator[FakeOpenAI]:
    with misbehaving() as up:
        yield up


def provider(name: str, url: str, *models: str, more: str = "") -> str:
    """A provider on this machine; each test has its own, for each has its own pulse."""
    return f'[providers.{name}]\nbase_url = "{url}"\nplace = "machine"\nmodels = {json.dumps(models)}\n{more}\n'


def ask(served: Served, endpoint: str, model: str, text: str = "Hello there", **more: object) -> Answer:
    body = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": text}], **more}
    return served.ask(endpoint, body)


def code(answer: Answer) -> str:
    """Our code, whichever endpoint's shape the error has."""
    error: dict[str, Any] = answer.error
    return str(error.get("code") or error["type"])


def said(answer: Answer) -> str:
    """The words of a streamed answer of either endpoint."""
    events = [json.loads(line[6:]) for line in answer.body.decode().splitlines() if line.startswith("data: {")]
    if any("choices" in event for event in events):
        return words([event for event in events if event.get("choices")])
    return "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")


def tries(served: Served, answer: Answer) -> list[tuple[str, str, str]]:
    """Model, result and error of each attempt, as they stand in the books."""
    trace = answer.headers["x-sizewise-trace"]
    until(lambda: booked(served.home, trace))
    return [(each["model"], each["result"], each["error"]) for each in booked(served.home, trace)[0]["tries"]]


def asked(up: FakeOpenAI, model: str) -> int:
    return sum(body["model"] == model for body in up.received.bodies)


def together(*works: Callable[[], Answer]) -> list[Answer]:
    """All at once, each from a client of its own; the answers in the order of `works`."""
    answers: dict[int, Answer] = {}

    def work(number: int) -> None:
        answers[number] = works[number]()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return [answers[number] for number in range(len(works))]


def metric(served: Served, name: str, model: str) -> float:
    for line in served.ask("/metrics").body.decode().splitlines():
        if line.startswith(f'{name}{{model="{model}"}}'):
            return float(line.rpartition(" ")[2])
    return -1.0


# ---- deadlines ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hanging(bad: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with socket.socket() as mute:  # takes connections, and says nothing that a TLS client waits for
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        url = f"https://127.0.0.1:{mute.getsockname()[1]}/v1"
        config = (
            ECHO
            + "[router]\ntimeout_s = 1.0\n[policies.twice]\nkind = 'fixed'\nmodels = ['slow/hang', 'echo/large']\n"
            + provider("mute", url, "m", more="timeouts = {connect_s = 0.2}")
            + provider("first", bad.url, "hang", more="timeouts = {first_byte_s = 0.2}")
            + provider("idle", bad.url, "hang-mid", more="timeouts = {idle_s = 0.2}")
            + provider("slow", bad.url, "hang", "hang-mid")
        )
        with serving(tmp_path_factory.mktemp("hanging"), config) as served:
            yield served


@pytest.mark.long
@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["mute/m", "first/hang", "slow/hang"])
def test_whatever_hangs_before_the_first_word_ends_with_504(
    hanging: Served,
    endpoint: str,
    model: str,
    stream: bool,
) -> None:
    answer = ask(hanging, endpoint, model, stream=stream)
    assert answer.status in (504, 503), answer.body  # 503: it is left alone after three of these
    if answer.status == 503:
        assert "circuit breaker" in answer.error["message"] and int(answer.headers["retry-after"]) > 0


@pytest.mark.long
@pytest.mark.parametrize("model", ["idle/hang-mid", "slow/hang-mid", "echo/small"])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_whatever_hangs_after_the_first_word_ends_with_an_error_event(
    hanging: Served, endpoint: str, model: str
) -> None:
    answer = ask(hanging, endpoint, model, "one two three [[hang after=2]]", stream=True)
    assert answer.status == 200 and said(answer).strip() in ("Hel", "one two")
    assert "stream_interrupted" in answer.body.decode() or "broke off" in answer.body.decode()
    assert b"[DONE]" not in answer.body and b"message_stop" not in answer.body


@pytest.mark.long
def test_the_total_holds_for_models_of_our_own_and_says_how_long_it_was(hanging: Served) -> None:
    answer = ask(hanging, CHAT, "echo/small", "[[hang]]")
    assert (answer.status, code(answer)) == (504, "upstream_timeout")
    assert "within the request's 1 seconds" in answer.error["message"]
    assert tries(hanging, answer) == [("echo/small", "failed", "upstream_timeout")]


def test_when_the_total_is_over_nobody_else_is_asked(hanging: Served) -> None:
    answer = ask(hanging, CHAT, "auto:twice")
    assert (answer.status, code(answer)) == (504, "upstream_timeout"), answer.body
    assert [model for model, _, _ in tries(hanging, answer)] == ["slow/hang"]


def test_the_asker_s_own_deadline_holds_when_it_is_sooner(hanging: Served) -> None:
    answer = hanging.ask(CHAT, json.loads(question("[[hang]]", "echo/large")), x_sizewise_max_ms="200")
    assert (answer.status, code(answer)) == (504, "upstream_timeout")
    assert "0.2 seconds" in answer.error["message"]


# ---- retries --------------------------------------------------------------------------------------------------------

TURNS = """
[policies.stubborn]
kind = "fixed"
models = ["burst/burst"]
retries = 3
[policies.pair]
kind = "fixed"
models = ["burst/burst", "echo/large"]
retries = 3
"""


@pytest.fixture(scope="module")
def retrying(bad: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    names = ("flaky", "dated", "refuses", "hang", "broken", "locked")
    config = ECHO + "".join(
        provider(name, bad.url, name, "well", more="timeouts = {first_byte_s = 0.3}" if name == "hang" else "")
        for name in names
    )
    with serving(tmp_path_factory.mktemp("retrying"), config) as served:
        yield served


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_failure_that_passes_is_not_seen_by_the_client(retrying: Served, endpoint: str, stream: bool) -> None:
    answer = ask(retrying, endpoint, "flaky/flaky", stream=stream)
    assert (answer.status, answer.headers["x-sizewise-attempts"]) == (200, "2"), answer.body
    results = [(result, error) for _, result, error in tries(retrying, answer)]
    assert results == [("failed", "upstream_error"), ("answered", "")]


def test_a_retry_after_that_is_a_date_is_kept_by_the_clock_of_who_said_it(retrying: Served) -> None:
    began = time.monotonic()
    answer = ask(retrying, CHAT, "dated/dated")
    assert (answer.status, answer.headers["x-sizewise-attempts"]) == (200, "2"), answer.body
    assert time.monotonic() - began >= 1.0


@pytest.mark.parametrize("fault", ["refuses", "hang", "locked"])
def test_what_does_not_pass_is_asked_once(retrying: Served, bad: FakeOpenAI, fault: str) -> None:
    before = asked(bad, fault)
    assert ask(retrying, CHAT, f"{fault}/{fault}").status >= 400
    assert asked(bad, fault) == before + 1


def test_a_model_that_keeps_failing_is_left_alone_and_everybody_is_told(retrying: Served, bad: FakeOpenAI) -> None:
    assert ask(retrying, CHAT, "broken/broken").status == 502  # and once more
    assert ask(retrying, CHAT, "broken/broken").status == 502  # the third in a row, which nobody tries again
    before = asked(bad, "broken")
    for endpoint in ENDPOINTS:
        answer = ask(retrying, endpoint, "broken/broken")
        assert answer.status == 503 and 1 <= int(answer.headers["retry-after"]) <= 5
        assert "3 consecutive failures, retry in" in answer.error["message"]
    assert asked(bad, "broken") == before == 3
    assert metric(retrying, "sizewise_model_state", "broken/broken") == 2
    assert metric(retrying, "sizewise_model_state", "broken/well") == 0
    impaired = json.loads(retrying.ask("/readyz", key=None).body)["impaired"]
    assert any("broken/broken has an open circuit breaker" in each for each in impaired)
    assert ask(retrying, CHAT, "broken/well").status == 200


def test_what_cannot_be_reached_is_left_alone_with_all_its_models(tmp_path: Path) -> None:
    config = ECHO + provider("gone", f"http://127.0.0.1:{closed_port()}/v1", "a", "b")
    with serving(tmp_path, config) as served:
        for _ in range(2):
            assert code(ask(served, CHAT, "gone/a")) == "upstream_unreachable"
        answer = ask(served, CHAT, "gone/b")
        assert (answer.status, code(answer)) == (503, "model_unavailable")
        assert int(answer.headers["retry-after"]) > 0 and answer.headers.get("x-sizewise-attempts", "0") == "0"


# ---- replicas -------------------------------------------------------------------------------------------------------


def replicas(*rows: str) -> str:
    return "".join(f"[[providers.up.replicas]]\n{row}\n" for row in rows)


def test_a_key_that_is_told_to_wait_or_refused_is_left_alone_alone_and_the_retry_has_another(
    bad: FakeOpenAI,
    tmp_path: Path,
) -> None:
    rows = replicas('key = "env:BUSY"', 'key = "env:LOCKED"', 'key = "env:FINE"')
    config = ECHO + provider("up", bad.url, "by-key", "well", more='key = "env:NONE_OF_THESE"\n' + rows)
    keys = {"BUSY": "busy", "LOCKED": "locked", "FINE": "sk-fine"}
    with serving(tmp_path, config, **keys) as served:
        came = len(bad.received.headers)
        answers = [ask(served, CHAT, "up/by-key") for _ in range(6)]
        sent = [each["authorization"] for each in bad.received.headers[came:]]
        assert [answer.status for answer in answers] == [200] * 6, answers[0].body
        assert sent.count("Bearer busy") == 1 and sent.count("Bearer locked") == 1
        assert sent.count("Bearer sk-fine") == 6
        assert metric(served, "sizewise_model_state", "up/by-key") == 0
        assert not json.loads(served.ask("/readyz", key=None).body)["impaired"]
        said = "".join(served.said)
        assert "sk-fine" not in said and all(b"sk-fine" not in answer.body for answer in answers)


def test_replicas_share_by_weight_and_no_key_goes_to_another_s_address(bad: FakeOpenAI, tmp_path: Path) -> None:
    with misbehaving() as other, misbehaving() as third:
        rows = replicas(
            "weight = 3",
            f'base_url = "{other.url}"\nkey = "env:OTHER"',
            f'base_url = "{third.url}"\nweight = 2',
        )
        more = 'key = "env:MAIN"\nheaders = {"x-team" = "env:TEAM", "x-plain" = "seen"}\n' + rows
        with serving(
            tmp_path,
            ECHO + provider("up", bad.url, "well", more=more),
            MAIN="sk-main",
            OTHER="sk-other",
            TEAM="sk-team",
        ) as served:
            came = len(bad.received.headers)
            for _ in range(12):
                assert ask(served, CHAT, "up/well").status == 200
            ours = bad.received.headers[came:]
        assert [len(each) for each in (ours, other.received.headers, third.received.headers)] == [6, 2, 4]
        assert {each["authorization"] for each in ours} == {"Bearer sk-main"}
        assert {each["x-team"] for each in ours} == {"sk-team"}
        assert {each["authorization"] for each in other.received.headers} == {"Bearer sk-other"}
        assert all("authorization" not in each for each in third.received.headers)
        assert all("x-team" not in each and each["x-plain"] == "seen" for each in other.received.headers)


def test_one_replica_that_is_gone_is_not_noticed_by_the_client(bad: FakeOpenAI, tmp_path: Path) -> None:
    rows = replicas(f'base_url = "http://127.0.0.1:{closed_port()}/v1"', "")
    with serving(tmp_path, ECHO + provider("up", bad.url, "well", more=rows)) as served:
        answers = [ask(served, CHAT, "up/well", stream=True) for _ in range(10)]
        assert [answer.status for answer in answers] == [200] * 10
        attempts = [int(answer.headers.get("x-sizewise-attempts", "1")) for answer in answers]
        assert sum(attempts) == 13, "three failures, and then it is left alone"


# ---- hedging --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_first_that_is_silent_is_overtaken_and_both_are_booked(bad: FakeOpenAI, tmp_path: Path, stream: bool) -> None:
    config = ECHO + provider("up", bad.url, "hang") + "[policies.hedged]\nkind = 'fixed'\nhedge_delay_s = 0.1\n"
    config += "models = ['up/hang', 'echo/large']\n"
    with serving(tmp_path, config) as served:
        left = bad.received.disconnects
        answer = ask(served, CHAT, "auto:hedged", "good words", stream=stream)
        assert answer.status == 200 and b"good" in answer.body
        assert "sent nothing within 0.1 s" in answer.headers["x-sizewise-why"]
        assert tries(served, answer) == [("up/hang", "lost_race", ""), ("echo/large", "answered", "")]
        until(lambda: bad.received.disconnects == left + 1)


def test_the_only_model_is_hedged_by_another_replica(bad: FakeOpenAI, tmp_path: Path) -> None:
    config = ECHO + provider("up", bad.url, "stuck", more=replicas("", ""))
    config += "[policies.hedged]\nkind = 'cheapest'\nhedge_delay_s = 0.1\nmodels = ['up/stuck', 'echo/large']\n"
    config += "[models.'up/stuck']\ntools = true\n[models.'echo/large']\ntask = 'embed'\n"
    with serving(tmp_path, config) as served:
        answer = ask(served, CHAT, "auto:hedged", stream=True)
        assert answer.status == 200 and said(answer) == "Hello from the upstream."
        assert [result for _, result, _ in tries(served, answer)] == ["lost_race", "answered"]


def test_a_first_that_speaks_in_time_is_not_hedged(bad: FakeOpenAI, tmp_path: Path) -> None:
    config = ECHO + provider("up", bad.url, "well")
    config += "[policies.hedged]\nkind = 'fixed'\nhedge_delay_s = 5\nmodels = ['up/well', 'echo/large']\n"
    with serving(tmp_path, config) as served:
        answer = ask(served, CHAT, "auto:hedged", stream=True)
        assert tries(served, answer) == [("up/well", "answered", "")]


# ---- slots ----------------------------------------------------------------------------------------------------------

SLOTS = f"""{ECHO}
[models."echo/small"]
slots = 1
queue = 1
price = {{input = "1", output = "1"}}
[models."echo/large"]
price = {{input = "9", output = "9"}}
[providers.cloud]
wire = "echo"
place = "anyone"
models = ["huge"]
[models."cloud/huge"]
price = {{input = "99", output = "99"}}
[policies.over]
kind = "cheapest"
models = ["echo/small", "cloud/huge"]
"""


@pytest.fixture(scope="module")
def slotted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("slotted"), SLOTS) as served:
        yield served


class Held:
    """A client whose streamed answer goes on until it leaves."""

    def __init__(self, served: Served, model: str = "echo/small") -> None:
        self.line = Line(served)
        self.line.say(self.line.request(CHAT, question("one two [[hang after=1]]", model, stream=True)))

    def leave(self) -> None:
        self.line.__exit__()


@pytest.fixture
def full(slotted: Served) -> Iterator[Served]:
    """echo/small with its slot and its line taken."""
    held = []
    for name in ("sizewise_slots_busy", "sizewise_slots_queued"):
        held.append(Held(slotted))
        until(lambda name=name: metric(slotted, name, "echo/small") == 1)
    yield slotted
    for each in reversed(held):
        each.leave()
    until(lambda: metric(slotted, "sizewise_slots_busy", "echo/small") == 0)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_full_line_is_429_with_a_time_on_every_endpoint(full: Served, endpoint: str, stream: bool) -> None:
    answer = ask(full, endpoint, "echo/small", stream=stream)
    assert answer.status == 429 and int(answer.headers["retry-after"]) >= 1, answer.body
    assert "all 1 slots" in answer.error["message"] or "1 requests wait" in answer.error["message"]


def test_what_is_too_much_goes_to_another_model_that_the_policy_has(full: Served) -> None:
    answer = ask(full, CHAT, "auto:over", "good words")
    assert (answer.status, answer.headers["x-sizewise-model"]) == (200, "cloud/huge"), answer.body
    assert answer.headers["x-sizewise-why"] == "echo/small failed (busy)"
    assert tries(full, answer) == [("echo/small", "failed", "busy"), ("cloud/huge", "answered", "")]


def test_confidential_data_waits_or_is_refused_but_never_overflows_to_a_cloud(full: Served) -> None:
    answer = full.ask(CHAT, json.loads(question("secret", "auto:over")), x_sizewise_data_class="confidential")
    assert answer.status == 429 and int(answer.headers["retry-after"]) >= 1, answer.body
    assert [model for model, _, _ in tries(full, answer)] == ["echo/small"]


def test_who_waits_is_served_when_a_slot_is_free_and_the_time_can_be_seen(slotted: Served) -> None:
    held = Held(slotted)
    until(lambda: metric(slotted, "sizewise_slots_busy", "echo/small") == 1)
    answers: queue.Queue[Answer] = queue.Queue()
    waits = threading.Thread(target=lambda: answers.put(ask(slotted, CHAT, "echo/small", "at last")))
    waits.start()
    until(lambda: metric(slotted, "sizewise_slots_queued", "echo/small") == 1)
    before = metric(slotted, "sizewise_slots_queue_seconds", "echo/small")
    held.leave()
    answer = answers.get(timeout=60)
    waits.join(60)
    assert answer.status == 200 and b"at last" in answer.body
    assert metric(slotted, "sizewise_slots_queue_seconds", "echo/small") > max(0.0, before)


def test_a_client_that_leaves_the_line_frees_its_place_at_once(full: Served) -> None:
    assert ask(full, CHAT, "echo/small").status == 429
    third = Held(full)
    assert third.line.head()[0] == 429
    third.leave()
    assert metric(full, "sizewise_slots_queued", "echo/small") == 1


# ---- after the first word -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cut(bad: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = ECHO + '[models."echo/small"]\nprice = {input = "0", output = "0"}\nparameters = 1_000\n'
    config += "prefill = true\nlogprobs = true\n"
    for kind in ("fixed", "cheapest", "cascade"):
        config += provider(kind, bad.url, "reset-mid")
        config += f'[models."{kind}/reset-mid"]\nparameters = 1_000_000\nprice = {{input = "0", output = "0"}}\n'
        for name, resume in ((kind, "true"), (f"{kind}-not", "false")):
            # Of equals in price the weaker comes first: the cascade holds and distrusts echo, and then is cut.
            models = ["echo/small", f"{kind}/reset-mid"] if kind == "cascade" else [f"{kind}/reset-mid", "echo/small"]
            config += f'[policies.{name}]\nkind = "{kind}"\nmodels = {json.dumps(models)}\nresume = {resume}\n'
            config += "threshold = 1\n" if kind == "cascade" else ""
    with serving(tmp_path_factory.mktemp("cut"), config) as served:
        yield served


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("kind", ["fixed", "cascade"])
def test_an_answer_that_breaks_off_is_finished_by_another_model_where_the_policy_says_so(
    cut: Served,
    endpoint: str,
    kind: str,
) -> None:
    answer = ask(cut, endpoint, f"auto:{kind}", "Hel lo again [[echo/small: logprob -3]]", stream=True)
    assert answer.status == 200 and said(answer).startswith("Hel") and len(said(answer)) > 3, answer.body
    assert (b"[DONE]" if endpoint == CHAT else b"message_stop") in answer.body
    assert b"error" not in answer.body
    assert [result for _, result, _ in tries(cut, answer)][-2:] == ["failed", "answered"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("kind", ["fixed", "cascade"])
def test_else_it_ends_with_one_error_event(cut: Served, endpoint: str, kind: str) -> None:
    answer = ask(cut, endpoint, f"auto:{kind}-not", "Hel lo again [[echo/small: logprob -3]]", stream=True)
    assert answer.status == 200 and said(answer) == "Hel", answer.body
    assert b"[DONE]" not in answer.body and b"message_stop" not in answer.body
    last = [json.loads(line[6:]) for line in answer.body.decode().splitlines() if line.startswith("data: {")][-1]
    assert last["error"]["message"]


# ---- a model of our own ---------------------------------------------------------------------------------------------


@pytest.mark.long
def test_clients_that_saturate_a_local_model_are_served_or_told_to_come_back(smollm_gguf: Path, tmp_path: Path) -> None:
    config = "[server]\ndiscover = false\n[local]\nslots = 2\n[models.'local/smollm2-135m']\nqueue = 2\n"
    with serving(tmp_path, config) as served:
        chat = {"model": "local/smollm2-135m", "max_tokens": 12, "messages": [{"role": "user", "content": "Hi"}]}
        assert served.ask(CHAT, chat, timeout=60).status == 200
        works = [lambda: served.ask(CHAT, chat, timeout=60) for _ in range(8)]
        answers = together(*works)
        assert {answer.status for answer in answers} <= {200, 429}, [answer.body for answer in answers]
        assert sum(answer.status == 200 for answer in answers) >= 4
        for answer in answers:
            assert answer.status == 200 or int(answer.headers["retry-after"]) >= 1
        two = together(*works[:2])
        assert [answer.status for answer in two] == [200, 200]
