"""Runs the self-test of a pulled model, stores what it measured, and shows it; a failed test does not undo the pull."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from sizewise.agents.written_calls import written_tool_calls
from sizewise.catalog.self_tests import store_self_test
from sizewise.catalog.user_models import record_tools
from sizewise.cli.language_report import question_score, write_languages
from sizewise.cli.options import wants_json
from sizewise.cli.status_line import status_line
from sizewise.errors import SizewiseError
from sizewise.messages import ToolCall
from sizewise.providers.local.self_test import TOOL_NAME, run_self_test
from sizewise.settings.load import Settings


async def self_test_and_report(name: str, path: Path, settings: Settings) -> dict[str, object]:
    """The measured facts; empty if the model could not be started, which is shown with the next step."""
    if not wants_json():
        click.echo(f"testing {name} on this machine; --no-test skips this", err=True)
    try:
        local = settings.local
        with status_line() as status:

            def progress(done: int, count: int) -> None:
                status.show(f"asked {done} of {count} short questions")

            found = await run_self_test(name, path, local.threads, local.gpu_layers, _written_calls, progress)
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
