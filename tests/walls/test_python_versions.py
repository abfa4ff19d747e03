"""Nothing needs a patch release of Python 3.11: 3.11.0 is the oldest that we promise, and Debian 12 stays at 3.11.2.

mypy refuses what came with 3.12 (`python_version` in pyproject.toml), but its stubs do not know patch releases. So the
names are listed here: found by comparing the public names and parameters of the libraries of 3.11.2 and 3.11.7, and for
later ones in the "Changed in version 3.11.x" notes of the library reference.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

import pytest

from tests.walls.source import Source, dotted, planted, stands

NAMES: Mapping[str, str] = {
    "tarfile.data_filter": "3.11.4",
    "tarfile.tar_filter": "3.11.4",
    "tarfile.fully_trusted_filter": "3.11.4",
    "tarfile.FilterError": "3.11.4",
    "tarfile.AbsoluteLinkError": "3.11.4",
    "tarfile.AbsolutePathError": "3.11.4",
    "tarfile.LinkOutsideDestinationError": "3.11.4",
    "tarfile.OutsideDestinationError": "3.11.4",
    "tarfile.SpecialFileError": "3.11.4",
    "enum.pickle_by_enum_name": "3.11.4",
    "enum.pickle_by_global_name": "3.11.4",
    "os.path.ALLOW_MISSING": "3.11.13",
    "tarfile.LinkFallbackError": "3.11.13",
}
"""Name -> the release that brought it."""

METHODS: Mapping[str, str] = {
    "SetReparseDeferralEnabled": "3.11.9",
    "GetReparseDeferralEnabled": "3.11.9",
    "verify_generated_headers": "3.11.10",
}
"""The same of names that no other library has, whatever they are called on."""

KEYWORDS: Mapping[tuple[str, str], str] = {
    ("extract", "filter"): "3.11.4",
    ("extractall", "filter"): "3.11.4",
    ("unpack_archive", "filter"): "3.11.4",
    ("getaddresses", "strict"): "3.11.10",
    ("parseaddr", "strict"): "3.11.10",
}
"""(function or method, parameter) -> the release that brought it."""


def patch_releases(file: Source) -> Iterator[str]:
    for node in file.nodes:
        for name, release in _used(node):
            yield file.at(node, f"{name} came with Python {release}, and 3.11.0 is supported")


def _used(node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Attribute):
        if found := NAMES.get(dotted(node)) or METHODS.get(node.attr):
            yield node.attr, found
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            if found := NAMES.get(f"{node.module}.{alias.name}"):
                yield alias.name, found
    elif isinstance(node, ast.Call):
        called = dotted(node.func).rpartition(".")[2]
        called = node.func.attr if isinstance(node.func, ast.Attribute) else called
        for keyword in node.keywords:
            if found := KEYWORDS.get((called, keyword.arg or "")):
                yield f"{called}({keyword.arg}=)", found


def test_nothing_needs_a_patch_release_of_the_oldest_python() -> None:
    stands(patch_releases, "sizewise", "tests", "bench", "docs", "requirements", "examples")


@pytest.mark.parametrize(
    "line",
    [
        "archive.extractall(folder, filter='data')",
        "shutil.unpack_archive(file, folder, filter='data')",
        "from tarfile import data_filter",
        "tarfile.tar_filter(member, folder)",
        "os.path.realpath(path, strict=os.path.ALLOW_MISSING)",
    ],
)
def test_the_wall_sees_what_came_with_a_patch_release(line: str) -> None:
    assert planted(patch_releases, line)
    assert not planted(patch_releases, "getattr(tarfile, 'data_filter', None)\narchive.extractall(folder)")
