"""What a request waits for is in sight while it waits, and gone with the answer's first word; only at a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import screen, sizewise
from tests.gateway.server_harness import beside
from tests.gateway.stepwise_upstream import END, StepwiseOpenAI
from tests.running_server import Served, serving, until

SETTINGS = """
[server]
embedded = false
discover = false
[policies.default]
kind = "cascade"
threshold = 0.5
models = ["echo/small", "up/large"]
[providers.echo]
wire = "echo"
place = "process"
models = ["small"]
[models."echo/small"]
parameters = 100_000_000
logprobs = true
[providers.up]
base_url = "{url}"
place = "machine"
models = ["large"]
[models."up/large"]
parameters = 70_000_000_000
slots = 1
"""
UNSURE = "Hello [[logprob -5]]"


@pytest.fixture(scope="module")
def upstream() -> Iterator[StepwiseOpenAI]:
    with beside(StepwiseOpenAI) as up:
        yield up


@pytest.fixture(scope="module")
def server(upstream: StepwiseOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("status"), SETTINGS.format(url=upstream.url)) as served:
        yield served


def test_a_model_that_never_answers_is_named_at_once(echo: Served) -> None:
    with screen("ask", "-m", "echo/small", "[[hang]]", home=echo.home) as seen:
        seen.until("asking echo/small: named in the request")


@pytest.mark.long
def test_ask_shows_who_is_asked_and_held_before_any_model_answers(server: Served, upstream: StepwiseOpenAI) -> None:
    with screen("ask", UNSURE, home=server.home) as seen:
        seen.until("asking auto")
        seen.until("asking echo/small, to be judged before it is shown: ")
        seen.until("asking up/large: ")  # which says nothing until the next line
        upstream.step(1)
        upstream.step(END)
        code, out, left = seen.end()
    assert (code, out) == (0, "word-1 \n")
    assert "asking" not in left and "up/large" in left  # only who answered stays


@pytest.mark.long
def test_the_line_goes_before_the_first_word_and_counts_the_seconds(server: Served, upstream: StepwiseOpenAI) -> None:
    with screen("ask", UNSURE, home=server.home) as seen:
        seen.until("asking up/large")
        seen.until(" · 1 s")
        upstream.step(1)
        seen.until("\r\x1b[K")
        upstream.step(END)
        assert seen.end()[0] == 0


@pytest.mark.long
def test_a_full_queue_is_named(server: Served, upstream: StepwiseOpenAI) -> None:
    asked = len(upstream.received.bodies)
    with screen("ask", UNSURE, home=server.home) as first:
        first.until("asking up/large")
        until(lambda: len(upstream.received.bodies) > asked)  # so the only slot is taken
        with screen("ask", "-m", "up/large", "Hi", home=server.home) as second:
            second.until("waiting for a free slot of up/large")
            upstream.step(END)
            upstream.step(END)
            assert first.end()[0] == second.end()[0] == 0


@pytest.mark.long
def test_without_color_the_line_has_none(server: Served, upstream: StepwiseOpenAI) -> None:
    with screen("ask", UNSURE, home=server.home, NO_COLOR="1") as seen:
        seen.until("asking up/large")
        upstream.step(END)
        assert seen.end()[0] == 0
        assert "\x1b[2m" not in seen.shown


@pytest.mark.long
def test_for_scripts_and_in_pipes_there_is_no_line(server: Served, upstream: StepwiseOpenAI) -> None:
    upstream.step(END)
    piped = sizewise("ask", UNSURE, home=server.home)
    assert piped.code == 0 and "asking" not in piped.err and "\r" not in piped.err
    upstream.step(END)
    with screen("ask", "--json", UNSURE, home=server.home) as seen:
        code, out, left = seen.end()
    assert (code, left) == (0, "") and '"model": "up/large"' in out


@pytest.mark.long
def test_a_failure_leaves_its_two_lines_alone(server: Served, tmp_path: Path) -> None:
    with screen("ask", "-m", "echo/small", "[[fail]]", home=server.home) as seen:
        code, out, left = seen.end()
    assert (code, out) == (3, "")
    assert left.startswith("sizewise: ") and len(left.splitlines()) == 2
