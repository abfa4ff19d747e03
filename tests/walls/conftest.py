"""Tells after the walls which files are long: a smell to look at, never a failure."""

from __future__ import annotations

from statistics import median

import pytest

from tests.walls.source import sources

LONG = 350  # lines; style.md: the tail tells good code from bad, not the average


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    sizes = sorted(((len(file.lines), file.path) for file in sources("sizewise") if len(file.lines) > 3), reverse=True)
    lines = [size for size, _ in sizes]
    longest = ", ".join(f"{path} {size}" for size, path in sizes[:5])
    terminalreporter.write_line(
        f"{len(sizes)} files, {sum(lines)} lines, median {median(lines):.0f}, "
        f"above {LONG}: {sum(size > LONG for size in lines)}; longest: {longest}",
    )
