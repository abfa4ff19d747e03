"""No test asserts an upper bound on elapsed seconds: causes, counts, order and ratios hold on any machine.

tests/growth.py measures ratios, tests/virtual_time.py makes delays exact. What guards against a hang waits for 30 s or
more.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.walls.source import Source, planted, stands

CLOCKS = frozenset({"monotonic", "perf_counter", "process_time", "thread_time", "time", "cpu_seconds"})
WAITS = frozenset({"until", "wait", "join", "result", "timeout", "wait_for", "get", "communicate"})
"""Calls whose last argument, or `timeout`, ends a wait."""
HANG_S = 30.0
SHORT_S = 1.0  # a wait below it is to show that nothing happens meanwhile


def upper_bounds(file: Source) -> Iterator[str]:
    if not any(f"{each}(" in file.text for each in CLOCKS):
        return
    functions = [node for node in file.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    known = {each.name for each in functions if any(_returns_elapsed(node) for node in ast.walk(each))}
    for function in functions:
        names = known | _elapsed_names(function, known)
        for node in ast.walk(function):
            for small, big in _ordered(node):
                if _number(big) < HANG_S and _is_elapsed(small, names) and not _is_ratio(small, names):
                    yield file.at(node, "an upper bound on elapsed time: assert a cause, a count or a ratio")


def short_guards(file: Source) -> Iterator[str]:
    for node in file.nodes:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and _is_clock(node.left):
            if 0 < _number(node.right) < HANG_S and not _is_calendar(node.left):
                yield file.at(node, f"a guard against hanging waits for {HANG_S:.0f} s or more")
        elif isinstance(node, ast.Call) and _called(node) in WAITS:
            ends = [each.value for each in node.keywords if each.arg == "timeout"]
            ends += node.args[1:2] if _called(node) in ("until", "wait_for") else node.args[:1]
            if any(SHORT_S <= _number(each) < HANG_S for each in ends):
                yield file.at(node, f"a guard against hanging waits for {HANG_S:.0f} s or more")


def _ordered(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """What a comparison says is smaller, and larger."""
    if isinstance(node, ast.Compare):
        values = [node.left, *node.comparators]
        for left, operator, right in zip(values, node.ops, values[1:], strict=False):
            if isinstance(operator, ast.Lt | ast.LtE):
                yield left, right
            elif isinstance(operator, ast.Gt | ast.GtE):
                yield right, left


def _returns_elapsed(node: ast.AST) -> bool:
    return isinstance(node, ast.Return) and node.value is not None and _is_elapsed(node.value, set())


def _elapsed_names(function: ast.AST, known: set[str]) -> set[str]:
    """Names of the function that hold a difference of two times, or a list of such."""
    found: set[str] = set()
    for _ in range(3):  # a name may be made of one that stands further down
        for node in ast.walk(function):
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and _is_elapsed(node.value, known | found):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
            elif isinstance(node, ast.Call) and _called(node) == "append" and _is_elapsed(node, known | found):
                found |= {each.id for each in ast.walk(node.func) if isinstance(each, ast.Name)}
    return found


def _is_elapsed(value: ast.AST, names: set[str]) -> bool:
    return any(
        (isinstance(node, ast.Name) and node.id in names)
        or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and _has_clock(node))
        for node in ast.walk(value)
    )


def _is_ratio(value: ast.AST, names: set[str]) -> bool:
    if not (isinstance(value, ast.BinOp) and isinstance(value.op, ast.Div)):
        return False
    return _is_elapsed(value.left, names) and _is_elapsed(value.right, names)


def _has_clock(value: ast.AST) -> bool:
    return any(_is_clock(node) for node in ast.walk(value))


def _is_clock(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _called(node) in CLOCKS


def _is_calendar(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _called(node) == "time"


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _number(node: ast.AST) -> float:
    """Infinite if it is none."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return float(str(node.value))
    return float("inf")


def test_no_test_asserts_that_something_was_quick() -> None:
    stands(upper_bounds, "tests")


def test_no_guard_against_hanging_is_shorter_than_a_busy_machine_needs() -> None:
    stands(short_guards, "tests")


def test_hypothesis_has_no_deadline() -> None:
    assert settings().deadline is None and HealthCheck.too_slow in settings().suppress_health_check


BEGAN = "def test():\n began = time.monotonic()\n work()\n "


@pytest.mark.parametrize(
    "code",
    [
        f"{BEGAN}assert time.monotonic() - began < 5",
        f"{BEGAN}assert 2 < perf_counter() - began <= 8.5",
        f"{BEGAN}assert a == b and 1 > time.process_time() - began",
        f"{BEGAN}took = time.monotonic() - began\n assert took < 1",
        f"{BEGAN}times.append(time.monotonic() - began)\n assert min(times) / 200 < 0.003",
        "def took(began):\n return time.monotonic() - began\ndef test():\n assert took(0) < 1",
    ],
)
def test_an_upper_bound_is_found(code: str) -> None:
    assert planted(upper_bounds, code, "tests/planted.py")


@pytest.mark.parametrize(
    "code",
    [
        f"{BEGAN}assert time.monotonic() - began >= 1.0",
        f"{BEGAN}assert time.monotonic() - began < 60",
        f"{BEGAN}one = time.monotonic() - began\n two = time.monotonic() - began\n assert one / two < 3",
        f"{BEGAN}long = time.monotonic() - began\n assert long < 32 * short",
    ],
)
def test_lower_bounds_ratios_and_long_guards_are_not(code: str) -> None:
    assert not planted(upper_bounds, code, "tests/planted.py")


@pytest.mark.parametrize(
    ("code", "is_found"),
    [
        ("until(lambda: done, 3)", True),
        ("end = time.monotonic() + 5", True),
        ("process.wait(10)", True),
        ("queue.get(timeout=10)", True),
        ("asyncio.wait_for(work(), 5)", True),
        ("until(lambda: done)", False),
        ("process.wait(60)", False),
        ("entered.wait(0.1)", False),
    ],
)
def test_a_short_guard_is_found(code: str, is_found: bool) -> None:
    assert planted(short_guards, code, "tests/planted.py") == is_found
