"""What `sizewise models pull --test` says while a model is tested, at a terminal and in a pipe; loads no model."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from sizewise.cli.models_self_test import SelfTestProgress
from sizewise.cli.status_line import StatusLine


@pytest.fixture(autouse=True)
def command() -> Iterator[None]:
    with click.Context(click.Command("pull")):
        yield


def test_a_terminal_shows_the_step_how_much_of_it_is_done_and_how_long_the_rest_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = iter((0.0, 10.0, 40.0, 290.0))
    progress = SelfTestProgress(StatusLine(shown=True), lambda: next(now))
    progress("questions", 0, 200)
    assert capsys.readouterr().err.endswith("5 of 5: 200 short questions")
    progress("questions", 20, 200)
    assert "200 short questions, 20 of 200, about 90 s left" in capsys.readouterr().err
    progress("questions", 40, 200)
    assert "40 of 200, about 160 s left" in capsys.readouterr().err
    progress("questions", 100, 200)
    assert "100 of 200, about 10 s left" in capsys.readouterr().err, "it ends after five minutes"


def test_a_pipe_gets_a_line_for_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    progress = SelfTestProgress(StatusLine(shown=False))
    for done in range(10):
        progress("languages", done, 10)
    progress("questions", 0, 200)
    assert capsys.readouterr().err == "4 of 5: ten languages\n5 of 5: 200 short questions\n"
