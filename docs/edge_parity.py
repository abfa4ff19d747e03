"""Writes reference/edge-parity.md from the corpus of parity and the known reasons for a difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.edge.parity_corpus import cases
from tests.edge.parity_reasons import REASONS

PAGE = Path(__file__).parent / "reference" / "edge-parity.md"
INTRODUCTION = """\
# Parity of the gateway and an edge

*Generated from `tests/edge/parity_corpus.py` and `tests/edge/parity_reasons.py` by `python -m docs.build`.*

`tests/edge/test_parity.py` asks a gateway and a Worker in a real workerd the same {count} requests, in front of one
double of a provider, and compares: the status, the chosen model and its reason, the cost, the words, what the guards
found, the error's code and message, and what the provider got, which is the masked text. What was chosen, masked and
said has to be the same. The test fails for a difference that is not one of these.

| requests | about |
|---|---|
"""


def pages() -> dict[Path, str]:
    return {PAGE: "\n".join(_lines()) + "\n"}


def _lines() -> Iterator[str]:
    groups = Counter(case.group for case in cases())
    yield INTRODUCTION.format(count=groups.total()).rstrip("\n")
    yield from (f"| {count} | {group} |" for group, count in groups.items())
    yield ""
    yield "## Differences"
    yield ""
    yield "| what | why |"
    yield "|---|---|"
    yield from (f"| {what} | {why} |" for what, why in REASONS.items())
