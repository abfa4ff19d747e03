"""The embedded model that makes vectors: alike for what means the same, from a worker that may die; and its tokens."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sizewise.providers.echo import echo_card
from sizewise.providers.local.models import LocalModels
from sizewise.providers.local.wordpiece_tokenizer import WordPieceTokenizer
from tests.conftest import weights
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, children, serving, until

CONFIG = """
[server]
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small"]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that has no other local model, and fetches none."""
    file, cache = weights("minilm-l6-v2"), tmp_path_factory.mktemp("cache") / "models"
    cache.mkdir()
    (cache / file.name).symlink_to(file)
    with serving(tmp_path_factory.mktemp("home"), CONFIG, SIZEWISE_CACHE=str(cache.parent)) as served:
        yield served


def vectors(server: Served, *texts: str) -> list[list[float]]:
    answer: Any = server.ask("/v1/embeddings", {"model": "auto", "input": list(texts)}).json
    return [each["embedding"] for each in answer["data"]]


def alike(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_what_means_the_same_is_close(server: Served) -> None:
    paris, capital, bread = vectors(
        server,
        "Paris is the capital of France.",
        "What is France's capital city?",
        "How do I bake bread at home?",
    )
    assert len(paris) == 384
    assert alike(paris, paris) == pytest.approx(1, abs=1e-5)
    assert alike(paris, capital) > 0.6 > 0.2 > alike(bread, capital)


def test_a_text_has_the_same_vector_alone_and_beside_longer_ones(server: Served) -> None:
    (alone,) = vectors(server, "a short text")
    beside, _ = vectors(server, "a short text", "a much longer text " * 40)
    assert alike(alone, beside) > 0.98


def test_a_text_that_is_too_long_is_refused_and_not_cut(server: Served) -> None:
    for words in (300, 3_000):
        answer = server.ask("/v1/embeddings", {"model": "auto", "input": ["short", "bread " * words]})
        assert (answer.status, answer.error["code"]) == (400, "context_length_exceeded")


def test_tokens_are_counted_and_a_chat_is_refused(server: Served) -> None:
    answer: Any = server.ask("/v1/embeddings", {"model": "local/minilm-l6-v2", "input": "Hello there"}).json
    assert answer["usage"]["prompt_tokens"] == 4  # with the two that stand around
    assert server.chat("local/minilm-l6-v2").status == 400
    wrong = server.ask("/v1/embeddings", {"model": "local/minilm-l6-v2", "input": "Hello", "dimensions": 7})
    assert wrong.status == 400 and "384" in str(wrong.error)


def test_a_worker_that_died_is_started_again(server: Served) -> None:
    vectors(server, "first")
    (worker,) = set(children(server.process.pid))
    os.kill(worker, signal.SIGKILL)
    until(lambda: worker not in children(server.process.pid))
    server.ask("/v1/embeddings", {"model": "auto", "input": "this one may meet the dead"})
    assert len(vectors(server, "again")[0]) == 384


@pytest.mark.long
def test_the_worker_of_old_settings_ends_after_a_reload(server: Served) -> None:
    vectors(server, "first")
    (old,) = children(server.process.pid)
    (server.home / "sizewise.toml").write_text(CONFIG + "[local]\nthreads = 1\n")
    assert graphql(server, "mutation { reload { models } }").errors == []
    until(lambda: old not in children(server.process.pid))
    assert len(vectors(server, "again")[0]) == 384
    (new,) = children(server.process.pid)
    assert graphql(server, "mutation { reload { models } }").errors == []
    vectors(server, "the same settings")
    assert children(server.process.pid) == [new], "the same settings keep the worker"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Hello, world!", [7592, 1010, 2088, 999]),
        ("Ünïcödé naïve", [27260, 15743]),
        ("unaffable", [14477, 20961, 3468]),
        ("漢字", [1904, 100]),
        ("a" * 101, [100]),
        ("\u200bzero\x00", [5717]),
    ],
)
def test_tokens_are_berts(text: str, numbers: list[int]) -> None:
    """As the `tokenizers` library makes them with the model's own tokenizer.json."""
    assert WordPieceTokenizer().encode(text) == numbers


def test_the_vocabulary_is_where_the_wheel_takes_it_from() -> None:
    assert (Path(__file__).parents[2] / "sizewise/providers/local/wordpiece.txt").stat().st_size == 231_508


def test_a_model_of_refused_settings_is_not_kept(tmp_path: Path) -> None:
    locals, card, file = LocalModels(), echo_card("echo/words"), tmp_path / "words.onnx"
    refused, taken = locals.draft(), locals.draft()
    first, second = refused.open_embedding_model(card, file, 8), taken.open_embedding_model(card, file, 2)
    locals.take(taken)
    assert first is not second and locals.open_embedding_model(card, file, 2) is second
    assert locals.open_embedding_model(card, file, 8) is not first


def test_changed_settings_open_the_model_anew(tmp_path: Path) -> None:
    locals, card, file = LocalModels(), echo_card("echo/words"), tmp_path / "words.onnx"
    before = locals.open_embedding_model(card, file, 2)
    assert locals.open_embedding_model(card, file, 2) is before
    assert locals.open_embedding_model(card, file, 8) is not before
    assert locals.open_embedding_model(replace(card, context=128), file, 2) is not before
