"""More requests than a model takes: a quick 429 that says when to come back, on every endpoint, and no 504."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sizewise.testing.upstream import FakeOpenAI
from tests.cli.terminal import sizewise
from tests.gateway.server_harness import CHAT, Line, beside, misbehaving, question
from tests.running_server import ECHO, Answer, Served, serving, until

SAID = [{"role": "user", "content": "Hello"}]
REQUESTS = {
    "chat": (CHAT, {"model": "up/well", "messages": SAID}),
    "chat, streamed": (CHAT, {"model": "up/well", "messages": SAID, "stream": True}),
    "messages": ("/v1/messages", {"model": "up/well", "max_tokens": 9, "messages": SAID}),
    "messages, streamed": ("/v1/messages", {"model": "up/well", "max_tokens": 9, "messages": SAID, "stream": True}),
    "responses": ("/v1/responses", {"model": "up/well", "input": "Hello"}),
    "responses, streamed": ("/v1/responses", {"model": "up/well", "input": "Hello", "stream": True}),
    "embeddings": ("/v1/embeddings", {"model": "up/vectors", "input": "Hello"}),
}


@pytest.fixture(scope="module")
def bad() -> Iterator[FakeOpenAI]:
    with misbehaving() as up:
        yield up


def settings(url: str, more: str, connect_s: float) -> str:
    models = json.dumps(["well", "hang", "hang-mid", "vectors"])
    rows = f'place = "machine"\nmodels = {models}\ntimeouts = {{connect_s = {connect_s}}}\n{more}'
    return f'{ECHO}[models."up/vectors"]\ntask = "embed"\n[providers.up]\nbase_url = "{url}"\n{rows}'


def held(served: Served, model: str = "up/hang-mid") -> Line:
    """A client in the middle of a streamed answer that goes on until it leaves."""
    line = Line(served)
    line.say(line.request(CHAT, question("Hello", model, stream=True)))
    assert line.head()[0] == 200
    return line


def refused(answer: Answer) -> dict[str, str]:
    assert answer.status == 429, answer.body
    assert int(answer.headers["retry-after"]) >= 1
    return answer.error


def gauge(served: Served, name: str) -> float:
    text = served.ask("/metrics").body.decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


# ---- the connections of a provider


@pytest.fixture(scope="module")
def full(bad: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = settings(bad.url, "max_connections = 2\n", connect_s=0.05)
    with serving(tmp_path_factory.mktemp("full"), config) as served, held(served), held(served):
        yield served


@pytest.mark.parametrize("name", REQUESTS)
def test_all_connections_in_use_is_429_with_a_time(full: Served, name: str) -> None:
    error = refused(full.ask(*REQUESTS[name]))
    assert "all 2 connections to" in error["message"] and "are in use" in error["message"]
    assert error["type"] == "rate_limit_error" and error.get("code", "busy") == "busy"
    assert "max_connections" in json.dumps(error) or name.startswith("messages")


def test_a_full_line_opens_no_circuit_and_costs_nothing(full: Served) -> None:
    for _ in range(5):
        answer = full.ask(*REQUESTS["chat"])
        refused(answer)
        assert answer.headers["x-sizewise-cost-usd"] == "0"
    assert full.ask("/readyz", key=None).json == {"status": "ready", "impaired": []}


def test_a_burst_for_one_connection_is_served_one_after_the_other(bad: FakeOpenAI, tmp_path: Path) -> None:
    with serving(tmp_path, settings(bad.url, "max_connections = 1\n", connect_s=60)) as served:
        first, lines = held(served), [Line(served) for _ in range(64)]
        for line in lines:
            line.say(line.request(CHAT, question("Hello", "up/well")))
        until(lambda: gauge(served, "sizewise_requests_in_flight") == 65)
        first.__exit__()
        assert [line.answer().status for line in lines] == [200] * 64
        for line in lines:
            line.__exit__()


@pytest.mark.long
def test_another_replica_takes_what_one_has_no_connection_for(bad: FakeOpenAI, tmp_path: Path) -> None:
    with beside(FakeOpenAI) as other:
        more = "max_connections = 1\n" + "".join(
            f'[[providers.up.replicas]]\nbase_url = "{url}"\n' for url in (bad.url, other.url)
        )
        with serving(tmp_path, settings(bad.url, more, connect_s=0.5)) as served, held(served):
            free = other if other.received.active_requests == 0 else bad
            before = len(free.received.bodies)
            for _ in range(3):
                assert served.ask(*REQUESTS["chat"]).status == 200
            assert len(free.received.bodies) == before + 3


@pytest.mark.long
def test_a_thousand_streams_at_once_need_no_setting(bad: FakeOpenAI, tmp_path: Path) -> None:
    with serving(tmp_path, settings(bad.url, "", connect_s=60)) as served:
        before = bad.received.active_requests
        lines = [Line(served) for _ in range(600)]
        for line in lines:
            line.say(line.request(CHAT, question("Hello", "up/hang-mid", stream=True)))
        assert {line.head()[0] for line in lines} == {200}
        assert bad.received.active_requests == before + 600
        for line in lines:
            line.__exit__()


# ---- open files


def test_the_limit_of_open_files_is_raised_as_far_as_it_may_be() -> None:
    program = """if True:
        import resource
        from sizewise.process import raise_open_files_limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 900))
        raise_open_files_limit()
        print(resource.getrlimit(resource.RLIMIT_NOFILE))
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "(900, 900)", done.stderr


@pytest.mark.long
def test_doctor_finds_a_limit_of_open_files_that_is_low(tmp_path: Path) -> None:
    limited = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (500, 500)); "
    program = limited + "sys.argv = ['sizewise', 'doctor']; runpy.run_module('sizewise.cli.main', run_name='__main__')"
    env = {**os.environ, "SIZEWISE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert "about 250 concurrent requests" in done.stdout and "LimitNOFILE" in done.stdout, done


def open_files(pid: int) -> set[int]:
    return {int(name) for name in os.listdir(f"/proc/{pid}/fd")}


@pytest.mark.long
def test_without_a_free_file_descriptor_requests_are_429_and_no_circuit_opens(bad: FakeOpenAI, tmp_path: Path) -> None:
    with serving(tmp_path, settings(bad.url, "", connect_s=5)) as served, Line(served) as line:
        line.say(line.request(CHAT, question("Hello", "echo/small")))
        assert line.answer().status == 200
        pid = served.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        assert soft == min(hard, 65_536)
        taken: set[int] = set()
        while taken != (taken := open_files(pid)):  # what the start left open is closed soon
            time.sleep(0.2)
        lowest = next(number for number in range(len(taken) + 1) if number not in taken)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest, hard))
        for _ in range(4):
            line.say(line.request(CHAT, question("Hello", "up/well")))
            assert "no file descriptor left" in refused(line.answer())["message"]
        line.say(line.request(CHAT, question("Hello " * 50_000, "echo/small")))  # scanned in a process
        assert "cannot be started" in refused(line.answer())["message"]
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        line.say(line.request(CHAT, question("Hello", "up/well")))
        assert line.answer().status == 200


# ---- the slots of a model


SLOTS = ECHO + '[models."echo/small"]\nslots = 1\nqueue = 8\n'


@pytest.mark.long
def test_the_line_of_a_model_shows_its_predicted_wait(tmp_path: Path) -> None:
    with serving(tmp_path, SLOTS) as served:
        assert "waiting" not in sizewise("models", home=tmp_path).out
        served.chat("echo/small", "[[slow 0.2]] one")
        with Line(served) as first, Line(served) as second:
            for line in (first, second):
                line.say(line.request(CHAT, question("one two [[hang after=1]]", "echo/small", stream=True)))
            until(lambda: gauge(served, "sizewise_slots_queued") == 1)
            assert gauge(served, "sizewise_slots_predicted_wait_seconds") >= 0.4, "two turns of 0.2 s"
            assert "all slots in use, 1 waiting, about" in sizewise("models", home=tmp_path).out
            (small,) = (
                each
                for each in sizewise("models", "--json", home=tmp_path).json["models"]
                if each["name"] == "echo/small"
            )
            assert small["queue"]["waiting"] == 1 and small["queue"]["predictedWaitS"] >= 0.4


@pytest.mark.long
def test_a_wait_beyond_the_callers_deadline_is_refused_at_once_with_the_wait(tmp_path: Path) -> None:
    """The measured pace is one answer in 2 s: the deadline of 1.8 s is over before a slot is free and after."""
    with serving(tmp_path, SLOTS) as served, Line(served) as line:
        assert served.chat("echo/small", "[[slow 2]] one").status == 200
        line.say(line.request(CHAT, question("one two [[hang after=1]]", "echo/small", stream=True)))
        until(lambda: gauge(served, "sizewise_slots_busy") == 1)
        answer = served.ask(CHAT, {"model": "echo/small", "messages": SAID}, x_sizewise_max_ms="1800")
        # 422 says that the model is too slow for it also without the wait; the message names both times.
        assert answer.status in (422, 429), answer.body
        message = answer.error["message"]
        assert "s of them in its queue" in message or "no free slot for about" in message
