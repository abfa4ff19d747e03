"""The studio in the package is built from the sources in web/, is small, and has no place where text becomes markup."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from docs.built_sources import SOURCES, STUDIO
from sizewise.gateway import studio
from tests.walls.source import ROOT, committed

WEB = ROOT / "web"
BUILT = STUDIO.built
FIRST_PAGE_BYTES = 98_000
ALL_BYTES = 640_000
LINES = 350
SINKS = re.compile(
    r"\{@html|innerHTML|outerHTML|insertAdjacentHTML|srcdoc|document\.write|\beval\(|new Function|\bhttp://"
    r"|style=\"|style=\{|target=\"_blank\"|localStorage|sessionStorage",
)
REMEMBERS = "web/src/kit/theme.svelte.ts"
"""The only file that stores anything in a browser: whether it is light or dark."""


def sources() -> list[Path]:
    return [path for path in committed("", "web/src") if path.suffix in (".svelte", ".ts", ".css")]


def packed(name: str) -> int:
    return len(gzip.compress((BUILT / name).read_bytes()))


def test_the_build_is_of_these_sources() -> None:
    assert (BUILT / SOURCES).read_text() == STUDIO.text(), "run `make studio`"


def test_the_first_page_and_all_of_it_are_small() -> None:
    page = (BUILT / studio.INDEX).read_text()
    first = [studio.INDEX, *re.findall(r'(?:src|href)="/studio/([^"]+)"', page)]
    assert len(first) > 2
    assert sum(packed(name) for name in first) <= FIRST_PAGE_BYTES
    assert sum(packed(path.name) for path in BUILT.iterdir()) <= ALL_BYTES


def test_the_page_loads_nothing_from_elsewhere_and_has_no_script_or_style_in_it() -> None:
    page = (BUILT / studio.INDEX).read_text()
    assert re.findall(r'(?:src|href)="(?!/studio/)', page) == []
    assert re.findall(r"<script(?![^>]* src=)|<style|\son\w+=|javascript:", page) == []
    assert {path.suffix for path in BUILT.iterdir()} <= {".html", ".js", ".css", ".svg", ""}


def test_no_source_has_a_place_where_text_becomes_markup_or_is_stored_in_the_browser() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {each}"
        for path in sources()
        for each in SINKS.findall(path.read_text())
        if not (path == ROOT / REMEMBERS and each == "localStorage")
    ]
    assert found == []


@pytest.mark.parametrize("text", ["{@html x}", "node.innerHTML = x", 'style="{x}"', "sessionStorage.x"])
def test_the_wall_sees_such_a_place(text: str) -> None:
    assert SINKS.search(text)


def test_each_source_begins_with_its_promise_and_stays_short() -> None:
    begins = {".svelte": "<!-- ", ".ts": "// ", ".css": "/* "}
    said = []
    for path in sources():
        lines = path.read_text().splitlines()
        first = lines[0] if lines else ""
        if not first.startswith(begins[path.suffix]) or len(first.split()) < 5:
            said.append(f"{path.relative_to(ROOT)}: the first line is no promise")
        if len(lines) > LINES and path.name != "queries.ts":
            said.append(f"{path.relative_to(ROOT)}: {len(lines)} lines")
    assert said == []


def test_the_pages_that_are_served_are_those_that_the_studio_has() -> None:
    routes = (WEB / "src/routes.ts").read_text().partition("routes: readonly Route[] = [")[2].partition("\n];")[0]
    known = {re.sub(r"[:*]\w+", "{body}", path) for path in re.findall(r"path: '([^']+)'", routes)}
    assert {re.sub(r":path", "", path) for path in studio.PAGES} == known


def test_packages_of_the_studio_are_locked_by_their_content() -> None:
    locked = json.loads((WEB / "package-lock.json").read_text())["packages"]
    assert [name for name, row in locked.items() if name and not row.get("integrity", "").startswith("sha512-")] == []


def test_each_story_of_the_studio_names_tests_that_exist() -> None:
    folder = ROOT / "tests" / "studio"
    table = (folder / "README.md").read_text()
    missing = [
        f"{file}::{test}"
        for file, test in re.findall(r"`(test_\w+\.py)::(test_\w+)`", table)
        if f"def {test}(" not in (folder / file).read_text()
    ]
    assert missing == []
    assert [each for each in re.findall(r"`((?:web|tests)/[\w/.]+)`", table) if not (ROOT / each).exists()] == []
    told = [int(each) for each in re.findall(r"^\| (\d+) ", table, re.MULTILINE)]
    assert told == list(range(1, 63))
