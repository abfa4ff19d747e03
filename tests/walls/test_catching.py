"""Everything is caught in two named places only; elsewhere a handler names the narrowest type, or raises again."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

import pytest

from tests.walls.source import Source, dotted, planted, sources, stands

PLACES: Mapping[str, int] = {
    "sizewise/gateway/request_handling.py": 1,  # the HTTP API: an unforeseen fault is a 500, never a traceback
    "sizewise/flows/run_worker.py": 1,  # a run: an unforeseen fault in a node fails the run, and the others go on
    "sizewise/knowledge/vector_stores/qdrant_worker.py": 3,  # Qdrant's engine raises Exception itself, and its panics
    "sizewise/evals/runs/plugin_scorers.py": 1,  # a scorer that others wrote: whatever it raises is a missing score
    "sizewise/tools/function_tool.py": 1,  # a function that others wrote: whatever it raises is that tool's failure
}
"""File -> how many catch-alls it may hold. The telemetry export will be the next."""

EVERYTHING = frozenset({"Exception", "BaseException"})


def broad(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(map(broad, caught.elts))
    return caught is None or dotted(caught).rpartition(".")[2] in EVERYTHING


def raises_again(handler: ast.ExceptHandler) -> bool:
    """It only tidies up: its last word is `raise`, and nothing before it leaves."""
    leaves = any(isinstance(node, (ast.Return, ast.Continue, ast.Break)) for node in ast.walk(handler))
    return isinstance(handler.body[-1], ast.Raise) and not leaves


def catch_alls(file: Source) -> list[ast.AST]:
    found: list[ast.AST] = []
    for node in file.nodes:
        if isinstance(node, ast.ExceptHandler) and broad(node.type) and not raises_again(node):
            found.append(node)
        elif isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] == "suppress":
            found.extend(node for each in node.args if broad(each))
    return found


def swallowing(file: Source) -> Iterator[str]:
    allowed = PLACES.get(file.path, 0)
    found = catch_alls(file)
    if len(found) > allowed:
        for node in found:
            yield file.at(node, f"catches everything ({len(found)} times, {allowed} allowed): name the type")


def test_everything_is_caught_in_the_named_places_only() -> None:
    stands(swallowing, "sizewise", "docs")


def test_no_named_place_has_fewer_catch_alls_than_it_is_granted() -> None:
    counted = {file.path: len(catch_alls(file)) for file in sources("sizewise")}
    assert {path: counted.get(path) for path in PLACES} == PLACES


@pytest.mark.parametrize(
    "handler",
    [
        "except Exception:\n    pass",
        "except:\n    pass",
        "except BaseException as e:\n    log(e)",
        "except (ValueError, Exception):\n    pass",
        "except Exception:\n    if x:\n        return\n    raise",
    ],
)
def test_the_wall_sees_a_catch_all(handler: str) -> None:
    body = f"try:\n    work()\n{handler}".replace("\n", "\n    ")
    assert planted(swallowing, f"def f() -> None:\n    {body}")


def test_the_wall_sees_suppression_of_everything() -> None:
    assert planted(swallowing, "with contextlib.suppress(Exception):\n    work()")


def test_tidying_up_and_raising_again_is_no_catch_all() -> None:
    assert not planted(swallowing, "try:\n    work()\nexcept BaseException:\n    close()\n    raise")
