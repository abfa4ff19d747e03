"""The edge runtime in the package is built from the sources in edge/, is small, and runs no code from data."""

from __future__ import annotations

import gzip
import json
import re

from docs.built_sources import EDGE, SOURCES
from tests.walls.source import ROOT, committed

ALL_BYTES = 60_000
LINES = 350
SINKS = re.compile(r"\beval\(|new Function|console\.|\bimport\(")


def test_the_build_is_of_these_sources() -> None:
    assert (EDGE.built / SOURCES).read_text() == EDGE.text(), "run `make edge`"


def test_the_runtime_is_small() -> None:
    assert len(gzip.compress((EDGE.built / "runtime.mjs").read_bytes())) <= ALL_BYTES


def test_no_source_runs_code_from_data_or_logs() -> None:
    paths = [path for path in committed("", "edge/src") if path.suffix == ".ts"]
    assert paths
    assert [path.name for path in paths if SINKS.search(path.read_text())] == []


def test_each_source_begins_with_its_promise_and_stays_short() -> None:
    said = []
    for path in (each for each in committed("", "edge/src") if each.suffix in (".ts", ".mts")):
        lines = path.read_text().splitlines()
        if not lines or not lines[0].startswith("// ") or len(lines[0].split()) < 5:
            said.append(f"{path.name}: the first line is no promise")
        if len(lines) > LINES:
            said.append(f"{path.name}: {len(lines)} lines")
    assert said == []


def test_packages_are_locked_by_their_content() -> None:
    locked = json.loads((ROOT / "edge/package-lock.json").read_text())["packages"]
    assert [name for name, row in locked.items() if name and not row.get("integrity", "").startswith("sha512-")] == []
