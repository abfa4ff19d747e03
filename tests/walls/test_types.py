"""What the type checker is told to overlook has a reason; no public signature says `Any`, no default fails on 3.11."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

import pytest

from tests.walls.source import Source, dotted, planted, sources, stands

TOLERATED: Mapping[tuple[str, str], str] = {
    (
        "sizewise/plugins.py",
        "load_plugin",
    ): "what an entry point names; the caller checks it against its kind's Protocol",
    ("sizewise/plugins.py", "PluginRegistry.__call__"): "the same",
    ("sizewise/cli/lazy_group.py", "LazyGroup.__init__"): "click's own arguments, passed on unread",
    ("sizewise/gateway/fast_path.py", "FastPathProtocol.__init__"): "uvicorn's own arguments, passed on unread",
}
"""(file, function) -> why its signature may say Any."""

IGNORE = re.compile(r"#\s*type:\s*ignore(?P<code>\[[a-z, -]+\])?(?P<reason>\s+#\s*\S.+)?")
NOQA = re.compile(r"#\s*(ruff:\s*)?noqa(?P<code>:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*)?(?P<reason>\s+(#|-)\s*\S.+)?")


def comments(file: Source) -> Iterator[tuple[int, str]]:
    """Line numbers and texts of lines with a `#` outside every string."""
    inside: set[int] = set()
    for node in file.nodes:
        if isinstance(node, (ast.Constant, ast.JoinedStr)) and (node.end_lineno or 0) > node.lineno:
            inside.update(range(node.lineno, node.end_lineno or 0))
    for number, line in enumerate(file.lines, 1):
        if "#" in line and number not in inside:
            yield number, line


def overlooked(file: Source) -> Iterator[str]:
    for number, line in comments(file):
        for name, pattern in (("type: ignore", IGNORE), ("noqa", NOQA)):
            match = pattern.search(line)
            if match and not (match["code"] and match["reason"]):
                yield f"{file.path}:{number}: `{name}` without its code and a reason: `# {name}[code]  # why`"


def public(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Functions and methods that others may call, with their dotted names; `__init__` and its like are among them."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        hidden = child.name.startswith("_") and not child.name.endswith("__")
        if not hidden and isinstance(child, ast.ClassDef):
            yield from public(child, f"{prefix}{child.name}.")
        elif not hidden and not isinstance(child, ast.ClassDef):
            yield f"{prefix}{child.name}", child


def anything(file: Source) -> Iterator[str]:
    for name, function in public(file.tree):
        spec = function.args
        annotated = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]
        types = [arg.annotation for arg in annotated if arg is not None] + [function.returns]
        words = (node for each in types if each is not None for node in ast.walk(each))
        said = any(isinstance(word, ast.Name) and word.id == "Any" for word in words)
        if said and (file.path, name) not in TOLERATED:
            yield file.at(function, f"the signature of {name} says Any")


def unhashable_default(file: Source) -> Iterator[str]:
    """Python 3.11 refuses a dataclass whose field has a `MappingProxyType` as its default; 3.12 made that hashable."""
    for node in (node for node in file.nodes if isinstance(node, ast.ClassDef)):
        decorators = {dotted(each.func if isinstance(each, ast.Call) else each) for each in node.decorator_list}
        for field in node.body if decorators & {"dataclass", "dataclasses.dataclass"} else ():
            value = field.value if isinstance(field, (ast.Assign, ast.AnnAssign)) else None
            if isinstance(value, ast.Call) and dotted(value.func) in {"MappingProxyType", "types.MappingProxyType"}:
                yield file.at(
                    field, "Python 3.11 refuses this default; field(default_factory=lambda: MappingProxyType(...))"
                )


def test_what_the_checkers_overlook_has_a_code_and_a_reason() -> None:
    stands(overlooked, "sizewise", "tests", "bench", "docs")


def test_no_public_signature_says_any() -> None:
    stands(anything, "sizewise")


def test_no_default_of_a_dataclass_is_refused_by_the_oldest_python() -> None:
    stands(unhashable_default, "sizewise", "tests", "bench")


def test_every_tolerated_any_still_exists() -> None:
    there = {(file.path, name) for file in sources("sizewise") for name, _ in public(file.tree)}
    assert set(TOLERATED) <= there


@pytest.mark.parametrize("comment", ["type: ignore", "type: ignore[misc]", "noqa", "noqa: E501", "noqa  # long"])
def test_the_wall_sees_an_unexplained_ignore(comment: str) -> None:
    assert planted(overlooked, f"x = 1  # {comment}")


@pytest.mark.parametrize("comment", ["type: ignore[misc]  # their stub lies", "noqa: E501 - a table"])
def test_the_wall_lets_an_explained_ignore_stand(comment: str) -> None:
    assert not planted(overlooked, f"x = 1  # {comment}")


@pytest.mark.parametrize(
    "code",
    ["def f(x: Any) -> None: ...", "def f() -> dict[str, Any]: ...", "class A:\n    async def f(self, **k: Any): ..."],
)
def test_the_wall_sees_any(code: str) -> None:
    assert planted(anything, code)


def test_private_functions_may_say_any() -> None:
    assert not planted(anything, "def _f(x: Any) -> None: ...")


def test_the_wall_sees_a_default_that_python_3_11_refuses() -> None:
    code = "@dataclass(frozen=True)\nclass A:\n    b: Mapping[str, str] = MappingProxyType({})"
    assert planted(unhashable_default, code)
    assert not planted(unhashable_default, code.replace("MappingProxyType({})", "field(default_factory=dict)"))
