"""The glossary against the code: each term is there once, in order, and names a class or a setting that exists."""

from __future__ import annotations

import re
from importlib import import_module
from typing import NamedTuple

import pytest

from tests.walls.source import ROOT

GLOSSARY = ROOT / "docs" / "glossary.md"
SETTINGS = ROOT / "docs" / "reference" / "settings.md"


class Entry(NamedTuple):
    term: str
    meaning: str
    code: str


ENTRIES = [
    Entry(*match)
    for match in re.findall(r"^\| ([^|`]+) \| ([^|]+) \| `([^|]+)` \|$", GLOSSARY.read_text(), re.MULTILINE)
]


def settings() -> set[str]:
    """`[section]` and `[section] key` of every setting, as its page, which is generated from the code, has them."""
    found = set()
    for part in re.split(r"^## (?=\[)", SETTINGS.read_text(), flags=re.MULTILINE)[1:]:
        section = part.partition("\n")[0].strip()
        found |= {section} | {f"{section} {key}" for key in re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)}
    return found


def test_the_terms_are_sorted_and_unique() -> None:
    terms = [entry.term for entry in ENTRIES]
    assert terms == sorted(set(terms), key=str.casefold)
    assert 35 <= len(terms) <= 70


def test_every_line_of_the_table_is_an_entry() -> None:
    lines = [line for line in GLOSSARY.read_text().splitlines() if line.startswith("| ")]
    assert len(lines) - 1 == len(ENTRIES), "a term in plain words, one line of meaning, one name in backticks"


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.term for entry in ENTRIES])
def test_a_term_names_a_class_or_a_setting_that_exists(entry: Entry) -> None:
    if entry.code.startswith("["):
        assert entry.code in settings()
        return
    module, _, name = entry.code.rpartition(".")
    assert hasattr(import_module(f"sizewise.{module}"), name)
