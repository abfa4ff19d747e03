"""A real small model behind a real server: it answers, side by side, stops with its client and outlives its worker."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import openai
import pytest

from tests.forked import command
from tests.running_server import Answer, Served, children, environment, serving, until

LOCAL = """
[server]
discover = false
[local]
slots = 2
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, smollm_gguf: Path) -> Iterator[Served]:
    """A server whose only model is the 135M."""
    home = tmp_path_factory.mktemp("small")
    with serving(home, LOCAL, SIZEWISE_CACHE=str(only(smollm_gguf, home / "cache"))) as served:
        yield served


def only(weights: Path, cache: Path) -> Path:
    """A cache that holds these weights and no others."""
    (cache / "models").mkdir(parents=True)
    (cache / "models" / weights.name).symlink_to(weights)
    return cache


def worker(served: Served) -> int:
    """Waits for it: a model that nobody has asked yet may still be starting."""

    def workers() -> list[int]:
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in children(served.process.pid)}
        return [pid for pid, words in commands.items() if "worker" in words]

    until(workers)
    (found,) = workers()
    return found


def words(answer: Answer) -> str:
    body = answer.json
    assert isinstance(body, dict)
    said: str = body["choices"][0]["message"]["content"]
    return said.strip()


def client(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0)


@pytest.mark.long
def test_auto_with_one_model_is_that_model_and_says_so(small: Served) -> None:
    answer = small.chat("auto", "What is the capital of France?", temperature=0, max_tokens=20)
    assert answer.status == 200
    assert answer.headers["x-sizewise-model"] == "local/smollm2-135m"
    assert answer.headers["x-sizewise-why"] == "auto is the only configured model"
    assert words(answer)


@pytest.mark.long
def test_the_official_sdk_streams_words_usage_and_log_probabilities(small: Served) -> None:
    stream = client(small).chat.completions.create(
        model="small",
        messages=[{"role": "user", "content": "Count to five."}],
        stream=True,
        stream_options={"include_usage": True},
        temperature=0,
        seed=7,
        max_tokens=16,
        logprobs=True,
        top_logprobs=2,
    )
    chunks = list(stream)
    assert chunks[-1].usage is not None and 0 < chunks[-1].usage.completion_tokens <= 16
    spoken = [c for c in chunks if c.choices and c.choices[0].delta.content]
    assert len(spoken) > 3
    first = spoken[0].choices[0].logprobs
    assert first is not None and first.content and len(first.content[0].top_logprobs) == 2


@pytest.mark.long
def test_greedy_answers_are_the_same_alone_and_in_company(small: Served) -> None:
    def ask(into: list[str]) -> None:
        into.append(words(small.chat("small", "Name three colours.", temperature=0, max_tokens=24)))

    alone: list[str] = []
    ask(alone)
    together: list[str] = []
    threads = [threading.Thread(target=ask, args=(together,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(together) == set(alone) and len(together) == 4


@pytest.mark.long
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_reply_that_repeats_itself_without_end_is_cut_off(small: Served, stream: bool) -> None:
    """Without a limit of the client's; with one it is the client's."""
    smile = "Write \U0001f60a without end: " + "\U0001f60a" * 10
    if stream:
        chunks = client(small).chat.completions.create(
            model="small", messages=[{"role": "user", "content": smile}], temperature=0, stream=True
        )
        finishes = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
        assert finishes == ["length"]
        return
    body = small.chat("small", smile, temperature=0).json
    assert isinstance(body, dict)
    assert body["choices"][0]["finish_reason"] == "length" and body["usage"]["completion_tokens"] < 1_000
    bounded = small.chat("small", smile, temperature=0, max_tokens=300).json
    assert isinstance(bounded, dict) and bounded["usage"]["completion_tokens"] == 300


@pytest.mark.long
def test_requests_run_side_by_side(small: Served) -> None:
    """The second answer begins while the first is still being written."""
    began: list[float] = []
    ended: list[float] = []

    def ask() -> None:
        stream = client(small).chat.completions.create(
            model="small",
            messages=[{"role": "user", "content": "Write a long story about the sea."}],
            stream=True,
            max_tokens=60,
        )
        next(iter(stream))
        began.append(time.monotonic())
        list(stream)
        ended.append(time.monotonic())

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert max(began) < min(ended)


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="skipped: counts CPU time by Linux's /proc")


@pytest.mark.long
@linux
def test_a_client_that_leaves_in_mid_prompt_stops_the_model(small: Served) -> None:
    """A prompt of about 4,000 tokens; the worker may use at most 300 ms of CPU after the client has hung up."""
    busy = worker(small)
    body = json.dumps({"model": "small", "messages": [{"role": "user", "content": "the sea and the sky " * 800}]})
    parts = urlsplit(small.url)
    with socket.create_connection((parts.hostname, parts.port)) as line:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {small.key}\r\n"
        line.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        idle = cpu_of(busy)
        until(lambda: cpu_of(busy) > idle + 0.8)  # in the middle of it
    left = cpu_of(busy)
    settled = [left]

    def still() -> bool:
        time.sleep(0.25)  # the interval over which it must have used nothing
        settled.append(cpu_of(busy))
        return settled[-1] - settled[-2] < 0.02

    until(still)
    assert settled[-1] - left <= 0.3 + 0.02  # and two ticks of the clock that counts


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_prompt_too_long_names_the_models_limit(small: Served) -> None:
    answer = small.chat("small", "word " * 9_000)
    assert answer.status == 400 and answer.error["code"] == "context_length_exceeded"
    assert "8192" in answer.error["message"].replace(",", "")


@linux
def test_a_worker_that_is_killed_is_started_again(small: Served) -> None:
    os.kill(worker(small), signal.SIGKILL)
    until(lambda: small.chat("small", "Hi", max_tokens=4).status == 200, 30)
    assert small.process.poll() is None


def test_a_model_that_does_not_fit_is_refused_with_the_numbers(tmp_path: Path, smollm_gguf: Path) -> None:
    cache = str(only(smollm_gguf, tmp_path / "cache"))
    config = "[server]\ndiscover = false\n[local]\nslots = 256\ncontext = 8192\n"
    with serving(tmp_path, config, SIZEWISE_CACHE=cache) as served:
        answer = served.chat("small", "Hi")
        assert answer.status == 503 and answer.error["code"] == "model_unavailable"
        assert "GB" in answer.error["message"] and answer.error["hint"]


@pytest.mark.long
def test_the_users_own_file_is_a_model_like_any_other(tmp_path: Path, smollm_gguf: Path) -> None:

    own = tmp_path / "mine.gguf"
    own.symlink_to(smollm_gguf)
    home = tmp_path / "home"
    env = environment(SIZEWISE_HOME=str(home), SIZEWISE_CACHE=str(tmp_path / "cache"))
    done = subprocess.run(command("models", "add", str(own), "--name", "mine"), env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with serving(home, LOCAL, SIZEWISE_CACHE=str(tmp_path / "cache")) as served:
        answer = served.chat("local/mine", "What is the capital of France?", temperature=0, max_tokens=20)
        assert answer.status == 200 and words(answer)
