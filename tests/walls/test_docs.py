"""The documentation tells the truth: what it names exists, what exists is in it, and its examples can be run."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from graphql import build_schema, parse, validate

from docs.build import classes, kinds, pages
from docs.command_line import command_names
from docs.site_links import on_page_markdown
from sizewise.errors import ConfigError
from sizewise.evals.policy_loader import load_policy
from sizewise.plugins import PluginRegistry
from sizewise.settings.load import ENVIRONMENT_VARIABLES, load_settings
from sizewise.settings.root import FileSettings
from tests.walls.source import ROOT, committed

DOCS = ROOT / "docs"
PAGES = [path for path in committed(".md") if path.relative_to(ROOT).parts[0] not in ("tests", "bench")]


class Block(NamedTuple):
    """A fenced block of a page; `kind` is what stands behind the fence, as `toml` or `toml wrong`."""

    page: str
    line: int
    kind: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    fence = re.compile(r"^(?P<indent> *)```(?P<kind>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
    text = page.read_text()
    for match in fence.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(page.relative_to(ROOT).as_posix(), line, match["kind"].strip(), match["text"])


BLOCKS = [block for page in PAGES for block in blocks(page)]


def name(block: Block) -> str:
    return f"{block.page}:{block.line}"


def of(*known: str) -> list[Block]:
    return [block for block in BLOCKS if block.kind in known]


# ---- generated pages, and all that must be in them


def test_no_generated_page_is_stale() -> None:
    stale = [path.relative_to(ROOT).as_posix() for path, text in pages().items() if path.read_text() != text]
    assert stale == [], "run `make docs`"


def test_every_error_has_a_page_and_no_page_is_left_over() -> None:
    there = {path.stem for path in (DOCS / "errors").glob("*.md")} - {"README"}
    assert there == {each.code for each in classes()}


def test_no_two_errors_share_a_code() -> None:
    codes = [each.code for each in classes()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("code", [each.code for each in classes()])
def test_an_error_page_says_what_it_means_and_shows_wrong_and_right(code: str) -> None:
    text = (DOCS / "errors" / f"{code}.md").read_text()
    assert text.startswith(f"# {code}\n\n") and "\n**Wrong**\n" in text and "\n**Right**\n" in text
    assert len(text.splitlines()) < 60, "a short page"


def test_every_setting_and_variable_is_in_the_settings_page() -> None:
    text = (DOCS / "reference" / "settings.md").read_text()
    assert [each.name for each in fields(FileSettings) if f"[{each.name}" not in text] == []
    assert [variable for variable, _ in ENVIRONMENT_VARIABLES if f"`{variable}`" not in text] == []


def test_every_kind_and_member_is_in_the_kinds_page() -> None:
    text = (DOCS / "reference" / "kinds.md").read_text()
    assert [kind for kind in kinds() if f"## {kind}\n" not in text] == []
    assert [member for members in kinds().values() for member in members if f"[`{member}`]" not in text] == []


def test_every_command_is_in_the_page_of_the_command_line() -> None:
    text = (DOCS / "reference" / "command-line.md").read_text()
    assert [name for name in command_names() if f"## {name}\n" not in text] == []


def test_commands_in_the_examples_exist() -> None:
    said = {
        (name(block), found)
        for block in of("bash")
        for found in re.findall(r"^sizewise ([a-z]+)", block.text, re.MULTILINE)
    }
    assert [(where, name) for where, name in said if f"sizewise {name}" not in command_names()] == []


def test_every_decision_is_listed_and_numbered_once() -> None:
    listed = (DOCS / "decisions" / "README.md").read_text()
    records = sorted(path.name for path in (DOCS / "decisions").glob("[0-9]*.md"))
    assert [record for record in records if f"]({record})" not in listed] == []
    numbers = [record[:4] for record in records]
    assert [number for number in numbers if numbers.count(number) > 1] == []


# ---- the tour


def tour_files() -> list[tuple[Path, str]]:
    """The files of the tour in their order, each with its paragraphs."""
    text = (DOCS / "tour.md").read_text()
    parts = re.split(r"^## \d+\. `([^`]+)`.*$", text.partition("## Where to go on")[0], flags=re.MULTILINE)
    return [(ROOT / path, said) for path, said in zip(parts[1::2], parts[2::2], strict=True)]


def test_the_tour_stays_within_its_lines() -> None:
    bound = int(re.search(r"at most ([\d,]+) lines", (DOCS / "tour.md").read_text())[1].replace(",", ""))  # type: ignore[index]  # it says so
    lines = {path.name: len(path.read_text().splitlines()) for path, _ in tour_files()}
    assert len(lines) == 10 and sum(lines.values()) <= bound, lines


@pytest.mark.parametrize(("path", "said"), tour_files(), ids=[path.name for path, _ in tour_files()])
def test_what_the_tour_names_is_there(path: Path, said: str) -> None:
    tree = ast.parse(path.read_text())
    defined = {n.name for n in ast.walk(tree) if isinstance(n, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))}
    defined |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | {
        n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)
    }
    named = set(re.findall(r"`([A-Za-z_]\w*)`", said)) - {"Reply"}  # chat.py's
    assert [word for word in named if word not in defined] == []


def test_the_files_that_pages_name_are_there() -> None:
    named = {
        (page, path)
        for page in PAGES
        if page.parent != DOCS / "decisions"  # records keep the paths of their day
        for path in re.findall(r"`((?:sizewise|tests|bench|docs)/[\w./-]+\.\w+)`", page.read_text())
    }
    assert [(page.name, path) for page, path in named if not (ROOT / path).exists()] == []


# ---- links and examples


def test_links_between_pages_lead_somewhere() -> None:
    lost = []
    for page in PAGES:
        for goal in re.findall(
            r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        ):
            path, _, heading = goal.partition("#")
            target = (page.parent / path) if path else page
            if "://" in goal or goal.startswith("mailto:"):
                continue
            if not target.exists() or (heading and heading not in headings(target)):
                lost.append(f"{page.relative_to(ROOT)}: {goal}")
    assert lost == []


def headings(page: Path) -> set[str]:
    """Anchors as GitHub makes them: small letters, spaces as hyphens, other marks dropped."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_block_says_what_it_is() -> None:
    known = {
        "python",
        "bash",
        "toml",
        "toml wrong",
        "json",
        "markdown",
        "graphql",
        "text",
        "console",
        "yaml",
        "javascript",
        "typescript",
    }
    assert [f"{name(block)}: {block.kind!r}" for block in BLOCKS if block.kind not in known] == []


@pytest.mark.parametrize("block", of("python"), ids=name)
def test_python_in_the_docs_parses(block: Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize("block", of("bash"), ids=name)
def test_bash_in_the_docs_parses(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", of("json"), ids=name)
def test_json_in_the_docs_parses(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", of("graphql"), ids=name)
def test_graphql_in_the_docs_fits_the_schema(block: Block) -> None:
    schema = build_schema((ROOT / "sizewise" / "graphql" / "schema.graphql").read_text())
    assert validate(schema, parse(block.text)) == []


@pytest.mark.parametrize("block", of("toml"), ids=name)
def test_settings_in_the_docs_are_accepted(block: Block, tmp_path: Path) -> None:
    """A block of TOML is a sizewise.toml, or a piece of pyproject.toml when it says so."""
    if re.search(r"^\[(project|tool)[].]", block.text, re.MULTILINE):
        tomllib.loads(block.text)
        return
    path = tmp_path / "sizewise.toml"
    path.write_text(block.text)
    for kind, wanted in load_settings(path, tmp_path, {}).policies.items():
        load_policy(kind, wanted, PluginRegistry())


@pytest.mark.parametrize("block", of("toml wrong"), ids=name)
def test_wrong_settings_in_the_docs_are_refused(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "sizewise.toml"
    path.write_text(block.text)
    with pytest.raises(ConfigError):
        load_settings(path, tmp_path, {})


def test_the_site_links_only_what_is_in_it() -> None:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="how-to/files.md"))
    text = (
        "[a](batches.md#watch-it) [b](../../bench/README.md) [c](https://a.example) ![d](../img/e.jpg) [f](../build.py)"
    )
    kept = "[a](batches.md#watch-it) b [c](https://a.example) ![d](../img/e.jpg) f"
    assert on_page_markdown(text, page) == kept
