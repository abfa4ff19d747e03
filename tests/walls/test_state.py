"""No module holds state: no `global`, and whatever stands at module level cannot change."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache

import pytest

from tests.walls.source import Source, dotted, planted, sources, stands

READ_ONLY = frozenset(
    {"Mapping", "Sequence", "Collection", "AbstractSet", "frozenset", "tuple", "str", "bytes", "int", "float", "bool"},
)
"""Types through which nothing can be changed: annotated with one of them, `mypy --strict` proves what we only read."""

STILL: Mapping[str, str] = {
    "re.compile": "a pattern never changes",
    "build_served_schema": "the schema as it is served, built once and never changed",
    "frozenset": "cannot change",
    "tuple": "cannot change",
    "float": "cannot change",
    "int": "cannot change",
    "MappingProxyType": "cannot be changed through",
    "Path": "cannot change",
    "TypeVar": "a type",
    "ParamSpec": "a type",
    "NewType": "a type",
    "Literal": "a type",
    "logging.getLogger": "the standard library's own register; our walls cannot abolish it",
    "msgspec.json.Encoder": "keeps no state between two calls",
    "msgspec.json.Decoder": "keeps no state between two calls",
    "msgspec.msgpack.Encoder": "keeps no state between two calls",
    "msgspec.msgpack.Decoder": "keeps no state between two calls",
    "Table": "the declaration of a table; only a tables.py or storage/ can call it",
    "Schema": "the declaration of a package's tables",
    "MetaData": "the register of tables, complete when its tables.py has been read",
    "Index": "part of a table's declaration",
    "BigInteger": "a column's type",
    "_insert_if_owned": "a statement; every change of one makes another",
    "struct.Struct": "the layout of bytes",
    "Struct": "the same: a msgspec Struct is inherited, never called",
    "Raw": "bytes of JSON",
    "click.option": "a decorator",
    "click.argument": "a decorator",
    "setting": "a field of a frozen dataclass",
}
"""Calls whose result cannot change, and why; our own frozen classes are found by themselves."""

DISPLAYS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp)
MEMORY = frozenset({"cache", "lru_cache", "functools.cache", "functools.lru_cache"})


@cache
def frozen_classes() -> frozenset[str]:
    """Our classes whose instances cannot change: `frozen=True` in the class line or its decorator, and Enums."""
    found: set[str] = set()
    for node in (node for file in sources("sizewise") for node in file.nodes if isinstance(node, ast.ClassDef)):
        calls = [call for call in node.decorator_list if isinstance(call, ast.Call)]
        keywords = [*node.keywords, *(keyword for call in calls for keyword in call.keywords)]
        said = any(k.arg == "frozen" and isinstance(k.value, ast.Constant) and k.value.value is True for k in keywords)
        if said or {"NamedTuple", "Enum", "StrEnum", "IntEnum"} & {dotted(base) for base in node.bases}:
            found.add(node.name)
    return frozenset(found)


def changeable(value: ast.expr) -> str:
    """What in this expression can be changed later, in words; empty when nothing can."""
    if isinstance(value, DISPLAYS):
        return f"a {type(value).__name__.lower()}"
    if isinstance(value, (ast.Tuple, ast.BinOp, ast.BoolOp, ast.IfExp, ast.Starred)):
        return next(
            filter(None, map(changeable, (n for n in ast.iter_child_nodes(value) if isinstance(n, ast.expr)))),
            "",
        )
    if isinstance(value, ast.Call):
        return _called(value)
    if isinstance(value, ast.Attribute):
        return changeable(value.value)
    return ""


def _called(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute) and isinstance(function.value, (ast.Call, ast.Constant)):
        return changeable(function.value)  # BigInteger().with_variant(...), "...".split()
    name = dotted(function)
    known = name in STILL or name.rpartition(".")[2] in frozen_classes()
    return "" if known else f"what {name or 'a call'}(...) returns"


def read_only(annotation: ast.expr | None) -> bool:
    """Whether the annotation's outermost type only reads; `Final[...]` is looked into."""
    if isinstance(annotation, ast.Subscript):
        if dotted(annotation.value).rpartition(".")[2] == "Final":
            return read_only(annotation.slice)
        annotation = annotation.value
    return annotation is not None and dotted(annotation).rpartition(".")[2] in READ_ONLY


def top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when the module is imported, those below `if`, `try` and `with` too."""
    for statement in body:
        yield statement
        for name in ("body", "orelse", "finalbody"):
            if isinstance(statement, (ast.If, ast.Try, ast.With, ast.For)):
                yield from top(getattr(statement, name, []))


def state(file: Source) -> Iterator[str]:
    for node in file.nodes:
        if isinstance(node, ast.Global):
            yield file.at(
                node,
                f"`global {', '.join(node.names)}`: hand the value in, or keep it in an object of application.py",
            )
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for each in node.decorator_list:
                if dotted(each.func if isinstance(each, ast.Call) else each) in MEMORY:
                    yield file.at(each, f"{node.name} remembers its answers: that is module state")
    for statement in top(file.tree.body):
        if isinstance(statement, ast.ClassDef):
            yield from _in_class(file, statement)
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
            names = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            annotation = statement.annotation if isinstance(statement, ast.AnnAssign) else None
            what = changeable(statement.value)
            if what and not read_only(annotation) and not _is_alias(annotation):
                name = ", ".join(map(dotted, names))
                yield file.at(statement, f"{name} is {what}: annotate it as Mapping, Sequence, ... or make it a tuple")
        elif isinstance(statement, ast.AugAssign):
            yield file.at(statement, "a module-level value is changed")


def _in_class(file: Source, node: ast.ClassDef) -> Iterator[str]:
    """A plain value of a class is shared by all its objects. (Annotated, it is a field, and those are copied.)"""
    for statement in node.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, DISPLAYS):
            name = dotted(statement.targets[0])
            if name != "__slots__":
                yield file.at(statement, f"{node.name}.{name} is shared by all its objects")


def _is_alias(annotation: ast.expr | None) -> bool:
    return annotation is not None and dotted(annotation).rpartition(".")[2] == "TypeAlias"


def test_no_module_holds_state() -> None:
    stands(state, "sizewise")


@pytest.mark.parametrize(
    "code",
    [
        "def f() -> None:\n    global x\n    x = 1",
        "KNOWN = {}",
        "KNOWN: dict[str, int] = {'a': 1}",
        "KNOWN: Final = ['a']",
        "KNOWN: Final[dict[str, int]] = {}",
        "if True:\n    SEEN = set()",
        "PAIR = (1, [2])",
        "queue = deque()",
        "lock = threading.Lock()",
        "numbers = itertools.count()",
        "class A:\n    seen = {}",
        "@lru_cache(maxsize=None)\ndef f() -> int: ...",
        "@cache\ndef f() -> int: ...",
        "n = 0\nn += 1",
    ],
)
def test_the_wall_sees_state(code: str) -> None:
    assert planted(state, code)


@pytest.mark.parametrize(
    "code",
    [
        "KNOWN: Mapping[str, int] = {'a': 1}",
        "KNOWN: Final[Mapping[str, int]] = {'a': 1}",
        "NAMES = ('a', 'b')",
        "NAMES = frozenset({'a'})",
        "WORD = re.compile('a')",
        "encode = msgspec.json.Encoder().encode",
        "Fields = dict[str, Raw]",
        "class A(Struct):\n    seen: dict[str, str] = {}",
        "FREE = Price(input=0)",
    ],
)
def test_the_wall_lets_constants_stand(code: str) -> None:
    assert not planted(state, code)
