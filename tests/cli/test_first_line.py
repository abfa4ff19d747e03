"""What a command imports before its first line, so that the line comes at once: counted in modules, not in seconds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.terminal import screen

IMPORTED = re.compile(r"import time: +[0-9]+ \| +[0-9]+ \| +([a-zA-Z0-9_.]+)")
FIRST = ("sizewise", "sizewise.cli", "sizewise.cli.lazy_group", "sizewise.errors")
"""What every command needs. Python does not list the program itself, nor what `import_module` loads: the command."""
STATUS = ("sizewise.cli.options", "sizewise.cli.printable", "sizewise.cli.status_line", "sizewise.cli.value_completion")


def imported(shown: str) -> list[str]:
    """The modules in the order of their import, from the first of ours on."""
    names = IMPORTED.findall(shown)
    return names[names.index("sizewise") :]


@pytest.mark.parametrize(
    ("words", "line", "own"),
    [
        (
            ("ask", "hi"),
            "asking auto",
            ("sizewise.cli.prompt_words", "sizewise.cli.request_options"),
        ),
        pytest.param(
            ("flow", "run", "support", "-i", "question=hi"),
            "running flow:support",
            (),
            marks=pytest.mark.long,
        ),
    ],
)
def test_the_first_line_waits_for_few_modules(
    words: tuple[str, ...], line: str, own: tuple[str, ...], tmp_path: Path
) -> None:
    with screen(*words, home=tmp_path, interpreter=("-X", "importtime")) as seen:
        seen.until(line)
    modules = imported(seen.shown.partition(line)[0])
    assert {each for each in modules if each.startswith("sizewise")} == {*FIRST, *STATUS, *own}
    assert not {"asyncio", "ssl", "json", "msgspec", "socket", "hashlib"} & {*modules}
    assert len(modules) < 120


@pytest.mark.long
def test_without_a_server_the_line_makes_room_for_the_error(tmp_path: Path) -> None:
    with screen("ask", "hi", home=tmp_path) as seen:
        seen.until("asking auto")
        code, out, left = seen.end()
    assert (code, out) == (3, "")
    assert left.startswith("sizewise: no Sizewise is running") and len(left.splitlines()) == 2


@pytest.mark.long
@pytest.mark.parametrize("typed", ["sizewise ", "sizewise flow ", "sizewise eval "])
def test_completion_of_a_command_imports_none(typed: str, tmp_path: Path) -> None:
    words = typed.split(" ")
    completing = {"COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1), "_SIZEWISE_COMPLETE": "bash_complete"}
    with screen(home=tmp_path, interpreter=("-X", "importtime"), **completing) as seen:
        code, out, _ = seen.end()
    assert code == 0 and "plain," in out
    loaded = {each for each in imported(seen.shown) if each.startswith("sizewise.")}
    assert loaded <= {*FIRST, "sizewise.cli.options"}
