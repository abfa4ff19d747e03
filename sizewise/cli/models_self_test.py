"""Runs the self-test of a pulled model, shows its progress, and stores what it measured; a failure keeps the pull."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import click
import msgspec

from sizewise.agents.written_calls import written_tool_calls
from sizewise.catalog.self_tests import store_self_test
from sizewise.catalog.user_models import record_tools
from sizewise.cli.language_report import question_score, write_languages
from sizewise.cli.options import wants_json
from sizewise.cli.status_line import StatusLine, status_line
from sizewise.errors import SizewiseError
from sizewise.messages import ToolCall
from sizewise.providers.local import language_test, question_test
from sizewise.providers.local.self_test import TOOL_NAME, Stage, run_self_test
from sizewise.settings.load import Settings

STAGES: Mapping[Stage, tuple[str, float]] = MappingProxyType(
    {
        "load": ("loading the model", 0.0),
        "pace": ("measuring how fast it reads and writes", 0.0),
        "tools": ("asking for a tool call", 0.0),
        "languages": ("ten languages", language_test.TIME_LIMIT_S),
        "questions": ("200 short questions", question_test.TIME_LIMIT_S),
    }
)
"""What is measured, in this order, and the seconds after which it is cut short; 0: never."""
MOST_MINUTES = 8
"""Of a model that is cut short at each limit, with a minute for what has none."""


class SelfTestProgress:
    """A line of progress at a terminal, with the time that is left; elsewhere a line for each stage."""

    def __init__(self, status: StatusLine, clock: Callable[[], float] = time.monotonic) -> None:
        self._status = status
        self._clock = clock
        self._stage = ""
        self._began = 0.0

    def __call__(self, stage: Stage, done: int, count: int) -> None:
        words, limit = STAGES[stage]
        begins = stage != self._stage
        if begins:
            self._stage, self._began = stage, self._clock()
        step = f"{list(STAGES).index(stage) + 1} of {len(STAGES)}: {words}"
        if self._status.shown:
            self._status.show(f"{step}{self._left(done, count, limit)}")
        elif begins and not wants_json():
            click.echo(step, err=True)

    def _left(self, done: int, count: int, limit: float) -> str:
        """How much is done and about how long the rest takes; empty if that cannot be told yet."""
        if not done:
            return ""
        spent = self._clock() - self._began
        left = min(spent / done * (count - done), limit - spent)
        return f", {done} of {count}, about {max(1, round(left))} s left"


async def self_test_and_report(name: str, path: Path, settings: Settings) -> dict[str, object]:
    """The measured facts; empty if the model could not be started, which is shown with the next step."""
    if not wants_json():
        click.echo(f"testing {name} on this machine, for up to {MOST_MINUTES} minutes; --no-test skips this", err=True)
    try:
        local = settings.local
        with status_line() as status:
            status.count_seconds(asyncio.get_running_loop())
            progress = SelfTestProgress(status)
            found = await run_self_test(
                name, path, local.threads, local.gpu_layers, _written_calls, progress, questions=True
            )
    except SizewiseError as error:
        click.echo(f"self-test of {name} failed: {error.message}\nhint: {error.hint}", err=True)
        return {}
    await store_self_test(settings.home, name, found)
    await record_tools(name, settings.home, found.tools, f"self-test on this machine, {found.date}")
    if not wants_json():
        memory = f", {found.memory_bytes / 10**6:,.0f} MB of memory" if found.memory_bytes else ""
        pace = f"reads {found.prompt_tokens_per_s:g} and writes {found.output_tokens_per_s:g} tokens/s"
        click.echo(f"measured here: {pace}{memory}")
        click.echo(f"tools: {'one well-formed call' if found.tools else 'no well-formed call'}")
        click.echo(f"score: {question_score(found)}")
        write_languages(found)
    measured: dict[str, object] = msgspec.to_builtins(found)
    return measured


def _written_calls(text: str) -> tuple[ToolCall, ...]:
    return written_tool_calls(text, (TOOL_NAME,))[1]
