"""Each file begins with its promise, one sentence on line one: the map is made of these lines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.walls.source import Source, planted, stands


def promise(file: Source) -> Iterator[str]:
    first = file.lines[0] if file.lines else ""
    if not first.startswith('"""'):
        yield f"{file.path}:1: begins without a docstring"
        return
    sentence = first.strip('"').strip()
    if len(sentence.split()) < 4 or not sentence.endswith((".", "?", ":", "!")):
        yield f"{file.path}:1: the first line is no whole sentence: {sentence!r}"


def test_every_file_begins_with_its_promise() -> None:
    stands(promise, "sizewise", "bench", "docs", "tests")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x = 1",
        "# a comment",
        '"""Helpers."""',
        '"""A sentence that goes on and\non over the line."""',
        '"""\nLate."""',
    ],
)
def test_the_wall_sees_a_file_without_a_promise(text: str) -> None:
    assert planted(promise, text)
