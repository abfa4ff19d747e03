"""Adapters on one model in memory: each answers under its own name, and one for another base is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sizewise.catalog.loader import bundled_models
from sizewise.catalog.user_models import add_adapter
from tests.running_server import Served, children, serving
from tests.tuning.adapter_file import write_adapter

pytestmark = pytest.mark.long
BASE = bundled_models()["smollm2-135m"]
SETTINGS = "[server]\ndiscover = false\n[local]\nslots = 1\ncontext = 2048\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, smollm_gguf: Path) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("adapters")
    for name, base, size in (
        ("same", BASE.weights.sha256, 0.0),
        ("other", BASE.weights.sha256, 0.3),
        ("foreign", "0" * 64, 0.3),
    ):
        file = write_adapter(home / "tuning" / name / "adapter.gguf", base, size)
        asyncio.run(add_adapter(file, BASE, smollm_gguf, home, name))
    with serving(home, SETTINGS) as served:
        yield served


def said(server: Served, model: str) -> str:
    answer = server.chat(model, "What is the capital of France?", temperature=0, max_tokens=12)
    assert answer.status == 200, answer.body
    shown: Any = answer.json
    return str(shown["choices"][0]["message"]["content"])


def model_processes(server: Served) -> list[int]:
    return sorted(pid for pid in children(server.process.pid) if b"llamacpp_worker" in _command(pid))


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


def test_an_adapter_answers_under_its_name_and_the_base_stays_as_it_was(server: Served) -> None:
    before = said(server, "local/smollm2-135m")
    runtimes = model_processes(server)
    assert said(server, "local/other") != before
    assert said(server, "local/same") == before
    assert said(server, "local/smollm2-135m") == before
    assert runtimes and model_processes(server) == runtimes, "an adapter has no process of its own"


def test_a_client_cannot_choose_an_adapter_by_a_field(server: Served) -> None:
    chosen = [{"id": 0, "scale": 1.0}, {"id": 1, "scale": 1.0}]
    answer = server.chat(
        "local/smollm2-135m", "What is the capital of France?", temperature=0, max_tokens=12, lora=chosen
    )
    shown: Any = answer.json
    assert shown["choices"][0]["message"]["content"] == said(server, "local/smollm2-135m")


def test_an_adapter_of_another_base_is_refused_with_both_hashes(server: Served) -> None:
    answer = server.chat("local/foreign")
    assert answer.status == 503
    assert "was trained on the file with sha256 000000000000" in answer.error["message"]
    assert BASE.weights.sha256[:12] in answer.error["message"]


def test_an_adapter_stands_for_no_role(server: Served) -> None:
    answer = server.chat("small", "Say hello.", max_tokens=4)
    assert answer.headers["x-sizewise-model"] == "local/smollm2-135m"
