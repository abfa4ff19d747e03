"""Names: a term of the field is the name of a file, no class name has two meanings, and old words name nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

import pytest

from tests.walls.source import Source, planted, sources, stands

SEARCHES: Mapping[str, str] = {
    "audit log": "sizewise/audit_log/audit_log.py",
    "circuit breaker": "sizewise/providers/circuit_breaker.py",
    "fallback": "sizewise/routing/fallback.py",
    "load balancer": "sizewise/providers/load_balancer.py",
    "migration": "sizewise/storage/migrations.py",
    "rate limit": "sizewise/limits/rate_limiter.py",
    "rerank": "sizewise/knowledge/reranker.py",
    "retry": "sizewise/routing/retry.py",
    "scheduler": "sizewise/flows/scheduler.py",
    "session": "sizewise/auth/sign_in_sessions.py",
    "tokenizer": "sizewise/providers/local/wordpiece_tokenizer.py",
    "vector store": "sizewise/knowledge/vector_store.py",
    "webhook": "sizewise/notifications/webhook_signatures.py",
}
"""What someone types into a file search -> the file that they need to open."""

MOST_HITS = 4
"""Files by whose own name a search may end up; more would be a list to read, not an answer."""

OLD_WORDS = frozenset(
    {"told", "knock", "purse", "shelf", "keeper", "upstairs", "noted", "limps", "lent", "given"}
)  # fmt: skip
COLUMNS: Mapping[str, frozenset[str]] = {
    "sizewise/evals/tables.py": frozenset({"given"}),
}
"""File -> fields that are database columns, whose names are stored."""

MIRRORS = ("sizewise/cli/operations.py", "sizewise/gateway/openapi.py")
"""Files whose classes are named after types of the GraphQL and OpenAPI schemas, which are public."""


def found_by(search: str) -> list[str]:
    """Files whose name has the words of `search`, else those whose folder has."""
    words = search.replace(" ", "_")
    paths = [file.path for file in sources("sizewise") if not file.path.endswith("__init__.py")]
    return [path for path in paths if words in path.rpartition("/")[2]] or [path for path in paths if words in path]


@pytest.mark.parametrize(("search", "file"), SEARCHES.items(), ids=SEARCHES)
def test_a_search_for_a_term_of_the_field_finds_its_file(search: str, file: str) -> None:
    found = found_by(search)
    assert file in found
    assert len(found) <= MOST_HITS, found


def class_names(files: list[Source]) -> Iterator[tuple[str, str]]:
    """Public classes and where they are defined."""
    for file in files:
        for node in file.nodes:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not file.within(*MIRRORS):
                yield node.name, file.at(node, node.name)


def test_each_public_class_name_is_defined_once() -> None:
    places: dict[str, list[str]] = {}
    for name, place in class_names(sources("sizewise")):
        places.setdefault(name, []).append(place)
    assert [found for found in places.values() if len(found) > 1] == []


def public_names(file: Source) -> Iterator[tuple[ast.AST, str]]:
    """Names that others see: of the file, its classes, functions, methods and fields."""
    yield file.tree, file.path.rpartition("/")[2].removesuffix(".py")
    for node in file.nodes:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node, node.name
        if isinstance(node, ast.ClassDef):
            for field in node.body:
                targets: list[ast.expr] = [field.target] if isinstance(field, ast.AnnAssign) else []
                targets += field.targets if isinstance(field, ast.Assign) else []
                yield from ((field, each.id) for each in targets if isinstance(each, ast.Name))
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if (
                    isinstance(target, ast.Attribute)
                    and isinstance(target.value, ast.Name)
                    and target.value.id == "self"
                ):
                    yield node, target.attr


def old_words(file: Source) -> Iterator[str]:
    columns = COLUMNS.get(file.path, frozenset())
    for node, name in public_names(file):
        if name.lower() in OLD_WORDS and name not in columns:
            yield file.at(node, f"{name!r} is a word of the old dialect: take the field's (docs/names.tsv)")


def test_no_public_name_is_a_word_of_the_old_dialect() -> None:
    stands(old_words, "sizewise", "tests", "bench", "docs")


@pytest.mark.parametrize(
    "code",
    [
        "class Keeper:\n    pass",
        "def told() -> None:\n    pass",
        "class A:\n    lent: int",
        "class A:\n    given = 1",
        "class A:\n    def knock(self) -> None:\n        self.shelf = 1",
    ],
)
def test_the_wall_sees_an_old_word(code: str) -> None:
    assert planted(old_words, code)


def test_the_wall_sees_a_file_with_an_old_name() -> None:
    assert planted(old_words, "x = 1", "sizewise/upstairs.py")
    assert not planted(old_words, "def f(given: int) -> int:\n    return given")
