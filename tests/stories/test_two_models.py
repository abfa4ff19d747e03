"""Two real models, small and large: what is kept, what is escalated, and that a distrusted word is never seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.running_server import Served, serving
from tests.stories.test_first_light import words

pytestmark = pytest.mark.large

SIZES = """
[server]
discover = false
[local]
context = 2048
[policies.default]
kind = "cascade"
threshold = 0.5
[policies.cold]
kind = "cascade"
[policies.trusting]
kind = "cascade"
threshold = 0.0
[policies.doubting]
kind = "cascade"
threshold = 1.0
"""


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory, smollm_gguf: Path, qwen_gguf: Path) -> Iterator[Served]:
    cache = tmp_path_factory.mktemp("cache")
    (cache / "models").mkdir()
    for weights in (smollm_gguf, qwen_gguf):
        (cache / "models" / weights.name).symlink_to(weights)
    with serving(tmp_path_factory.mktemp("sizes"), SIZES, SIZEWISE_CACHE=str(cache)) as served:
        yield served


def test_roles_are_the_smallest_and_the_best(sizes: Served) -> None:
    for role, model in (("small", "local/smollm2-135m"), ("large", "local/qwen2.5-coder-1.5b")):
        answer = sizes.chat(role, "Say hello.", temperature=0, max_tokens=12)
        assert answer.headers["x-sizewise-model"] == model and words(answer)


def test_before_calibration_the_better_model_answers_at_once_and_says_prior(sizes: Served) -> None:
    answer = sizes.chat("auto:cold", "What is the capital of France?", temperature=0, max_tokens=12)
    assert answer.headers["x-sizewise-model"] == "local/qwen2.5-coder-1.5b"
    assert "x-sizewise-attempts" not in answer.headers and answer.headers["x-sizewise-why"].startswith("prior: ")


def test_a_trusted_reply_is_kept(sizes: Served) -> None:
    answer = sizes.chat("auto:trusting", "Name a colour.", temperature=0, max_tokens=12)
    assert answer.headers["x-sizewise-model"] == "local/smollm2-135m"
    assert "x-sizewise-attempts" not in answer.headers and "uncalibrated" in answer.headers["x-sizewise-why"]


def test_a_distrusted_reply_is_never_shown_and_both_attempts_are_booked(sizes: Served) -> None:
    question = "What is 17 times 23? Answer with the number."
    alone = words(sizes.chat("small", question, temperature=0, max_tokens=24))
    answer = sizes.chat("auto:doubting", question, temperature=0, max_tokens=24)
    assert answer.headers["x-sizewise-model"] == "local/qwen2.5-coder-1.5b"
    assert answer.headers["x-sizewise-attempts"] == "2"
    assert words(answer) != alone and "391" in words(answer)
    query = """query ($t: String!) {
        records(filter: {trace: $t}) { rows { model attempts { model result score tokens { output } } } } }"""
    shown = sizes.ask("/graphql", {"query": query, "variables": {"t": answer.headers["x-sizewise-trace"]}}).json
    assert isinstance(shown, dict)
    (record,) = shown["data"]["records"]["rows"]
    assert [(a["model"], a["result"]) for a in record["attempts"]] == [
        ("local/smollm2-135m", "distrusted"),
        ("local/qwen2.5-coder-1.5b", "answered"),
    ]
    assert all(a["tokens"]["output"] > 0 for a in record["attempts"]) and record["attempts"][0]["score"] is not None


def test_a_stream_shows_the_large_models_words_only(sizes: Served) -> None:
    client = openai.OpenAI(base_url=f"{sizes.url}/v1", api_key=sizes.key, max_retries=0)
    stream = client.chat.completions.create(
        model="auto:doubting",
        messages=[{"role": "user", "content": "What is 17 times 23? Answer with the number."}],
        temperature=0,
        max_tokens=24,
        stream=True,
    )
    chunks = list(stream)
    assert {chunk.model for chunk in chunks} == {"local/qwen2.5-coder-1.5b"}
    assert "391" in "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def test_the_decision_is_explained_without_a_call(sizes: Served) -> None:
    query = 'query { explain(prompt: "Hi", model: "auto:doubting") { steps { models action } } }'
    shown = sizes.ask("/graphql", {"query": query}).json
    assert json.dumps(shown).index("smollm2") < json.dumps(shown).index("qwen2.5")
