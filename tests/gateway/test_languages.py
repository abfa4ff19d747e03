"""Languages on a running server: a Swedish question does not go to a model that lists English, and one sees why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.gateway.server_harness import CHAT
from tests.running_server import ECHO, Served, serving

pytest.importorskip("pycld2")

SETTINGS = f"""{ECHO}
[models."echo/small"]
parameters = 135_000_000
languages = ["en"]
[models."echo/large"]
parameters = 1_500_000_000
[policies.default]
kind = "cheapest"
"""
SWEDISH, ENGLISH = "Varför är himlen blå? Förklara det för ett barn.", "Why is the sky blue? Explain it to a child."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("languages"), SETTINGS) as served:
        yield served


@pytest.mark.parametrize(("question", "model"), [(SWEDISH, "echo/large"), (ENGLISH, "echo/small")])
def test_a_question_goes_to_a_model_that_may_know_its_language(server: Served, question: str, model: str) -> None:
    answer = server.ask(CHAT, {"model": "auto", "messages": [{"role": "user", "content": question}]})
    assert answer.status == 200 and answer.headers["x-sizewise-model"] == model
    assert ("in Swedish (sv)" in answer.headers["x-sizewise-why"]) == (question == SWEDISH)


@pytest.mark.long
def test_records_and_explain_name_the_language(server: Served) -> None:
    server.ask(CHAT, {"model": "auto", "messages": [{"role": "user", "content": SWEDISH}]})
    told = sizewise("route", "explain", SWEDISH, home=server.home).out
    assert "data in Swedish (sv)" in told and "answers in en, and the question is in Swedish (sv)" in told
    assert sizewise("route", "explain", SWEDISH, "--json", home=server.home).json["language"] == "sv"
    assert "the question is in Swedish (sv)" in sizewise("records", "--json", home=server.home).out


@pytest.mark.long
def test_the_languages_of_a_model_are_shown_with_their_source(server: Served) -> None:
    lines = sizewise("models", "show", "echo/small", home=server.home).out.splitlines()
    assert any(line.split() == ["languages", "en", "sizewise.toml"] for line in lines)
    lines = sizewise("models", "show", "smollm2-135m", home=server.home).out.splitlines()
    assert any(line.startswith("languages") and "GGUF header" in line for line in lines)


@pytest.mark.parametrize("bad", ['["English"]', '["EN"]', '["e"]', '"en"', "[1]"])
def test_a_language_that_is_no_code_is_refused_with_an_example(tmp_path: Path, bad: str) -> None:
    (tmp_path / "sizewise.toml").write_text(SETTINGS.replace('["en"]', bad))
    done = sizewise("models", "list", home=tmp_path)
    assert done.code == 2 and "languages" in done.err
