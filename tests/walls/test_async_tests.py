"""An async test is `async def`, run by pytest-asyncio; no test runs a coroutine of its own in a loop that it starts.

`tests.virtual_time.run` is apart: its loop has another clock.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

import pytest

from tests.walls.source import Source, dotted, planted, sources, stands

RUNNERS = frozenset({"asyncio.run", "uvloop.run", "run_with_timeout"})
OWN_LOOP: Mapping[str, str] = {
    "test_a_child_that_nobody_waited_for_ends_with_the_event_loop": "what the end of the loop leaves",
    "test_turns_of_an_event_loop_that_ended_are_forgotten": "loops that end one after the other",
    "test_a_stopped_model_leaves_no_file_descriptor_process_or_folder": "what the end of the loop leaves",
}
"""Tests of the start or end of a loop. Those of Hypothesis may run each example in a loop of its own as well."""


def own_loops(file: Source) -> Iterator[str]:
    if not _names_a_runner(file):
        return
    for test in file.nodes:
        if isinstance(test, ast.FunctionDef) and test.name.startswith("test_") and test.name not in OWN_LOOP:
            for node in () if _is_property(test) else _started_loops(test):
                yield file.at(node, f"{test.name} runs its own coroutine: make it `async def` and await")


def _names_a_runner(file: Source) -> bool:
    return any(f"{each}(" in file.text for each in RUNNERS)


def _started_loops(test: ast.FunctionDef) -> Iterator[ast.AST]:
    """Calls of a runner on a coroutine that is defined in the test; not in functions within it, as threads have."""
    defined = {node.name for node in ast.walk(test) if isinstance(node, ast.AsyncFunctionDef)}
    waiting: list[ast.AST] = list(test.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Call) and dotted(node.func) in RUNNERS and _calls_any(node, defined):
            yield node
        waiting.extend(ast.iter_child_nodes(node))


def _calls_any(node: ast.AST, names: set[str]) -> bool:
    return any(isinstance(each, ast.Call) and dotted(each.func) in names for each in ast.walk(node))


def _is_property(test: ast.FunctionDef) -> bool:
    return any(isinstance(each, ast.Call) and dotted(each.func).endswith("given") for each in test.decorator_list)


def test_no_test_runs_a_coroutine_of_its_own() -> None:
    stands(own_loops, "tests")


def test_each_test_that_may_start_a_loop_does() -> None:
    files = filter(_names_a_runner, sources("tests"))
    found = [node for file in files for node in file.nodes if isinstance(node, ast.FunctionDef)]
    assert {node.name for node in found if node.name in OWN_LOOP and list(_started_loops(node))} == OWN_LOOP.keys()


INNER = " async def story():\n  pass\n"


@pytest.mark.parametrize(
    ("code", "is_found"),
    [
        (f"def test_it():\n{INNER} asyncio.run(story())", True),
        (f"def test_it():\n{INNER} with services():\n  assert asyncio.run(asyncio.wait_for(story(), 60)) == 1", True),
        (f"@mark.parametrize('a', [1])\ndef test_it(a):\n{INNER} run_with_timeout(story())", True),
        (f"@given(some.text())\ndef test_it(a):\n{INNER} asyncio.run(story())", False),
        (f"def test_it():\n{INNER} def thread():\n  asyncio.run(story())", False),
        ("def test_it():\n asyncio.run(services.close())", False),
        (f"async def test_it():\n{INNER} await story()", False),
    ],
)
def test_a_loop_that_a_test_starts_is_found(code: str, is_found: bool) -> None:
    assert planted(own_loops, code, "tests/planted.py") == is_found
