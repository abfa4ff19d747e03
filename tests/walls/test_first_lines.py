"""Each file begins with one sentence on line one that says what it is: the map is made of these lines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.walls.source import Source, planted, stands


def first_line(file: Source) -> Iterator[str]:
    first = file.lines[0] if file.lines else ""
    if not first.startswith('"""'):
        yield f"{file.path}:1: begins without a docstring"
        return
    sentence = first.strip('"').strip()
    if len(sentence.split()) < 4 or not sentence.endswith((".", "?", ":", "!")):
        yield f"{file.path}:1: the first line is no whole sentence: {sentence!r}"


def test_every_file_begins_with_a_sentence() -> None:
    stands(first_line, "sizewise", "bench", "docs", "tests")


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
def test_the_wall_sees_a_file_without_a_sentence(text: str) -> None:
    assert planted(first_line, text)
