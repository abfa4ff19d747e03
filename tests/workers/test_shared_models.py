"""Two workers share one process of an embedded model; it may be killed, and the store process that started it too."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running_server import Answer, Served, children, serving, until
from tests.workers.processes import at_once, kill

pytestmark = pytest.mark.long

MODEL = "local/smollm2-135m"
SETTINGS = """
[server]
workers = 2
discover = false
[local]
context = 512
slots = 2
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large"]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, smollm_gguf: Path) -> Iterator[Served]:
    cache = tmp_path_factory.mktemp("cache")
    (cache / "models").mkdir()
    (cache / "models" / smollm_gguf.name).symlink_to(smollm_gguf)
    with serving(tmp_path_factory.mktemp("models"), SETTINGS, SIZEWISE_CACHE=str(cache)) as served:
        until(lambda: say(served).status == 200)
        yield served


def say(server: Served, model: str = MODEL, **more: object) -> Answer:
    body = {"model": model, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4, **more}
    return server.ask("/v1/chat/completions", body, timeout=120)


def model_processes(server: Served) -> list[int]:
    found = []
    for pid in children(server.process.pid):
        try:
            if b"llamacpp_worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


def test_workers_share_one_process_of_a_model(server: Served) -> None:
    answers = at_once(lambda n: say(server, stream=n % 2 == 1), 12)
    assert {each.status for each in answers} == {200}
    assert not any(each.cut for each in answers)
    assert len(model_processes(server)) == 1


def test_a_model_whose_process_is_killed_is_there_again_and_nothing_else_is_disturbed(server: Served) -> None:
    for _ in range(3):
        os.kill(model_processes(server)[0], signal.SIGKILL)
        assert {each.status for each in at_once(lambda n: say(server, "echo/small"), 6)} == {200}
        until(lambda: say(server).status == 200, 120)
        until(lambda: len(model_processes(server)) == 1)


def test_a_model_is_there_again_after_the_store_process_was_killed(server: Served) -> None:
    for _ in range(3):
        kill(server, "store")
        until(lambda: say(server).status == 200, 120)
        until(lambda: len(model_processes(server)) == 1)
    until(lambda: {each.status for each in at_once(lambda n: say(server), 6)} == {200}, 120)  # the other worker too
