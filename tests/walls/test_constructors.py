"""Constructors take at most four positional arguments; the others are given by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from tests.walls.source import Source, planted, sources, stands

MOST = 4


@cache
def class_names() -> frozenset[str]:
    """The classes of the tree, private ones included."""
    return frozenset(node.name for file in sources("sizewise") for node in file.nodes if isinstance(node, ast.ClassDef))


def positional_parameters(file: Source) -> Iterator[str]:
    """A written `__init__` with more than four: its callers may count wrong."""
    for owner in file.nodes:
        if not isinstance(owner, ast.ClassDef):
            continue
        for node in owner.body:
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                count = len(node.args.posonlyargs) + len(node.args.args) - 1
                if count > MOST:
                    yield file.at(
                        node, f"`{owner.name}` takes {count} positional arguments: put a `*` after the first ones"
                    )


def positional_arguments(file: Source) -> Iterator[str]:
    """A call of one of our classes with more than four; `partial(Name, ...)` is a call of it."""
    for node in file.nodes:
        if not isinstance(node, ast.Call):
            continue
        called, arguments = node.func, node.args
        if isinstance(called, ast.Name) and called.id == "partial" and arguments:
            called, arguments = arguments[0], arguments[1:]
        name = getattr(called, "id", "") or getattr(called, "attr", "")
        if name in class_names() and len(arguments) > MOST:
            yield file.at(node, f"`{name}` is made of {len(arguments)} positional arguments: write their names")


def test_constructors_have_at_most_four_positional_parameters() -> None:
    stands(positional_parameters, "sizewise")


def test_constructors_are_called_with_at_most_four_positional_arguments() -> None:
    stands(positional_arguments, "sizewise")


def test_the_wall_sees_a_fifth_parameter() -> None:
    assert planted(positional_parameters, "class A:\n    def __init__(self, a, b, c, d, e): ...")
    assert not planted(positional_parameters, "class A:\n    def __init__(self, a, b, c, d, *, e): ...")


@pytest.mark.parametrize(
    "code", ["Reply(1, 2, 3, 4, 5)", "messages.Reply(1, 2, 3, 4, *x)", "partial(Reply, 1, 2, 3, 4, 5)"]
)
def test_the_wall_sees_a_fifth_argument(code: str) -> None:
    assert planted(positional_arguments, code)


@pytest.mark.parametrize("code", ["Reply(1, 2, 3, 4, e=5)", "Reply(*row)", "Decimal(1, 2, 3, 4, 5)"])
def test_the_wall_lets_four_arguments_and_names_pass(code: str) -> None:
    assert not planted(positional_arguments, code)
